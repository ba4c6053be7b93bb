// Operations on tensors that may need memory or a device: casts, transfers,
// copies.
#ifndef TENSORD_CORE_TRANSFORM_H_
#define TENSORD_CORE_TRANSFORM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_report.h"
#include "core/device/device.h"
#include "core/device/device_registry.h"
#include "core/is_cancelled.h"
#include "core/tensor.h"

namespace tensord {

// Gives an uninitialised buffer on a device, charged to whoever asked.
// Thread-safe.
using Allocator = std::function<absl::StatusOr<std::shared_ptr<Buffer>>(
    Device device, std::int64_t size_bytes)>;

// What the functions below work with.
struct TransformContext {
  const DeviceRegistry& devices;
  const Allocator& allocate;
  // Where casts merge what they did, if they succeed; null if nobody asks.
  ConversionReport* report = nullptr;
  // Ends copies of much with CANCELLED.
  IsCancelled is_cancelled = {};
};

struct ToOptions {
  std::optional<DType> dtype;
  std::optional<Device> device;
  bool copy = false;
  Overflow overflow = Overflow::kTorch;
};

// torch's Tensor.to: the same tensor where nothing changes and `copy` is false.
// A copy is dense and laid out as torch.preserve_format does it: with the
// strides of a dense source, else with dimensions in the order of the source's
// strides; sources that go backwards become C-contiguous. The copy of a tensor
// that requires grad requires grad with grad_fn ToCopyBackward0, if its dtype
// can. Errors of DeviceRegistry::Find and of the allocator; OUT_OF_RANGE
// (CAST_VALUE_OUT_OF_RANGE), with positions in C order of `tensor`;
// INVALID_ARGUMENT (SHAPE_OVERFLOW) where the copy's size would.
absl::StatusOr<Tensor> To(const Tensor& tensor, const ToOptions& options,
                          const TransformContext& context);

// A copy in storage of its own, laid out as To lays out its copies; grad_fn
// CloneBackward0.
absl::StatusOr<Tensor> Clone(const Tensor& tensor,
                             const TransformContext& context);

// The same tensor where it is contiguous in C order, else a copy that is;
// grad_fn CloneBackward0.
absl::StatusOr<Tensor> Contiguous(const Tensor& tensor,
                                  const TransformContext& context);

// A view where strides allow it (grad_fn ViewBackward0 of a contiguous tensor,
// else ReshapeAliasBackward0), else a copy (UnsafeViewBackward0). Errors of
// InferShape and of the allocator.
absl::StatusOr<Tensor> Reshape(const Tensor& tensor,
                               absl::Span<const std::int64_t> shape,
                               const TransformContext& context);

}  // namespace tensord

#endif  // TENSORD_CORE_TRANSFORM_H_
