#include <cstddef>
#include <cstdint>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/ndarray.h"
#include "native/bind.h"
#include "native/buffer.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

// A capsule that keeps `array`, whose elements are of DLPack's type `code`.
nb::object ToDlpack(nb::handle array, int code) {
  const PinnedBuffer memory(array, PinnedBuffer::kReadable);
  const Py_buffer& view = memory.view();
  const std::vector<std::size_t> shape(view.shape, view.shape + view.ndim);
  std::vector<std::int64_t> strides(view.strides, view.strides + view.ndim);
  for (std::int64_t& stride : strides) stride /= view.itemsize;
  const nb::dlpack::dtype dtype{
      .code = static_cast<std::uint8_t>(code),
      .bits = static_cast<std::uint8_t>(8 * view.itemsize),
      .lanes = 1};
  return nb::cast(nb::ndarray<>(view.buf, shape.size(), shape.data(), array,
                                strides.data(), dtype, nb::device::cpu::value));
}

}  // namespace

void BindDlpack(nb::module_& module) { module.def("to_dlpack", &ToDlpack); }

}  // namespace tensord::python
