// NumPy's memory, seen through Python's buffer protocol.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_BUFFER_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_BUFFER_H_

#include <Python.h>

#include <cstddef>

#include "core/dtype.h"
#include "nanobind/nanobind.h"
#include "tensord/array.h"

namespace tensord::python {

// Pins the memory of an object that exports a buffer, from construction to
// destruction. Both need the GIL; what lies between does not. The constructor
// throws nanobind::python_error if the object refuses, read-only memory for
// kWritable included.
class PinnedBuffer {
 public:
  enum Access { kReadable, kWritable };

  PinnedBuffer(nanobind::handle object, Access access);
  ~PinnedBuffer() { PyBuffer_Release(&view_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  const Py_buffer& view() const { return view_; }
  void* data() const { return view_.buf; }
  std::size_t size_bytes() const { return static_cast<std::size_t>(view_.len); }

  // The memory as an array of `dtype`, whose item size has to be the buffer's.
  ArrayView AsArray(DType dtype, ByteOrder byte_order) const;

 private:
  Py_buffer view_;
};

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_BUFFER_H_
