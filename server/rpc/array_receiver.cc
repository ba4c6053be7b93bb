#include "server/rpc/array_receiver.h"

#include <cstddef>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "core/error.h"
#include "server/wire/violations.h"

namespace tensord {

ArrayReceiver::ArrayReceiver(DeclaredArray declared,
                             const NewTensorOptions& options,
                             const ServiceContext& context,
                             BufferAllocator& allocator)
    : source_(std::move(declared), options.dtype,
              context.limits.max_tensor_bytes),
      options_(options),
      context_(context),
      allocator_(allocator) {}

absl::Status ArrayReceiver::Start() {
  if (absl::Status status = source_.Check(); !status.ok()) return status;
  // A device that is not there is refused before any data are awaited.
  const auto backend = context_.devices->Find(options_.device);
  if (!backend.ok()) return backend.status();
  return source_.format() != nullptr ? Prepare() : absl::OkStatus();
}

absl::Status ArrayReceiver::Prepare() {
  const ArrayFormat& format = *source_.format();
  const DType dtype = source_.target_dtype();
  if (options_.requires_grad && !IsDifferentiable(dtype)) {
    return InvalidArgument(reason::kGradDtype,
                           "Only Tensors of floating point and complex dtype "
                           "can require gradients");
  }
  auto buffer = allocator_.Allocate(
      options_.device, ElementCount(format.layout.shape) *
                           static_cast<std::int64_t>(ItemSize(dtype)));
  if (!buffer.ok()) return buffer.status();
  buffer_ = *std::move(buffer);
  return absl::OkStatus();
}

absl::Status ArrayReceiver::Part::Write(std::string_view piece) {
  const absl::Time start = absl::Now();
  absl::Status status = writer_->Write(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(piece.data()), piece.size()));
  conversion_time_ += absl::Now() - start;
  return status;
}

absl::Status ArrayReceiver::Part::Flush() { return writer_->Flush(); }

absl::StatusOr<ArrayReceiver::Part> ArrayReceiver::NewPart(std::int64_t begin) {
  const auto backend = context_.devices->Find(options_.device);
  if (!backend.ok()) return backend.status();
  const ArrayFormat& format = *source_.format();
  const std::int64_t first_element =
      begin / static_cast<std::int64_t>(ItemSize(format.dtype));
  return Part((*backend)->NewWriter(buffer_, first_element,
                                    {.from = format.dtype,
                                     .from_order = format.byte_order,
                                     .to = source_.target_dtype(),
                                     .overflow = options_.overflow,
                                     .report = options_.report_conversion}),
              first_element);
}

absl::Status ArrayReceiver::WriteElements(std::string_view piece) {
  if (buffer_ == nullptr) {
    if (absl::Status status = Prepare(); !status.ok()) return status;
  }
  if (!whole_.has_value()) {
    absl::StatusOr<Part> part = NewPart(0);
    if (!part.ok()) return part.status();
    whole_ = *std::move(part);
  }
  return whole_->Write(piece);
}

absl::Status ArrayReceiver::Write(std::string_view piece) {
  absl::Status status = source_.Take(piece, [this](std::string_view elements) {
    return WriteElements(elements);
  });
  if (!status.ok()) return status;
  // A header that ends with the piece: what will not fit is refused now.
  const bool known = source_.format() != nullptr;
  return known && buffer_ == nullptr ? Prepare() : absl::OkStatus();
}

absl::Status ArrayReceiver::Flush() {
  return whole_.has_value() ? whole_->Flush() : absl::OkStatus();
}

absl::Status ArrayReceiver::Add(Part part) {
  CastFailures found;
  absl::Status status = part.writer_->Finish(&found);
  if (!status.ok()) return status;
  failures_.Merge(found, static_cast<std::uint64_t>(part.first_element_));
  if (options_.report_conversion) report_.Merge(part.writer_->report());
  conversion_time_ += part.conversion_time_;
  return absl::OkStatus();
}

absl::StatusOr<Tensor> ArrayReceiver::Finish() {
  absl::Status status = source_.Finish();
  if (status.ok() && whole_.has_value()) status = Add(*std::move(whole_));
  if (!status.ok()) return status;
  const ArrayFormat& format = *source_.format();
  const DType dtype = source_.target_dtype();
  status = CastFailuresStatus(failures_, format.dtype, dtype);
  if (!status.ok()) return status;
  context_.events->Converted(format.dtype, dtype, kCpuDevice, options_.device,
                             conversion_time_);
  return Tensor(dtype, format.layout, std::move(buffer_),
                {.requires_grad = options_.requires_grad, .grad_fn = {}});
}

absl::Status AtRequestField(absl::Status status, std::string_view options,
                            std::string_view array) {
  return GetErrorReason(status) == reason::kGradDtype
             ? AtField(std::move(status),
                       std::string(options) + ".requires_grad")
             : ArgumentAtField(std::move(status), array);
}

}  // namespace tensord
