#include "core/tensor.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "core/error.h"

namespace tensord {
namespace {

// Dimensions that an index names; an ellipsis stands for the others.
std::size_t NamedDimensions(absl::Span<const IndexTerm> terms) {
  std::size_t named = 0;
  for (const IndexTerm& term : terms) {
    named += std::holds_alternative<std::int64_t>(term) ||
             std::holds_alternative<Slice>(term);
  }
  return named;
}

// Whether PyTorch sees at once that a slice of a dimension of `size` elements
// is the whole dimension. It looks at the numbers as they were given: -size is
// not 0.
bool IsWhole(const Slice& slice, std::int64_t size) {
  return slice.start.value_or(0) == 0 && slice.step.value_or(1) == 1 &&
         slice.stop.value_or(size) >= size;
}

// The last view that PyTorch takes to work through an index, which is the one
// that the result remembers. REQUIRES: IndexLayout accepts `terms`.
std::string_view IndexGradFn(absl::Span<const std::int64_t> shape,
                             absl::Span<const IndexTerm> terms) {
  // A slice alone does not go through the shortcut for whole dimensions.
  const bool alone = terms.size() == 1;
  std::string_view grad_fn = "AliasBackward0";
  std::size_t dim = 0;
  for (const IndexTerm& term : terms) {
    if (std::holds_alternative<NewAxis>(term)) {
      grad_fn = "UnsqueezeBackward0";
    } else if (std::holds_alternative<Ellipsis>(term)) {
      dim += shape.size() - NamedDimensions(terms);
    } else {
      const Slice* const slice = std::get_if<Slice>(&term);
      if (slice == nullptr) {
        grad_fn = "SelectBackward0";
      } else if (alone || !IsWhole(*slice, shape[dim])) {
        grad_fn = "SliceBackward0";
      }
      ++dim;
    }
  }
  return grad_fn;
}

}  // namespace

Tensor::Tensor(DType dtype, Layout layout, std::shared_ptr<const Buffer> buffer,
               Autograd autograd)
    : dtype_(dtype),
      layout_(std::move(layout)),
      buffer_(std::move(buffer)),
      autograd_(autograd) {}

std::int64_t Tensor::size_bytes() const {
  return element_count() * static_cast<std::int64_t>(ItemSize(dtype_));
}

Tensor Tensor::Detach() const { return Tensor(dtype_, layout_, buffer_); }

absl::StatusOr<Tensor> Tensor::WithRequiresGrad(bool requires_grad) const {
  if (requires_grad == this->requires_grad()) return *this;
  if (requires_grad && !IsDifferentiable(dtype_)) {
    return InvalidArgument(
        reason::kGradDtype,
        "only Tensors of floating point dtype can require gradients");
  }
  if (!is_leaf()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, reason::kGradNonLeaf,
        "you can only change requires_grad flags of leaf variables. If you "
        "want to use a computed variable in a subgraph that doesn't require "
        "differentiation use var_no_grad = var.detach().");
  }
  return Tensor(dtype_, layout_, buffer_,
                {.requires_grad = requires_grad, .grad_fn = {}});
}

absl::StatusOr<Tensor> Tensor::Index(absl::Span<const IndexTerm> terms) const {
  absl::StatusOr<Layout> layout = IndexLayout(layout_, terms);
  if (!layout.ok()) return layout.status();
  return Derived(*std::move(layout), IndexGradFn(layout_.shape, terms));
}

absl::StatusOr<Tensor> Tensor::Permute(
    absl::Span<const std::int64_t> dims) const {
  absl::StatusOr<Layout> layout = PermuteLayout(layout_, dims);
  if (!layout.ok()) return layout.status();
  return Derived(*std::move(layout), "PermuteBackward0");
}

absl::StatusOr<Tensor> Tensor::View(
    absl::Span<const std::int64_t> shape) const {
  const absl::StatusOr<Dims> inferred = InferShape(element_count(), shape);
  if (!inferred.ok()) return inferred.status();
  std::optional<Layout> layout = ViewLayout(layout_, *inferred);
  if (!layout.has_value()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, reason::kViewNeedsCopy,
        "view size is not compatible with input tensor's size and stride (at "
        "least one dimension spans across two contiguous subspaces). Use "
        ".reshape(...) instead.");
  }
  return Derived(*std::move(layout), "ViewBackward0");
}

Tensor Tensor::Derived(Layout layout, std::string_view grad_fn) const {
  Autograd autograd;
  if (requires_grad()) autograd = {.requires_grad = true, .grad_fn = grad_fn};
  return Tensor(dtype_, std::move(layout), buffer_, autograd);
}

}  // namespace tensord
