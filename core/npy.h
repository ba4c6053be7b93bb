// NumPy's .npy format, versions 1, 2 and 3: a reader for untrusted bytes and a
// writer.
//
// The format is numpy.lib.format's: magic, version, header length, a header
// that is one Python dict literal, elements. The reader is a hand-written total
// parser: no recursion, no evaluation, bounded by kMaxNpyHeaderBytes before
// anything is kept. Pickled objects are never read.
#ifndef TENSORD_CORE_NPY_H_
#define TENSORD_CORE_NPY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace tensord {

// Bound on the declared length of a header; numpy.lib.format's max_header_size.
inline constexpr std::size_t kMaxNpyHeaderBytes = 10000;

// What a .npy header says.
struct NpyHeader {
  NumpyType type;
  Dims shape;
  // kF for fortran_order=True.
  Order order = Order::kC;
  // Bytes before the first element.
  std::size_t header_bytes = 0;
  // Bytes of all elements.
  std::int64_t data_bytes = 0;
};

// Reads the header at the start of `bytes`, of which more may follow. Returns
// nothing while `bytes` may be the start of a header or of one of the files
// that have reasons of their own (so that a stream goes on collecting, at most
// kMaxNpyHeaderBytes + 12 bytes). Magic, version and length are judged byte by
// byte, the dict once it is whole. Errors, all INVALID_ARGUMENT with a
// violation of the field "data", in this order: NPY_BAD_MAGIC,
// NPZ_NOT_SUPPORTED, PICKLE_FORBIDDEN, NPY_BAD_VERSION, NPY_HEADER_TOO_LARGE,
// NPY_HEADER_SYNTAX, NPY_BAD_ORDER, DTYPE_STRUCTURED_UNSUPPORTED and those of
// ParseNumpyDescr, SHAPE_INVALID, SHAPE_OVERFLOW.
absl::StatusOr<std::optional<NpyHeader>> ParseNpyHeader(std::string_view bytes);

// Reads the header of a whole file of `file_bytes` bytes of which `bytes` is
// the start. Errors: those above; NPY_TRUNCATED (the header or the elements are
// cut short), TRAILING_BYTES. Whether data_bytes exceeds `max_data_bytes` is
// checked before the file's length is: TENSOR_TOO_LARGE.
absl::StatusOr<NpyHeader> ParseNpyFile(std::string_view bytes,
                                       std::int64_t file_bytes,
                                       std::int64_t max_data_bytes);

// The dtype of the elements, given what the client said of it (nothing, or a
// dtype). For `V` types that is the client's, for the others the header's own.
// INVALID_ARGUMENT: DTYPE_AMBIGUOUS (a `V` type and nothing said),
// DTYPE_SIZE_MISMATCH.
absl::StatusOr<DType> ResolveNpyDType(const NumpyType& type,
                                      std::optional<DType> said);

// A version 1 header, padded so that elements start at a multiple of 64 bytes,
// byte for byte what numpy.save writes (which says C order of arrays that are
// dense in both). REQUIRES: CheckedElementCount accepts `shape`.
std::string WriteNpyHeader(DType dtype, ByteOrder byte_order, Order order,
                           absl::Span<const std::int64_t> shape);

}  // namespace tensord

#endif  // TENSORD_CORE_NPY_H_
