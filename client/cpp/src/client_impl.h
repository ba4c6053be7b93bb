// A connection and the calls over it, shared by Client and RemoteTensor.
#ifndef TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_
#define TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/call_group.h"
#include "client/cpp/src/call_window.h"
#include "client/cpp/src/connections.h"
#include "client/cpp/src/event_queue.h"
#include "client/cpp/src/execution.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/status.h"
#include "client/cpp/src/stream_call.h"
#include "client/cpp/src/task.h"
#include "tensord/client.h"
#include "tensord/remote_tensor.h"
#include "tensord/v1/tensord.grpc.pb.h"

namespace tensord {

// Arrays whose messages stay below this travel in one message each way: one
// call costs less than the messages of a stream, and copying this little
// through protobuf stays in the cache.
inline constexpr std::int64_t kMaxUnaryBytes = 64 << 10;

// Most bytes of an array in one message of a stream, unless the server allows
// less: large enough that the work per message does not show, and small enough
// to be in the server's cache when it takes them apart (tests/bench/README.md).
// It holds two of an upload, that one and one that arrives.
inline constexpr std::int64_t kMaxChunkBytes = 1 << 20;

// As ClientOptions::max_connections says.
inline constexpr int kMaxConnections = 64;

// A message of a batch is sent when it has more. The call that makes it more
// fits as well: a quarter of what the server takes is the most.
inline constexpr std::int64_t kBatchBytes = 256 << 10;

template <class T, class... Others>
inline constexpr bool kIsOneOf = (std::is_same_v<T, Others> || ...);

// Of calls with this request.
template <class Request>
inline constexpr client::Urgency kUrgencyOf =
    kIsOneOf<Request, v1::GetServerInfoRequest, v1::ListDevicesRequest,
             v1::QueryUploadRequest, v1::DeleteTensorRequest>
        ? client::Urgency::kEssential
        : client::Urgency::kOrdinary;

// One call of the API per method, as a task; the methods of Client and
// RemoteTensor tell what they do. What tasks are given by reference, and this,
// have to outlive them. Thread-safe.
class ClientImpl : public std::enable_shared_from_this<ClientImpl> {
 public:
  using Execution = client::Execution;
  using Done = client::Task<absl::Status>;
  using Cleanup = client::Task<client::Nothing>;
  template <class T>
  using Answer = client::Task<absl::StatusOr<T>>;
  // One for each place of a batch.
  template <class T>
  using Results = std::vector<absl::StatusOr<T>>;

  static Answer<std::shared_ptr<ClientImpl>> Connect(
      const Execution& execution, std::string_view target,
      const ClientOptions& options);

  const ClientOptions& options() const { return options_; }

  Answer<RemoteTensor> CreateTensor(const Execution& execution,
                                    const ArrayView& array,
                                    const CreateOptions& options) {
    return ToHandle(Create(execution, array, options), options.id.empty());
  }
  Answer<RemoteTensor> CreateTensorFromNpy(const Execution& execution,
                                           absl::Span<const std::byte> file,
                                           const CreateOptions& options) {
    return ToHandle(CreateFromNpy(execution, file, options),
                    options.id.empty());
  }
  Answer<RemoteTensor> CreateTensorOfNpyFile(const Execution& execution,
                                             const std::string& path,
                                             const CreateOptions& options) {
    return ToHandle(CreateOfNpyFile(execution, path, options),
                    options.id.empty());
  }
  Done Convert(const Execution& execution, const ArrayView& array, DType dtype,
               Overflow overflow, void* destination, std::size_t size_bytes);
  // Of the tensor of `info`.
  Done ReadInto(const Execution& execution, const TensorInfo& info,
                void* destination, std::size_t size_bytes,
                const ReadOptions& options);
  Answer<HostArray> Read(const Execution& execution, const TensorInfo& info,
                         const ReadOptions& options);

  Done SaveNpy(const Execution& execution, const TensorInfo& info,
               const std::string& path, const ReadOptions& options);

  Answer<RemoteTensor> GetTensor(const Execution& execution,
                                 std::string_view id) {
    return ToHandle(Get(execution, id), /*owned=*/false);
  }
  Answer<RemoteTensor> TransformTensor(const Execution& execution,
                                       const std::string& id,
                                       absl::Span<const Operation> operations,
                                       const TransformOptions& options) {
    return ToHandle(Transform(execution, id, operations, options),
                    options.id.empty());
  }
  Answer<TensorInfo> SetRequiresGrad(const Execution& execution,
                                     const std::string& id, bool requires_grad);
  Answer<TensorPage> List(const Execution& execution, int page_size,
                          std::string_view page_token,
                          const ListOptions& options);
  Done Delete(const Execution& execution, std::string_view id,
              bool allow_missing);
  // The same for a handle that goes: waits five seconds at most.
  Done DeleteOwned(const Execution& execution, std::string_view id);

  // Batches; client_batch.cc has them.
  Answer<Results<RemoteTensor>> CreateTensors(
      const Execution& execution, absl::Span<const ArrayView> arrays,
      const CreateOptions& options, absl::Span<const std::string> ids);
  Answer<Results<RemoteTensor>> TransformTensors(
      const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
      absl::Span<const Operation> operations, absl::Span<const std::string> ids,
      std::optional<absl::Duration> ttl);
  Answer<Results<RemoteTensor>> GetTensors(const Execution& execution,
                                           absl::Span<const std::string> ids);
  Answer<std::vector<absl::Status>> ReadTensorsInto(
      const Execution& execution, absl::Span<const ReadDestination> reads,
      const ReadOptions& options);
  Answer<Results<HostArray>> ReadTensors(
      const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
      const ReadOptions& options);
  Done DeleteTensors(const Execution& execution,
                     absl::Span<RemoteTensor* const> tensors);

  Answer<std::vector<DeviceInfo>> Devices(const Execution& execution);
  Answer<ServerInfo> GetServerInfo(const Execution& execution);

 private:
  // A method of the stub that begins a call.
  template <class Request, class Response>
  using Method = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> (
      v1::TensorService::Stub::*)(grpc::ClientContext*, const Request&,
                                  grpc::CompletionQueue*);

  ClientImpl(const std::shared_ptr<grpc::Channel>& channel,
             std::string_view target, const ClientOptions& options);

  // Learns the server's limits.
  Done Greet(const Execution& execution);

  client::Retry NewRetry(const Execution& execution) {
    return {execution.max_attempts, execution.timeout, throttle_};
  }

  template <class Request, class Response>
  Answer<Response> Call(const Execution& execution,
                        Method<Request, Response> method,
                        const Request& request);

  // A call that makes a tensor, under the id that `request` has or without one.
  template <class Request>
  Answer<TensorInfo> Make(const Execution& execution,
                          Method<Request, v1::Tensor> method,
                          const Request& request);

  Answer<TensorInfo> Create(const Execution& execution, const ArrayView& array,
                            const CreateOptions& options);
  Answer<TensorInfo> CreateFromNpy(const Execution& execution,
                                   absl::Span<const std::byte> file,
                                   const CreateOptions& options);
  Answer<TensorInfo> CreateOfNpyFile(const Execution& execution,
                                     const std::string& path,
                                     const CreateOptions& options);
  Answer<TensorInfo> Create(const Execution& execution,
                            const client::SendPlan& plan,
                            const CreateOptions& options);
  Answer<TensorInfo> Get(const Execution& execution, std::string_view id);
  Answer<TensorInfo> Transform(const Execution& execution,
                               const std::string& id,
                               absl::Span<const Operation> operations,
                               const TransformOptions& options);
  // Deletes the tensor without an id that a request may have made although its
  // caller has given it up: nobody else knows of it. As far as that is possible
  // in five seconds.
  Cleanup DeleteUnheardOf(const Execution& execution,
                          const std::string& request_id);
  // Whether a task failed and has been given up.
  static bool IsGivenUp(const Execution& execution, const absl::Status& status);
  // A handle on what a task made.
  Answer<RemoteTensor> ToHandle(Answer<TensorInfo> info, bool owned);

  // `expected` is where and how the result goes.
  Done Read(const Execution& execution, const std::string& id,
            const ReadOptions& options, const ArrayLayout& expected,
            std::byte* destination);

  // Streams; client_transfer.cc has them.

  // A stream over connection `i`. Errors of CallWindow::Enter and
  // RunStreamCall.
  Done Stream(const Execution& execution, client::Urgency urgency,
              std::size_t i, const char* method, client::MessageSource& source,
              client::MessageSink& sink);
  // Sends the array of `plan` after `declaration`, over as many connections as
  // are worth it.
  Answer<TensorInfo> Upload(const Execution& execution,
                            v1::UploadDeclaration declaration,
                            const client::SendPlan& plan);
  // Nothing if not all parts met in one upload, as where a server was started
  // anew, or connections lead to different ones.
  Answer<std::optional<TensorInfo>> UploadParts(
      const Execution& execution, const v1::UploadDeclaration& declaration,
      const client::SendPlan& plan, const std::vector<ByteRange>& parts);
  // Sends a range of the array, which is the part that `declaration` says or
  // the whole. Starts over connection `i`, and goes on over the first where
  // that fails. Nothing if other parts are missing.
  Answer<std::optional<TensorInfo>> UploadPart(
      const Execution& execution, const v1::UploadDeclaration& declaration,
      const client::SendPlan& plan, ByteRange range, std::size_t i);
  // Reads what `request` says to where `sink` puts it, the range `range` of it;
  // connections as for UploadPart.
  Done ReadPart(const Execution& execution, v1::DownloadTensorRequest request,
                ByteRange range, client::ArraySink& sink, std::size_t i);
  // ABORTED (ETAG_MISMATCH): the tensor was replaced between the parts.
  Done ReadParts(const Execution& execution,
                 const v1::DownloadTensorRequest& request,
                 const std::vector<ByteRange>& parts,
                 const ArrayLayout& expected, std::byte* destination);

  // Of batches. Tensors that are null are refused one by
  // one. Where the whole fails, tensors that were made and no id was given for
  // are deleted, as far as that is possible.
  Answer<Results<TensorInfo>> CreateBatch(const Execution& execution,
                                          absl::Span<const ArrayView> arrays,
                                          const CreateOptions& options,
                                          absl::Span<const std::string> ids);
  Answer<Results<TensorInfo>> TransformBatch(
      const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
      absl::Span<const Operation> operations, absl::Span<const std::string> ids,
      std::optional<absl::Duration> ttl);
  Answer<Results<TensorInfo>> GetBatch(const Execution& execution,
                                       absl::Span<const std::string> ids);
  Answer<std::vector<absl::Status>> ReadBatch(
      const Execution& execution, absl::Span<const ReadDestination> reads,
      const ReadOptions& options);
  // Missing ones count as deleted.
  Answer<std::vector<absl::Status>> DeleteBatch(
      const Execution& execution,
      absl::Span<const RemoteTensor* const> tensors);

  // Null in the place of tensors of other connections.
  std::vector<const RemoteTensor*> Mine(
      absl::Span<const RemoteTensor* const> tensors) const;
  Answer<Results<RemoteTensor>> ToHandles(Answer<Results<TensorInfo>> infos,
                                          bool owned);
  // Runs a batch with a call for every place of `outcomes`, or none where
  // fill(place, call) says false, and puts there what take(place, result) makes
  // of its result, or its refusal. Errors of CallWindow::Enter and
  // RunBatchCall.
  template <class Fill, class Take, class Outcome>
  Done RunBatch(const Execution& execution, const Fill& fill, const Take& take,
                std::vector<Outcome>& outcomes,
                client::Urgency urgency = client::Urgency::kOrdinary);
  // Deletes what a batch made before it failed.
  Done Discard(const Execution& execution, const Results<TensorInfo>& made);

  const ClientOptions options_;
  v1::TensorService::Stub stub_;
  client::Connections connections_;
  const int max_connections_;
  client::RetryThrottle throttle_;
  client::CallWindow window_;
  // Set by Greet.
  int max_upload_parts_ = 0;
  std::int64_t max_unary_bytes_ = 0;
  std::int64_t chunk_bytes_ = 0;
  std::size_t batch_bytes_ = 0;
};

template <class Request, class Response>
ClientImpl::Answer<Response> ClientImpl::Call(const Execution& execution,
                                              Method<Request, Response> method,
                                              const Request& request) {
  client::Retry retry = NewRetry(execution);
  for (;;) {
    Response response;
    absl::Status status;
    {
      auto place = window_.Enter(kUrgencyOf<Request>);
      if (place.ok()) {
        client::CancellableCall call(*execution.group);
        grpc::ClientContext& context = call.context();
        context.set_deadline(client::DeadlineAfter(execution.timeout));
        connections_.first().Prepare(context, execution.traceparent);
        grpc::Status result;
        client::Completion over;
        const auto answer =
            (stub_.*method)(&context, request, execution.queue->get());
        answer->Finish(&response, &result, over.tag());
        co_await over;
        status = client::FromGrpcStatus(result, context);
        place->Answered(status);
      } else {
        status = place.status();
      }
    }
    const std::optional<absl::Duration> pause = retry.Next(status);
    if (status.ok()) co_return response;
    if (!pause.has_value()) co_return status;
    co_await client::Pause(execution, *pause);
  }
}

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_
