// Tensors: immutable, cheap views on shared buffers, with PyTorch's autograd
// flags.
#ifndef TENSORD_CORE_TENSOR_H_
#define TENSORD_CORE_TENSOR_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/device/device.h"
#include "core/device/device_backend.h"
#include "core/dtype.h"
#include "core/memory/buffer.h"
#include "core/shape.h"

namespace tensord {

// What torch would have recorded of a tensor's history.
struct Autograd {
  bool requires_grad = false;
  // Name of the function that made a tensor that requires grad
  // ("ToCopyBackward0"); empty for leaves. Always a string literal.
  std::string_view grad_fn;
  bool operator==(const Autograd&) const = default;
};

// Elements in a shared buffer, seen in some layout. A value: copies share the
// buffer. Immutable, hence thread-safe.
//
// Views (Detach, Index, Permute, View) never copy elements. A view of a tensor
// that requires grad requires grad and is no leaf.
class Tensor {
 public:
  // REQUIRES: every element that `layout` reaches lies inside `buffer`;
  // `autograd` suits `dtype`.
  Tensor(DType dtype, Layout layout, std::shared_ptr<const Buffer> buffer,
         Autograd autograd = {});

  DType dtype() const { return dtype_; }
  const Layout& layout() const { return layout_; }
  const Dims& shape() const { return layout_.shape; }
  const Dims& strides() const { return layout_.strides; }
  const std::shared_ptr<const Buffer>& buffer() const { return buffer_; }
  Device device() const { return buffer_->device(); }
  BufferView view() const { return {buffer_, dtype_, layout_}; }

  std::int64_t element_count() const { return ElementCount(layout_.shape); }
  // Number of elements times item size.
  std::int64_t size_bytes() const;

  bool requires_grad() const { return autograd_.requires_grad; }
  std::string_view grad_fn() const { return autograd_.grad_fn; }
  bool is_leaf() const { return autograd_.grad_fn.empty(); }
  const Autograd& autograd() const { return autograd_; }

  // The same elements, without requires_grad.
  Tensor Detach() const;

  // The same elements, with requires_grad as given. INVALID_ARGUMENT
  // (GRAD_DTYPE): the dtype can not; FAILED_PRECONDITION (GRAD_NON_LEAF): false
  // for a tensor that is no leaf. Messages are PyTorch's.
  absl::StatusOr<Tensor> WithRequiresGrad(bool requires_grad) const;

  // this[terms...]. Errors of IndexLayout.
  absl::StatusOr<Tensor> Index(absl::Span<const IndexTerm> terms) const;

  // Errors of PermuteLayout.
  absl::StatusOr<Tensor> Permute(absl::Span<const std::int64_t> dims) const;

  // The same elements in another shape; one -1 is inferred. Errors of
  // InferShape; FAILED_PRECONDITION (VIEW_NEEDS_COPY) with PyTorch's message.
  absl::StatusOr<Tensor> View(absl::Span<const std::int64_t> shape) const;

 private:
  // A view with `layout`, made by the autograd function `grad_fn`.
  Tensor Derived(Layout layout, std::string_view grad_fn) const;

  DType dtype_;
  Layout layout_;
  std::shared_ptr<const Buffer> buffer_;
  Autograd autograd_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_TENSOR_H_
