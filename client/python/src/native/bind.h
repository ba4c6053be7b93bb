// The parts that the module _native is put together from.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_

#include <optional>
#include <utility>

#include "nanobind/nanobind.h"
#include "tensord/remote_tensor.h"

namespace tensord::python {

// What Python holds of a RemoteTensor. Destruction, which may wait for the
// server, lets other Python threads run.
class TensorHandle {
 public:
  explicit TensorHandle(RemoteTensor tensor) : tensor_(std::move(tensor)) {}
  TensorHandle(TensorHandle&&) = default;
  ~TensorHandle() {
    if (!tensor_.has_value()) return;
    nanobind::gil_scoped_release release;
    tensor_.reset();
  }

  RemoteTensor& operator*() { return *tensor_; }
  RemoteTensor* operator->() { return &*tensor_; }

 private:
  std::optional<RemoteTensor> tensor_;
};

// Adds the class Client.
void BindClient(nanobind::module_& module);

// Adds the class Tensor.
void BindTensor(nanobind::module_& module);

// Adds the functions that run many calls at once.
void BindBatch(nanobind::module_& module);

// Adds the function to_dlpack.
void BindDlpack(nanobind::module_& module);

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_
