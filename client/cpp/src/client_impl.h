// A connection and the calls over it, shared by Client and RemoteTensor.
#ifndef TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_
#define TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/connections.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/status.h"
#include "client/cpp/src/stream_call.h"
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

// One call of the API per method; the methods of Client and RemoteTensor tell
// what they do. Thread-safe.
class ClientImpl {
 public:
  static absl::StatusOr<std::shared_ptr<ClientImpl>> Connect(
      std::string_view target, const ClientOptions& options);

  absl::StatusOr<TensorInfo> Create(const ArrayView& array,
                                    const CreateOptions& options);
  absl::StatusOr<TensorInfo> CreateFromNpy(absl::Span<const std::byte> file,
                                           const CreateOptions& options);
  absl::Status Convert(const ArrayView& array, DType dtype, Overflow overflow,
                       void* destination, std::size_t size_bytes);
  // `expected` is where and how the result goes.
  absl::Status Read(const std::string& id, const ReadOptions& options,
                    const ArrayLayout& expected, std::byte* destination);

  absl::StatusOr<TensorInfo> Get(std::string_view id);
  absl::StatusOr<TensorInfo> Transform(const std::string& id,
                                       absl::Span<const Operation> operations,
                                       const TransformOptions& options);
  absl::StatusOr<TensorInfo> SetRequiresGrad(const std::string& id,
                                             bool requires_grad);
  absl::StatusOr<TensorPage> List(int page_size, std::string_view page_token,
                                  const ListOptions& options);
  absl::Status Delete(std::string_view id, bool allow_missing);
  // The same for a handle that goes: waits five seconds at most.
  absl::Status DeleteOwned(std::string_view id);

  // Batches; client_batch.cc has them. Tensors that are null are refused one by
  // one. Where the whole fails, tensors that were made and no id was given for
  // are deleted, as far as that is possible.
  template <class T>
  using Results = std::vector<absl::StatusOr<T>>;
  absl::StatusOr<Results<TensorInfo>> CreateBatch(
      absl::Span<const ArrayView> arrays, const CreateOptions& options,
      absl::Span<const std::string> ids);
  absl::StatusOr<Results<TensorInfo>> TransformBatch(
      absl::Span<const RemoteTensor* const> tensors,
      absl::Span<const Operation> operations, absl::Span<const std::string> ids,
      std::optional<absl::Duration> ttl);
  absl::StatusOr<Results<TensorInfo>> GetBatch(
      absl::Span<const std::string> ids);
  absl::StatusOr<std::vector<absl::Status>> ReadBatch(
      absl::Span<const ReadDestination> reads, const ReadOptions& options);
  // Missing ones count as deleted.
  absl::StatusOr<std::vector<absl::Status>> DeleteBatch(
      absl::Span<const RemoteTensor* const> tensors);

  absl::StatusOr<std::vector<DeviceInfo>> Devices();
  absl::StatusOr<ServerInfo> GetServerInfo();

 private:
  template <class Request, class Response>
  using Method = grpc::Status (v1::TensorService::Stub::*)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*);

  ClientImpl(const std::shared_ptr<grpc::Channel>& channel,
             std::string_view target, const ClientOptions& options);

  // Learns the server's limits.
  absl::Status Greet();

  // Bounds of a call.
  struct Patience {
    absl::Duration timeout;
    int max_attempts;
  };
  Patience Usual() const { return {timeout_, max_attempts_}; }
  client::Retry NewRetry(const Patience& patience) {
    return {patience.max_attempts, patience.timeout, throttle_};
  }

  template <class Request, class Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method,
                                const Request& request,
                                const Patience& patience);
  template <class Request, class Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method,
                                const Request& request) {
    return Call(method, request, Usual());
  }
  absl::StatusOr<ServerInfo> GetServerInfo(const Patience& patience);

  // Streams; client_transfer.cc has them.

  // A stream over connection `i`; `group` may be null.
  absl::Status Stream(std::size_t i, const char* method,
                      client::MessageSource& source, client::MessageSink& sink,
                      client::CallGroup* group);
  // Sends the array of `plan` after `declaration`, over as many connections as
  // are worth it.
  absl::StatusOr<TensorInfo> Upload(v1::UploadDeclaration declaration,
                                    const client::SendPlan& plan);
  // Nothing if not all parts met in one upload, as where a server was started
  // anew, or connections lead to different ones.
  absl::StatusOr<std::optional<TensorInfo>> UploadParts(
      const v1::UploadDeclaration& declaration, const client::SendPlan& plan,
      const std::vector<ByteRange>& parts);
  // Sends a range of the array, which is the part that `declaration` says or
  // the whole. Starts over connection `i`, and goes on over the first where
  // that fails. Nothing if other parts are missing.
  absl::StatusOr<std::optional<TensorInfo>> UploadPart(
      const v1::UploadDeclaration& declaration, const client::SendPlan& plan,
      ByteRange range, std::size_t i, client::CallGroup* group);
  // Reads what `request` says to where `sink` puts it, the range `range` of it;
  // connections as for UploadPart.
  absl::Status ReadPart(v1::DownloadTensorRequest request, ByteRange range,
                        client::ArraySink& sink, std::size_t i,
                        client::CallGroup* group);
  // ABORTED (ETAG_MISMATCH): the tensor was replaced between the parts.
  absl::Status ReadParts(const v1::DownloadTensorRequest& request,
                         const std::vector<ByteRange>& parts,
                         const ArrayLayout& expected, std::byte* destination);

  absl::Status Delete(std::string_view id, bool allow_missing,
                      const Patience& patience);
  // Runs a batch with a call for every place of `outcomes`, or none where
  // fill(place, call) says false, and puts there what take(place, result) makes
  // of its result, or its refusal. Errors of RunBatchCall.
  template <class Fill, class Take, class Outcome>
  absl::Status RunBatch(Fill fill, Take take, std::vector<Outcome>& outcomes);
  // Deletes what a batch made before it failed.
  void Discard(const Results<TensorInfo>& made);

  v1::TensorService::Stub stub_;
  client::Connections connections_;
  const int max_connections_;
  const absl::Duration timeout_;
  const int max_attempts_;
  const bool checksums_;
  client::RetryThrottle throttle_;
  // Set by Greet.
  int max_upload_parts_ = 0;
  std::int64_t max_unary_bytes_ = 0;
  std::int64_t chunk_bytes_ = 0;
  std::size_t batch_bytes_ = 0;
};

template <class Request, class Response>
absl::StatusOr<Response> ClientImpl::Call(Method<Request, Response> method,
                                          const Request& request,
                                          const Patience& patience) {
  client::Retry retry = NewRetry(patience);
  Response response;
  absl::Status status;
  do {
    grpc::ClientContext context;
    context.set_deadline(client::DeadlineAfter(patience.timeout));
    connections_.first().Authorize(context);
    status = client::FromGrpcStatus(
        (stub_.*method)(&context, request, &response), context);
  } while (retry.Again(status));
  if (!status.ok()) return status;
  return response;
}

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_SRC_CLIENT_IMPL_H_
