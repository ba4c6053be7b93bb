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
  const auto backend = context_.devices->Find(options_.device);
  if (!backend.ok()) return backend.status();
  auto buffer = allocator_.Allocate(
      options_.device, ElementCount(format.layout.shape) *
                           static_cast<std::int64_t>(ItemSize(dtype)));
  if (!buffer.ok()) return buffer.status();
  buffer_ = *std::move(buffer);
  writer_ =
      (*backend)->NewWriter(buffer_, {.from = format.dtype,
                                      .from_order = format.byte_order,
                                      .to = dtype,
                                      .overflow = options_.overflow,
                                      .report = options_.report_conversion});
  return absl::OkStatus();
}

absl::Status ArrayReceiver::WriteElements(std::string_view piece) {
  if (writer_ == nullptr) {
    if (absl::Status status = Prepare(); !status.ok()) return status;
  }
  const absl::Time start = absl::Now();
  absl::Status status = writer_->Write(absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(piece.data()), piece.size()));
  conversion_time_ += absl::Now() - start;
  return status;
}

absl::Status ArrayReceiver::Write(std::string_view piece) {
  absl::Status status = source_.Take(piece, [this](std::string_view elements) {
    return WriteElements(elements);
  });
  if (!status.ok()) return status;
  // A header that ends with the piece: what will not fit is refused now.
  const bool known = source_.format() != nullptr;
  return known && writer_ == nullptr ? Prepare() : absl::OkStatus();
}

absl::StatusOr<Tensor> ArrayReceiver::Finish() {
  if (absl::Status status = source_.Finish(); !status.ok()) return status;
  if (absl::Status status = writer_->Finish(); !status.ok()) return status;
  const ArrayFormat& format = *source_.format();
  const DType dtype = source_.target_dtype();
  context_.events->Converted(format.dtype, dtype, options_.device,
                             conversion_time_);
  if (options_.report_conversion) report_ = writer_->report();
  writer_.reset();
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
