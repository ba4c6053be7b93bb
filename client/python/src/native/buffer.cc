#include "native/buffer.h"

namespace tensord::python {

PinnedBuffer::PinnedBuffer(nanobind::handle object, Access access) {
  // A destination is filled from end to end; a source may have strides.
  const int flags =
      access == kWritable ? PyBUF_WRITABLE | PyBUF_SIMPLE : PyBUF_STRIDED_RO;
  if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) {
    throw nanobind::python_error();
  }
}

ArrayView PinnedBuffer::AsArray(DType dtype, ByteOrder byte_order) const {
  if (static_cast<std::size_t>(view_.itemsize) != ItemSize(dtype)) {
    throw nanobind::value_error("item size of the buffer is not the dtype's");
  }
  ArrayView array;
  array.data = view_.buf;
  array.dtype = dtype;
  array.byte_order = byte_order;
  array.shape.assign(view_.shape, view_.shape + view_.ndim);
  array.byte_strides.assign(view_.strides, view_.strides + view_.ndim);
  return array;
}

}  // namespace tensord::python
