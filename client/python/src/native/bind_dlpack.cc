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

// What NumPy's from_dlpack refuses: the elements of `exporter` as unsigned
// integers of their size, and DLPack's code of their type.
nb::tuple FromDlpack(const nb::object& exporter) {
  nb::ndarray<nb::ro, nb::device::cpu> shared;
  if (!nb::try_cast(exporter, shared)) {
    throw nb::type_error("the object shares no elements in CPU memory");
  }
  const nb::dlpack::dtype dtype = shared.dtype();
  if (dtype.lanes != 1 || (dtype.bits != 8 && dtype.bits != 16)) {
    throw nb::type_error("the object shares elements of another size");
  }
  std::vector<std::size_t> shape;
  std::vector<std::int64_t> strides;
  for (std::size_t i = 0; i < shared.ndim(); ++i) {
    shape.push_back(shared.shape(i));
    strides.push_back(shared.stride(i));
  }
  const nb::dlpack::dtype integer{
      .code = static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt),
      .bits = dtype.bits,
      .lanes = 1};
  const nb::ndarray<nb::numpy, nb::ro> elements(
      shared.data(), shape.size(), shape.data(), nb::cast(shared),
      strides.data(), integer, nb::device::cpu::value);
  return nb::make_tuple(elements, static_cast<int>(dtype.code));
}

}  // namespace

void BindDlpack(nb::module_& module) {
  module.def("to_dlpack", &ToDlpack);
  module.def("from_dlpack", &FromDlpack);
}

}  // namespace tensord::python
