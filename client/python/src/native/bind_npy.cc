#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/npy.h"
#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "native/bind.h"
#include "native/convert.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

std::string_view ViewOf(const nb::bytes& bytes) {
  return {bytes.c_str(), bytes.size()};
}

// dtype, whether it is big-endian, shape, whether it is in Fortran's order,
// bytes before the first element.
nb::tuple ReadHeader(const nb::bytes& start, std::int64_t file_bytes,
                     std::optional<int> said) {
  const NpyHeader header = Take(ParseNpyFile(
      ViewOf(start), file_bytes, std::numeric_limits<std::int64_t>::max()));
  const DType dtype = Take(ResolveNpyDType(header.type, ToDType(said)));
  return nb::make_tuple(
      static_cast<int>(dtype), header.type.order == ByteOrder::kBig,
      FromDims(header.shape), header.order == Order::kF, header.header_bytes);
}

nb::bytes WriteHeader(int dtype, const nb::tuple& shape) {
  Dims dims;
  for (const nb::handle size : shape) {
    dims.push_back(nb::cast<std::int64_t>(size));
  }
  const std::string header =
      WriteNpyHeader(ToDType(dtype), ByteOrder::kLittle, Order::kC, dims);
  return nb::bytes(header.data(), header.size());
}

}  // namespace

void BindNpy(nb::module_& module) {
  module.attr("MAX_NPY_HEADER_BYTES") = kMaxNpyHeaderBytes + 12;
  module.def("read_npy_header", &ReadHeader, nb::arg("start"),
             nb::arg("file_bytes"), nb::arg("dtype").none());
  module.def("write_npy_header", &WriteHeader);
}

}  // namespace tensord::python
