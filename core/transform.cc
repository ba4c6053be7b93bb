#include "core/transform.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "core/cast/cast_stream.h"
#include "core/error.h"

namespace tensord {
namespace {

// Most bytes that are on the way between two devices at a time.
constexpr std::int64_t kMaxStagedBytes = std::int64_t{4} << 20;

// How dimension `a` of an array compares to `b`, where inner dimensions are
// less; 0 if PyTorch does not order them.
int CompareDimensions(const Layout& layout, std::size_t a, std::size_t b) {
  const std::int64_t stride_a = layout.strides[a];
  const std::int64_t stride_b = layout.strides[b];
  if (stride_a == 0 || stride_b == 0) return 0;
  if (stride_a != stride_b) return stride_a < stride_b ? -1 : 1;
  return layout.shape[a] > layout.shape[b] ? 1 : 0;
}

// The dimensions of an array with gaps or overlaps, innermost first, in the
// order that PyTorch gives to a copy of it: an insertion sort that moves past
// what it can not compare.
std::vector<std::size_t> DimensionsInnermostFirst(const Layout& layout) {
  std::vector<std::size_t> dims(layout.shape.size());
  std::iota(dims.rbegin(), dims.rend(), std::size_t{0});
  for (std::size_t i = 1; i < dims.size(); ++i) {
    std::size_t moving = i;
    for (std::size_t other = i; other-- > 0;) {
      const int order = CompareDimensions(layout, dims[other], dims[moving]);
      if (order < 0) break;
      if (order == 0) continue;
      std::swap(dims[other], dims[moving]);
      moving = other;
    }
  }
  return dims;
}

// Strides of a copy under torch.preserve_format. Arrays that go backwards,
// which PyTorch does not have, become C-contiguous.
Dims PreservedStrides(const Layout& layout) {
  const bool backwards =
      std::any_of(layout.strides.begin(), layout.strides.end(),
                  [](std::int64_t s) { return s < 0; });
  if (backwards) return DenseStrides(layout.shape, Order::kC);
  if (IsDense(layout)) return layout.strides;
  Dims strides(layout.shape.size());
  std::int64_t next = 1;
  for (const std::size_t dim : DimensionsInnermostFirst(layout)) {
    strides[dim] = next;
    next *= std::max(layout.shape[dim], std::int64_t{1});
  }
  return strides;
}

// `layout` with its dimensions so ordered that walking it in C order meets the
// elements in the order they have in a dense array with `strides`.
Layout InMemoryOrder(const Layout& layout, const Dims& strides) {
  std::vector<std::size_t> dims(strides.size());
  std::iota(dims.begin(), dims.end(), std::size_t{0});
  std::stable_sort(dims.begin(), dims.end(), [&](std::size_t a, std::size_t b) {
    return strides[a] > strides[b];
  });
  Layout ordered{.shape = {}, .strides = {}, .offset = layout.offset};
  for (const std::size_t dim : dims) {
    ordered.shape.push_back(layout.shape[dim]);
    ordered.strides.push_back(layout.strides[dim]);
  }
  return ordered;
}

// A copy of elements: where they come from, in the order in which they are to
// lie, and where they go.
struct Copy {
  DeviceBackend& from_backend;
  BufferView from;
  DeviceBackend& to_backend;
  DType to;
  Overflow overflow;
  std::int64_t count;
  // Null if nobody asks.
  ConversionReport* report;
  const IsCancelled& is_cancelled;
};

// Reads elements as `as`, chunk by chunk, and hands each chunk to `take`, a
// callable that takes a Span<const std::byte> and returns a Status.
template <class Take>
absl::Status ReadChunks(const Copy& copy, DType as, DeviceBackend& host,
                        CastFailures* failures, Take take) {
  const auto item_size = static_cast<std::int64_t>(ItemSize(as));
  const std::int64_t chunk = std::min(copy.count, kMaxStagedBytes / item_size);
  const auto staged =
      host.Allocate(static_cast<std::size_t>(chunk * item_size));
  if (!staged.ok()) return staged.status();
  for (std::int64_t begin = 0; begin < copy.count; begin += chunk) {
    if (Ask(copy.is_cancelled)) return absl::CancelledError();
    const std::int64_t count = std::min(chunk, copy.count - begin);
    CastFailures found;
    absl::Status status = copy.from_backend.ReadToHost(
        copy.from, begin, count, as, ByteOrder::kLittle, copy.overflow,
        (*staged)->data(), &found);
    if (!status.ok()) return status;
    failures->Merge(found, static_cast<std::uint64_t>(begin));
    status = take(absl::MakeConstSpan(
        (*staged)->data(), static_cast<std::size_t>(count * item_size)));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// All elements, as they are, if the host can read them where they lie.
std::optional<absl::Span<const std::byte>> HostElements(const Copy& copy) {
  const std::byte* const base =
      copy.from_backend.HostAddress(*copy.from.buffer);
  if (base == nullptr || !IsContiguous(copy.from.layout)) return std::nullopt;
  const std::size_t item_size = ItemSize(copy.from.dtype);
  return absl::MakeConstSpan(
      base + static_cast<std::size_t>(copy.from.layout.offset) * item_size,
      static_cast<std::size_t>(copy.count) * item_size);
}

absl::Status WriteInPlace(const Copy& copy,
                          absl::Span<const std::byte> elements,
                          CastFailures* failures, BufferWriter& writer) {
  while (!elements.empty()) {
    if (Ask(copy.is_cancelled)) return absl::CancelledError();
    const auto piece = elements.subspan(0, kMaxStagedBytes);
    absl::Status status = writer.Write(piece);
    if (!status.ok()) return status;
    elements.remove_prefix(piece.size());
  }
  return writer.Finish(failures);
}

// Hands elements, read as `as`, to the writer. That keeps nothing from others
// while a device is waited for.
absl::Status WriteChunks(const Copy& copy, DType as, DeviceBackend& host,
                         CastFailures* failures, BufferWriter& writer) {
  absl::Status status = ReadChunks(
      copy, as, host, failures, [&](absl::Span<const std::byte> piece) {
        absl::Status written = writer.Write(piece);
        return written.ok() && copy.from_backend.may_wait() ? writer.Flush()
                                                            : written;
      });
  return status.ok() ? writer.Finish(failures) : status;
}

// What a writer has to do: to fill a device that the host does not reach, or to
// report.
absl::Status CopyThroughWriter(const Copy& copy,
                               const std::shared_ptr<Buffer>& destination,
                               DeviceBackend& host, CastFailures* failures) {
  const bool reports = copy.report != nullptr;
  const auto in_place = HostElements(copy);
  const bool read_casts = !reports && !in_place.has_value() &&
                          ItemSize(copy.to) < ItemSize(copy.from.dtype);
  const DType carried = read_casts ? copy.to : copy.from.dtype;
  const auto writer = copy.to_backend.NewWriter(
      destination, 0,
      {.from = carried,
       .from_order = ByteOrder::kLittle,
       .to = copy.to,
       .to_order = ByteOrder::kLittle,
       .overflow = read_casts ? Overflow::kTorch : copy.overflow,
       .report = reports});
  absl::Status status =
      in_place.has_value()
          ? WriteInPlace(copy, *in_place, failures, *writer)
          : WriteChunks(copy, carried, host, failures, *writer);
  if (status.ok() && reports && failures->count == 0) {
    copy.report->Merge(writer->report());
  }
  return status;
}

absl::Status CopyElements(const Copy& copy,
                          const std::shared_ptr<Buffer>& destination,
                          DeviceBackend& host, CastFailures* failures) {
  if (copy.report != nullptr) {
    return CopyThroughWriter(copy, destination, host, failures);
  }
  if (&copy.from_backend == &copy.to_backend) {
    return copy.to_backend.Cast(copy.from, copy.to, copy.overflow, *destination,
                                failures, copy.is_cancelled);
  }
  if (&copy.to_backend == &host) {
    return copy.from_backend.ReadToHost(copy.from, 0, copy.count, copy.to,
                                        ByteOrder::kLittle, copy.overflow,
                                        destination->data(), failures);
  }
  if (copy.from_backend.HostAddress(*copy.from.buffer) == nullptr) {
    absl::Status status =
        copy.to_backend.CastFromPeer(copy.from_backend, copy.from, copy.to,
                                     copy.overflow, *destination, failures);
    if (!absl::IsUnimplemented(status)) return status;
  }
  return CopyThroughWriter(copy, destination, host, failures);
}

absl::Status Discard(absl::Span<const std::byte>) { return absl::OkStatus(); }

// The refusal of a copy in which elements did not fit. Counts again if the
// elements were not met in the order that positions are told in.
absl::Status FailuresStatus(Copy copy, const Layout& layout,
                            CastFailures failures, DeviceBackend& host) {
  if (copy.from.layout != layout) {
    copy.from.layout = layout;
    failures = {};
    absl::Status status = ReadChunks(copy, copy.to, host, &failures, Discard);
    if (!status.ok()) return status;
  }
  return CastFailuresStatus(failures, copy.from.dtype, copy.to);
}

// A copy of `tensor` with dense `strides`.
absl::StatusOr<Tensor> CopyTensor(const Tensor& tensor, DType dtype,
                                  Device device, Overflow overflow,
                                  Dims strides, Autograd autograd,
                                  const TransformContext& context) {
  const auto host = context.devices.Find(kCpuDevice);
  if (!host.ok()) return host.status();
  const auto from = context.devices.Find(tensor.device());
  if (!from.ok()) return from.status();
  const auto to = context.devices.Find(device);
  if (!to.ok()) return to.status();
  const auto count = CheckedElementCount(tensor.shape(), ItemSize(dtype));
  if (!count.ok()) return count.status();
  auto buffer = context.allocate(
      device, *count * static_cast<std::int64_t>(ItemSize(dtype)));
  if (!buffer.ok()) return buffer.status();

  BufferView source = tensor.view();
  source.layout = InMemoryOrder(tensor.layout(), strides);
  const Copy copy{**from,
                  source,
                  **to,
                  dtype,
                  overflow,
                  *count,
                  dtype == tensor.dtype() ? nullptr : context.report,
                  context.is_cancelled};
  CastFailures failures;
  absl::Status status = CopyElements(copy, *buffer, **host, &failures);
  if (status.ok() && failures.count > 0) {
    status = FailuresStatus(copy, tensor.layout(), std::move(failures), **host);
  }
  if (!status.ok()) return status;
  return Tensor(dtype, Layout{tensor.shape(), std::move(strides), 0},
                *std::move(buffer), autograd);
}

// The history of a result of `dtype` that `grad_fn` made out of `tensor`.
Autograd DerivedAutograd(const Tensor& tensor, DType dtype,
                         std::string_view grad_fn) {
  if (!tensor.requires_grad() || !IsDifferentiable(dtype)) return {};
  return {.requires_grad = true, .grad_fn = grad_fn};
}

absl::StatusOr<Tensor> CloneWithStrides(const Tensor& tensor, Dims strides,
                                        const TransformContext& context) {
  return CopyTensor(tensor, tensor.dtype(), tensor.device(), Overflow::kTorch,
                    std::move(strides),
                    DerivedAutograd(tensor, tensor.dtype(), "CloneBackward0"),
                    context);
}

}  // namespace

absl::StatusOr<Tensor> To(const Tensor& tensor, const ToOptions& options,
                          const TransformContext& context) {
  const DType dtype = options.dtype.value_or(tensor.dtype());
  const Device device = options.device.value_or(tensor.device());
  if (dtype == tensor.dtype() && device == tensor.device() && !options.copy) {
    return tensor;
  }
  return CopyTensor(tensor, dtype, device, options.overflow,
                    PreservedStrides(tensor.layout()),
                    DerivedAutograd(tensor, dtype, "ToCopyBackward0"), context);
}

absl::StatusOr<Tensor> Clone(const Tensor& tensor,
                             const TransformContext& context) {
  return CloneWithStrides(tensor, PreservedStrides(tensor.layout()), context);
}

absl::StatusOr<Tensor> Contiguous(const Tensor& tensor,
                                  const TransformContext& context) {
  if (IsContiguous(tensor.layout())) return tensor;
  return CloneWithStrides(tensor, DenseStrides(tensor.shape(), Order::kC),
                          context);
}

absl::StatusOr<Tensor> Reshape(const Tensor& tensor,
                               absl::Span<const std::int64_t> shape,
                               const TransformContext& context) {
  if (IsContiguous(tensor.layout())) return tensor.View(shape);
  absl::StatusOr<Dims> inferred = InferShape(tensor.element_count(), shape);
  if (!inferred.ok()) return inferred.status();
  std::optional<Layout> view = ViewLayout(tensor.layout(), *inferred);
  if (view.has_value()) {
    return Tensor(
        tensor.dtype(), *std::move(view), tensor.buffer(),
        DerivedAutograd(tensor, tensor.dtype(), "ReshapeAliasBackward0"));
  }
  const absl::StatusOr<Tensor> copy = Contiguous(tensor, context);
  if (!copy.ok()) return copy.status();
  return Tensor(tensor.dtype(), DenseLayout(*std::move(inferred)),
                copy->buffer(),
                DerivedAutograd(tensor, tensor.dtype(), "UnsafeViewBackward0"));
}

}  // namespace tensord
