// The parts that the module _native is put together from.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_

#include <optional>
#include <utility>

#include "nanobind/nanobind.h"
#include "native/gil.h"
#include "tensord/remote_tensor.h"

namespace tensord::python {

// How a handle that owns its tensor deletes it when it goes.
enum class Going { kWaits, kInBackground };

// What Python holds of a RemoteTensor. Destruction, which may wait for the
// server, lets other Python threads run.
class TensorHandle {
 public:
  TensorHandle(RemoteTensor tensor, Going going)
      : tensor_(std::move(tensor)), going_(going) {}
  TensorHandle(TensorHandle&&) = default;
  ~TensorHandle() {
    if (!tensor_.has_value()) return;
    GilRelease release;
    if (going_ == Going::kInBackground && tensor_->owned()) {
      tensor_->DeleteAsync().Then([](const absl::Status&) {});
    }
    tensor_.reset();
  }

  RemoteTensor& operator*() { return *tensor_; }
  RemoteTensor* operator->() { return &*tensor_; }

 private:
  std::optional<RemoteTensor> tensor_;
  Going going_;
};

inline nanobind::object FromTensor(RemoteTensor tensor, Going going) {
  return nanobind::cast(TensorHandle(std::move(tensor), going));
}

// Adds the class Client, and the calls of one.
void BindClient(nanobind::module_& module);

// Adds the class Tensor, and the calls on one.
void BindTensor(nanobind::module_& module);

// Adds the calls that are many at once.
void BindBatch(nanobind::module_& module);

// Adds functions between arrays and DLPack.
void BindDlpack(nanobind::module_& module);

// Adds functions on the headers of .npy files.
void BindNpy(nanobind::module_& module);

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_BIND_H_
