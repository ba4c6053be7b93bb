// What the calls on stored tensors do, without how they arrive and are
// answered.
#ifndef TENSORD_SERVER_RPC_TENSOR_CALLS_H_
#define TENSORD_SERVER_RPC_TENSOR_CALLS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/cast/conversion_report.h"
#include "core/device/device_backend.h"
#include "core/store/tensor_store.h"
#include "google/protobuf/empty.pb.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/operations.h"
#include "server/rpc/request_log.h"
#include "server/rpc/service_context.h"
#include "server/wire/proto_convert.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Work on more bytes does not run on gRPC's threads.
inline constexpr std::int64_t kMaxInlineBytes = std::int64_t{1} << 20;

// A ReadTensor whose arguments are checked. Holds its source.
struct Reading {
  std::shared_ptr<const StoredTensor> source;
  TensorReadOptions options;
  // The device whose threads have to run it; nothing if any may.
  std::optional<Device> device;
};

// A TransformTensor whose arguments are checked. Holds its source and the id of
// its result, but nothing of a repeated request.
struct Transformation {
  // Bytes that may have to be gone through.
  std::int64_t source_bytes() const {
    return source != nullptr ? source->tensor.size_bytes() : 0;
  }

  // What the request was answered with before.
  RequestLog::Answered answer;
  RequestLog::Ticket ticket;
  std::shared_ptr<const StoredTensor> source;
  std::vector<Operation> operations;
  std::optional<TensorStore::Claim> claim;
  Lifetime lifetime;
  // Nothing if nobody asks.
  std::optional<ConversionReport> report;
  // The device whose threads have to run it; nothing if any may.
  std::optional<Device> device;
};

// One method per call: fills a response that is empty, or refuses with the
// errors that the proto file has. A request that is repeated with its id gets
// the response of the first, and is not carried out again. Tells the events of
// the context about arrays and conversions, not about refusals. Methods may
// throw what allocating throws. Thread-safe.
class TensorCalls {
 public:
  // Both have to outlive this.
  TensorCalls(const ServiceContext& context, BufferAllocator& allocator);

  // To be run by the threads of the device that WaitsFor says of the request's.
  absl::Status Create(const v1::CreateTensorRequest& request,
                      v1::Tensor& response);

  // The two halves of ReadTensor: what is quick, and what may have to run on
  // job.device's threads. RESULT_TOO_LARGE if the response would have more than
  // `max_bytes`. REQUIRES: `job` is new; Prepare returned OK.
  absl::Status Prepare(const v1::ReadTensorRequest& request, Reading& job);
  absl::Status Read(const Reading& job, std::int64_t max_bytes,
                    v1::ReadTensorResponse& response);

  absl::Status Get(const v1::GetTensorRequest& request, v1::Tensor& response);

  absl::Status Update(const v1::UpdateTensorRequest& request,
                      v1::Tensor& response);

  absl::Status Delete(const v1::DeleteTensorRequest& request,
                      google::protobuf::Empty& response);

  // The two halves of TransformTensor: what is quick, and what may take long
  // where the source is large, or have to run on job.device's threads.
  // CANCELLED, and then nothing is stored, if that was so before the end.
  // REQUIRES: `job` is new; Prepare returned OK.
  absl::Status Prepare(const v1::TransformTensorRequest& request,
                       Transformation& job);
  absl::Status Transform(Transformation& job, IsCancelled is_cancelled,
                         v1::Tensor& response);

 private:
  absl::Status CreateNew(const v1::CreateTensorRequest& request,
                         v1::Tensor& response);
  absl::Status UpdateStored(const v1::UpdateTensorRequest& request,
                            v1::Tensor& response);
  absl::Status DeleteStored(const v1::DeleteTensorRequest& request);

  const ServiceContext& context_;
  BufferAllocator& allocator_;
  const Allocator allocate_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_TENSOR_CALLS_H_
