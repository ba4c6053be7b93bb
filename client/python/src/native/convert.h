// Between Python's objects and the C++ client's values. Everything here needs
// the GIL and throws nanobind's exceptions.
//
// Dtypes and overflow policies cross as the numbers of their enums; the Python
// package has the same order. Absent values cross as None.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_CONVERT_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_CONVERT_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/cast/cast.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "nanobind/nanobind.h"
#include "tensord/remote_tensor.h"

namespace tensord::python {

// Throws the exception of tensord.errors that `status` maps to.
// REQUIRES: !status.ok().
[[noreturn]] void ThrowStatus(const absl::Status& status);

inline void Check(const absl::Status& status) {
  if (!status.ok()) ThrowStatus(status);
}

template <typename T>
T Take(absl::StatusOr<T> value) {
  if (!value.ok()) ThrowStatus(value.status());
  return *std::move(value);
}

inline ByteOrder ToByteOrder(bool big_endian) {
  return big_endian ? ByteOrder::kBig : ByteOrder::kLittle;
}

DType ToDType(int number);
std::optional<DType> ToDType(std::optional<int> number);
Overflow ToOverflow(int number);
std::optional<absl::Duration> ToDuration(std::optional<double> seconds);

// Terms of a basic index: an int, a tuple (start, stop, step), Ellipsis, None.
std::vector<IndexTerm> ToIndexTerms(nanobind::handle terms);

// Operations: tuples of a name and its arguments, as _tensor.py writes them.
std::vector<Operation> ToOperations(nanobind::handle operations);

nanobind::tuple FromDims(const Dims& dims);

// Seconds since 1970; None for a time that never comes.
nanobind::object FromTime(absl::Time time);

// A dict with a key for each member of TensorInfo.
nanobind::dict FromTensorInfo(const TensorInfo& info);

// A tuple (dtype, shape, byte_strides, size_bytes).
nanobind::tuple FromLayout(const ArrayLayout& layout);

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_CONVERT_H_
