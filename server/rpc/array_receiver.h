// Makes a tensor out of an array that arrives in pieces.
#ifndef TENSORD_SERVER_RPC_ARRAY_RECEIVER_H_
#define TENSORD_SERVER_RPC_ARRAY_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_report.h"
#include "core/device/device_backend.h"
#include "core/tensor.h"
#include "server/rpc/array_source.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/service_context.h"
#include "server/wire/proto_convert.h"

namespace tensord {

// Converts elements straight into the memory of the tensor, which is allocated
// as soon as its size is known. Not thread-safe, but for parts, which may be
// written side by side. Whoever drops a receiver leaves nothing behind.
class ArrayReceiver {
 public:
  // Elements that are written apart from the others. Not thread-safe.
  class Part {
   public:
    // The next bytes. Errors of the device. REQUIRES: no more bytes than the
    // array has from where the part begins.
    absl::Status Write(std::string_view piece);
    // To be called before more is waited for. Errors of the device.
    absl::Status Flush();

   private:
    friend class ArrayReceiver;
    Part(std::unique_ptr<BufferWriter> writer, std::int64_t first_element)
        : writer_(std::move(writer)), first_element_(first_element) {}

    std::unique_ptr<BufferWriter> writer_;
    std::int64_t first_element_;
    absl::Duration conversion_time_;
  };

  // `context` and `allocator` have to outlive the receiver.
  ArrayReceiver(DeclaredArray declared, const NewTensorOptions& options,
                const ServiceContext& context, BufferAllocator& allocator);

  // To be called first: refuses what can not become a tensor, as far as that is
  // known, and allocates if the size is. Errors of ArraySource::Check,
  // BufferAllocator::Allocate; GRAD_DTYPE.
  absl::Status Start();

  // The next bytes. Errors of Start, of a header, of the device. REQUIRES: no
  // more bytes than were declared in all, none of which is in a part.
  absl::Status Write(std::string_view piece);
  // To be called before more is waited for. Errors of the device.
  absl::Status Flush();

  // What begins at a byte of the array, to be written beside other parts
  // instead of by Write. Errors of DeviceRegistry::Find. REQUIRES: the elements
  // are raw, and Start returned OK; `begin` lies in the array, between
  // elements.
  absl::StatusOr<Part> NewPart(std::int64_t begin);

  // Nothing more is written to a part that NewPart made. Errors of the device.
  absl::Status Add(Part part);

  // The tensor. OUT_OF_RANGE (CAST_VALUE_OUT_OF_RANGE), INVALID_ARGUMENT
  // (NPY_TRUNCATED). REQUIRES: as many bytes as were declared were written, and
  // the parts added.
  absl::StatusOr<Tensor> Finish();

  // What the conversion did, if the options ask for it. REQUIRES: Finish
  // returned a tensor.
  std::optional<ConversionReport> report() const {
    return options_.report_conversion ? std::optional(report_) : std::nullopt;
  }

 private:
  // Allocates; what the elements are is known.
  absl::Status Prepare();
  absl::Status WriteElements(std::string_view piece);

  ArraySource source_;
  NewTensorOptions options_;
  const ServiceContext& context_;
  BufferAllocator& allocator_;
  // Null until Prepare.
  std::shared_ptr<Buffer> buffer_;
  // What Write writes to.
  std::optional<Part> whole_;
  absl::Duration conversion_time_;
  CastFailures failures_;
  ConversionReport report_;
};

// A refusal by an ArrayReceiver as one of the request: of `options`, the path
// of its TensorOptions, where these are at fault, else of `array`.
absl::Status AtRequestField(absl::Status status, std::string_view options,
                            std::string_view array);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_ARRAY_RECEIVER_H_
