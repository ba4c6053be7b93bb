#include "server/rpc/read_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/npy.h"
#include "server/wire/violations.h"

namespace tensord {
namespace {

// Largest element.
constexpr std::size_t kMaxItemSize = 16;

// The refusals of torch's Tensor.numpy(), in its order.
absl::Status CheckNumpy(const Tensor& tensor) {
  if (tensor.device() != kCpuDevice) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, reason::kNeedsCpu,
        "can't convert " + DeviceString(tensor.device()) +
            " device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first.");
  }
  if (tensor.requires_grad()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     reason::kNeedsDetach,
                     "Can't call numpy() on Tensor that requires grad. Use "
                     "tensor.detach().numpy() instead.");
  }
  return absl::OkStatus();
}

using Permutation = std::vector<std::int64_t>;

Permutation Identity(std::size_t size) {
  Permutation dims(size);
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

// The dimensions of a dense layout, the slowest first.
Permutation MemoryOrder(const Layout& layout) {
  Permutation dims = Identity(layout.shape.size());
  std::stable_sort(dims.begin(), dims.end(),
                   [&](std::int64_t a, std::int64_t b) {
                     return layout.strides[static_cast<std::size_t>(a)] >
                            layout.strides[static_cast<std::size_t>(b)];
                   });
  return dims;
}

// The order of dimensions of the result, the slowest first.
Permutation ResultOrder(const Layout& layout,
                        const TensorReadOptions& options) {
  Permutation dims = Identity(layout.shape.size());
  if (!options.order.has_value()) {
    if (!IsDense(layout) || IsContiguous(layout)) return dims;
    const bool is_fortran = DenseOrder(layout) == Order::kF;
    if (!is_fortran && options.encoding == Encoding::kRaw) {
      return MemoryOrder(layout);
    }
    if (!is_fortran) return dims;
  }
  if (options.order != Order::kC) std::reverse(dims.begin(), dims.end());
  return dims;
}

// The dense layout of `shape` whose dimensions come in the order `dims`.
Layout OrderedLayout(const Dims& shape, const Permutation& dims) {
  Layout layout{shape, Dims(shape.size()), 0};
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    const auto dim = static_cast<std::size_t>(dims[i]);
    layout.strides[dim] = stride;
    stride *= std::max<std::int64_t>(shape[dim], 1);
  }
  return layout;
}

}  // namespace

absl::StatusOr<ReadPlan> ReadPlan::Make(const Tensor& tensor,
                                        const TensorReadOptions& options,
                                        const DeviceRegistry& devices) {
  if (!options.force) {
    if (absl::Status status = CheckNumpy(tensor); !status.ok()) return status;
  }
  const auto backend = devices.Find(tensor.device());
  if (!backend.ok()) return backend.status();
  absl::StatusOr<Tensor> indexed =
      options.index.empty() ? tensor : tensor.Index(options.index);
  if (!indexed.ok()) return ArgumentAtField(indexed.status(), "options.index");
  const DType dtype = options.dtype.value_or(tensor.dtype());
  const auto count = CheckedElementCount(indexed->shape(), ItemSize(dtype));
  if (!count.ok()) return AtField(count.status(), "options.dtype");
  return ReadPlan(*std::move(indexed), *backend, options);
}

ReadPlan::ReadPlan(Tensor source, DeviceBackend* backend,
                   const TensorReadOptions& options)
    : source_(std::move(source)),
      backend_(backend),
      encoding_(options.encoding),
      overflow_(options.overflow) {
  const Permutation dims = ResultOrder(source_.layout(), options);
  format_ = {options.dtype.value_or(source_.dtype()),
             OrderedLayout(source_.shape(), dims), options.byte_order};
  if (encoding_ == Encoding::kNpy) {
    prefix_ = WriteNpyHeader(format_.dtype, format_.byte_order,
                             DenseOrder(format_.layout).value_or(Order::kC),
                             source_.shape());
  }
  item_size_ = static_cast<std::int64_t>(ItemSize(format_.dtype));
  data_bytes_ = source_.element_count() * item_size_;
  // A permutation of all dimensions is always accepted.
  source_ = *source_.Detach().Permute(dims);
  const bool as_stored = format_.dtype == source_.dtype() &&
                         (format_.byte_order == ByteOrder::kLittle ||
                          SwapUnit(format_.dtype) == 1) &&
                         IsContiguous(source_.layout());
  const std::byte* const memory = backend_->HostAddress(*source_.buffer());
  if (as_stored && memory != nullptr) {
    elements_ = memory + source_.layout().offset * item_size_;
  }
}

const std::byte* ReadPlan::Borrow(std::int64_t offset) const {
  return elements_ != nullptr && offset >= prefix_bytes()
             ? elements_ + (offset - prefix_bytes())
             : nullptr;
}

absl::Status ReadPlan::Copy(std::int64_t offset, std::int64_t size_bytes,
                            std::byte* dst) {
  const std::int64_t from_prefix =
      std::clamp<std::int64_t>(prefix_bytes() - offset, 0, size_bytes);
  if (from_prefix > 0) {
    std::memcpy(dst, prefix_.data() + offset,
                static_cast<std::size_t>(from_prefix));
  }
  if (from_prefix == size_bytes) return absl::OkStatus();
  return CopyData(offset + from_prefix - prefix_bytes(),
                  size_bytes - from_prefix, dst + from_prefix);
}

absl::Status ReadPlan::CopyData(std::int64_t offset, std::int64_t size_bytes,
                                std::byte* dst) {
  if (elements_ != nullptr) {
    std::memcpy(dst, elements_ + offset, static_cast<std::size_t>(size_bytes));
    return absl::OkStatus();
  }
  // The rest of an element, whole elements, the start of an element.
  const std::int64_t end = offset + size_bytes;
  const std::int64_t to_boundary =
      (item_size_ - offset % item_size_) % item_size_;
  const std::int64_t head = std::min(to_boundary, size_bytes);
  const std::int64_t tail = head == size_bytes ? 0 : end % item_size_;
  if (head > 0) {
    absl::Status status = CopyPart(offset, head, dst);
    if (!status.ok()) return status;
  }
  const std::int64_t whole = size_bytes - head - tail;
  if (whole > 0) {
    absl::Status status = CopyElements((offset + head) / item_size_,
                                       whole / item_size_, dst + head);
    if (!status.ok()) return status;
  }
  return tail > 0 ? CopyPart(end - tail, tail, dst + head + whole)
                  : absl::OkStatus();
}

absl::Status ReadPlan::CopyPart(std::int64_t offset, std::int64_t size_bytes,
                                std::byte* dst) {
  std::array<std::byte, kMaxItemSize> element;
  absl::Status status = CopyElements(offset / item_size_, 1, element.data());
  if (!status.ok()) return status;
  std::memcpy(dst, element.data() + offset % item_size_,
              static_cast<std::size_t>(size_bytes));
  return status;
}

absl::Status ReadPlan::CopyElements(std::int64_t begin, std::int64_t count,
                                    std::byte* dst) {
  CastFailures found;
  absl::Status status =
      backend_->ReadToHost(source_.view(), begin, count, format_.dtype,
                           format_.byte_order, overflow_, dst, &found);
  if (found.count > 0) {
    failures_.Merge(found, static_cast<std::uint64_t>(begin));
  }
  return status;
}

std::int64_t ReadPlan::StretchEnd(std::int64_t offset, std::int64_t end,
                                  std::int64_t most) const {
  if (offset < prefix_bytes()) {
    return std::min({end, prefix_bytes(), offset + most});
  }
  if (end - offset <= most) return end;
  const std::int64_t data_end = offset + most - prefix_bytes();
  return data_end - data_end % item_size_ + prefix_bytes();
}

absl::Status ReadPlan::Verdict() const {
  return CastFailuresStatus(failures_, source_.dtype(), format_.dtype);
}

}  // namespace tensord
