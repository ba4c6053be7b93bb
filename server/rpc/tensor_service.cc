#include "server/rpc/tensor_service.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "google/protobuf/empty.pb.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/absl_text.h"
#include "server/observe/call_record.h"
#include "server/rpc/batch_stream.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/call.h"
#include "server/rpc/convert_stream.h"
#include "server/rpc/device_threads.h"
#include "server/rpc/download_stream.h"
#include "server/rpc/find_tensor.h"
#include "server/rpc/list_tensors.h"
#include "server/rpc/page_token.h"
#include "server/rpc/request_log.h"
#include "server/rpc/stream_watch.h"
#include "server/rpc/tensor_calls.h"
#include "server/rpc/upload_stream.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_convert.h"
#include "server/wire/status.h"
#include "tensord/v1/tensord.grpc.pb.h"

namespace tensord {
namespace {

using Call = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;
using grpc::ByteBuffer;

// Of what a device that is out of service says.
constexpr std::size_t kMaxHealthBytes = 1024;

// Streams take their messages raw; all methods are on the callback interface.
template <class Base>
using WithStreams = v1::TensorService::WithRawCallbackMethod_UploadTensor<
    v1::TensorService::WithRawCallbackMethod_DownloadTensor<
        v1::TensorService::WithRawCallbackMethod_ConvertArray<
            v1::TensorService::WithRawCallbackMethod_Batch<Base>>>>;
template <class Base>
using WithElements = v1::TensorService::WithCallbackMethod_CreateTensor<
    v1::TensorService::WithCallbackMethod_QueryUpload<
        v1::TensorService::WithCallbackMethod_ReadTensor<
            v1::TensorService::WithCallbackMethod_TransformTensor<Base>>>>;
template <class Base>
using WithMetadata = v1::TensorService::WithCallbackMethod_GetTensor<
    v1::TensorService::WithCallbackMethod_ListTensors<
        v1::TensorService::WithCallbackMethod_UpdateTensor<
            v1::TensorService::WithCallbackMethod_DeleteTensor<Base>>>>;
template <class Base>
using WithServer = v1::TensorService::WithCallbackMethod_ListDevices<
    v1::TensorService::WithCallbackMethod_GetServerInfo<Base>>;
using ServiceBase = WithStreams<
    WithElements<WithMetadata<WithServer<v1::TensorService::Service>>>>;

// A stream that is refused before it begins.
template <class Reactor>
class Refused final : public Reactor {
 public:
  explicit Refused(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

absl::Status NoUpload(const ServiceContext& context, std::string_view id) {
  const std::string upload = absl::StrCat("upload ", std::string(id));
  if (AreToldApart(context)) return Denied(reason::kUploadDenied, upload);
  return MakeError(absl::StatusCode::kNotFound, reason::kUploadNotFound,
                   absl::StrCat("there is no ", upload));
}

class Service final : public ServiceBase {
 public:
  Service(Admission& admission, const ServiceContext& shared)
      : admission_(admission),
        shared_(shared),
        workers_(std::max(std::thread::hardware_concurrency(), 1U)),
        device_threads_(*shared_.devices) {
    MakeStatusesAhead();
  }
  ~Service() override { workers_.join(); }

  grpc::ServerReadReactor<ByteBuffer>* UploadTensor(
      Call* call, ByteBuffer* response) override {
    using Reactor = grpc::ServerReadReactor<ByteBuffer>;
    return Stream<Reactor>(*call, kCreateScopes, [&](Admitted admitted) {
      return ServeUpload(std::move(admitted), device_threads_, *call,
                         *response);
    });
  }

  grpc::ServerWriteReactor<ByteBuffer>* DownloadTensor(
      Call* call, const ByteBuffer* request) override {
    using Reactor = grpc::ServerWriteReactor<ByteBuffer>;
    return Stream<Reactor>(*call, kReadScopes, [&](Admitted admitted) {
      return ServeDownload(std::move(admitted), device_threads_, *call,
                           *request);
    });
  }

  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* ConvertArray(
      Call* call) override {
    using Reactor = grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>;
    return Stream<Reactor>(*call, kReadScopes, [&](Admitted admitted) {
      return ServeConvert(std::move(admitted), *call);
    });
  }

  // Each of its calls needs what it would need by itself.
  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Batch(Call* call) override {
    using Reactor = grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>;
    return Stream<Reactor>(*call, {}, [&](Admitted admitted) {
      return ServeBatch(std::move(admitted), workers_, device_threads_, *call);
    });
  }

  Unary* CreateTensor(Call* call, const v1::CreateTensorRequest* request,
                      v1::Tensor* response) override {
    return Serve(
        *call, *request, *response, kCreateScopes, [&](UnaryCall open) {
          TensorCalls& calls = open.admitted.tenant().calls();
          Reply(std::move(open),
                WaitsFor(*shared_.devices, request->options().device()),
                [&calls, request, response] {
                  return calls.Create(*request, *response);
                });
        });
  }

  Unary* QueryUpload(Call* call, const v1::QueryUploadRequest* request,
                     v1::QueryUploadResponse* response) override {
    return Serve(
        *call, *request, *response, kCreateScopes, Urgency::kEssential,
        [&](UnaryCall open) {
          const ServiceContext& context = open.admitted.context();
          std::shared_ptr<Upload> upload =
              context.uploads->Find(request->request_id());
          const auto device = upload != nullptr
                                  ? WaitsFor(*shared_.devices, upload->device())
                                  : std::nullopt;
          Reply(std::move(open), device,
                [&context, request, response, upload = std::move(upload)] {
                  return Query(context, *request, upload.get(), *response);
                });
        });
  }

  Unary* ReadTensor(Call* call, const v1::ReadTensorRequest* request,
                    v1::ReadTensorResponse* response) override {
    return Serve(*call, *request, *response, kReadScopes, [&](UnaryCall open) {
      TensorCalls& calls = open.admitted.tenant().calls();
      Reading job;
      const absl::Status status =
          Guarded([&] { return calls.Prepare(*request, job); });
      const std::optional<Device> device = job.device;
      Reply(std::move(open), device,
            [this, &calls, status, response, job = std::move(job)] {
              return status.ok()
                         ? calls.Read(job, shared_.limits.max_message_bytes,
                                      *response)
                         : status;
            });
    });
  }

  Unary* TransformTensor(Call* call, const v1::TransformTensorRequest* request,
                         v1::Tensor* response) override {
    return Serve(
        *call, *request, *response, kTransformScopes, [&](UnaryCall open) {
          TensorCalls& calls = open.admitted.tenant().calls();
          auto job = std::make_unique<Transformation>();
          const absl::Status status =
              Guarded([&] { return calls.Prepare(*request, *job); });
          const std::optional<Device> device = job->device;
          const bool takes_long = job->source_bytes() > kMaxInlineBytes;
          auto work = [&calls, call, status, response, job = std::move(job)] {
            if (!status.ok()) return status;
            const auto is_cancelled = [call] { return call->IsCancelled(); };
            if (is_cancelled()) return absl::CancelledError();
            return calls.Transform(*job, is_cancelled, *response);
          };
          if (status.ok() && takes_long && !device.has_value()) {
            ReplyLater(std::move(open), std::move(work));
          } else {
            Reply(std::move(open), device, std::move(work));
          }
        });
  }

  Unary* GetTensor(Call* call, const v1::GetTensorRequest* request,
                   v1::Tensor* response) override {
    return Serve(*call, *request, *response, kReadScopes, [&](UnaryCall open) {
      TensorCalls& calls = open.admitted.tenant().calls();
      Reply(std::move(open), [&] { return calls.Get(*request, *response); });
    });
  }

  Unary* ListTensors(Call* call, const v1::ListTensorsRequest* request,
                     v1::ListTensorsResponse* response) override {
    return Serve(*call, *request, *response, kReadScopes, [&](UnaryCall open) {
      const Tenant& tenant = open.admitted.tenant();
      const auto work = [this, &tenant, request, response] {
        return tensord::ListTensors(tenant, page_tokens_, *request, *response);
      };
      if (TakesLong(*request)) {
        ReplyLater(std::move(open), work);
      } else {
        Reply(std::move(open), work);
      }
    });
  }

  Unary* UpdateTensor(Call* call, const v1::UpdateTensorRequest* request,
                      v1::Tensor* response) override {
    return Serve(*call, *request, *response, kUpdateScopes,
                 [&](UnaryCall open) {
                   TensorCalls& calls = open.admitted.tenant().calls();
                   Reply(std::move(open),
                         [&] { return calls.Update(*request, *response); });
                 });
  }

  Unary* DeleteTensor(Call* call, const v1::DeleteTensorRequest* request,
                      google::protobuf::Empty* response) override {
    return Serve(*call, *request, *response, kDeleteScopes, Urgency::kEssential,
                 [&](UnaryCall open) {
                   TensorCalls& calls = open.admitted.tenant().calls();
                   Reply(std::move(open),
                         [&] { return calls.Delete(*request, *response); });
                 });
  }

  Unary* ListDevices(Call* call, const v1::ListDevicesRequest* request,
                     v1::ListDevicesResponse* response) override {
    return Serve(*call, *request, *response, kReadScopes, Urgency::kEssential,
                 [&](UnaryCall open) {
                   const ServiceContext& context = open.admitted.context();
                   Reply(std::move(open), [&] {
                     DescribeDevices(context, *response);
                     return absl::OkStatus();
                   });
                 });
  }

  Unary* GetServerInfo(Call* call, const v1::GetServerInfoRequest* request,
                       v1::ServerInfo* response) override {
    return Serve(*call, *request, *response, kReadScopes, Urgency::kEssential,
                 [&](UnaryCall open) {
                   const ServiceContext& context = open.admitted.context();
                   Reply(std::move(open), [&] {
                     Describe(context, *response);
                     return absl::OkStatus();
                   });
                 });
  }

 private:
  // A unary call that is not answered yet.
  struct UnaryCall {
    Call* call;
    // gRPC makes another each time that it is asked.
    Unary* reactor;
    const google::protobuf::MessageLite* response;
    Admitted admitted;
  };

  // Has `serve`, which takes a UnaryCall, see to a call that needs `scopes`, or
  // refuses it.
  template <class F>
  Unary* Serve(Call& call, const google::protobuf::MessageLite& request,
               const google::protobuf::MessageLite& response, Scopes scopes,
               F serve) {
    return Serve(call, request, response, scopes, Urgency::kOrdinary,
                 std::move(serve));
  }

  template <class F>
  Unary* Serve(Call& call, const google::protobuf::MessageLite& request,
               const google::protobuf::MessageLite& response, Scopes scopes,
               Urgency urgency, F serve) {
    Unary* const reactor = call.DefaultReactor();
    CountReceived(call, request.ByteSizeLong());
    std::optional<Admitted> admitted;
    absl::Status status = Admit(call, scopes, urgency, admitted);
    if (status.ok()) {
      status = Guarded([&] {
        serve(UnaryCall{&call, reactor, &response, *std::move(admitted)});
        return absl::OkStatus();
      });
    }
    if (!status.ok()) End(*reactor, call, status);
    return reactor;
  }

  template <class Reactor, class F>
  Reactor* Stream(Call& call, Scopes scopes, F serve) {
    std::optional<Admitted> admitted;
    const absl::Status status =
        Admit(call, scopes, Urgency::kOrdinary, admitted);
    if (status.ok()) return serve(*std::move(admitted));
    return new Refused<Reactor>(Conclude(status, call, *shared_.events));
  }

  absl::Status Admit(Call& call, Scopes scopes, Urgency urgency,
                     std::optional<Admitted>& admitted) {
    return Guarded([&] {
      absl::StatusOr<Admitted> result = admission_.Admit(call, scopes, urgency);
      if (!result.ok()) return result.status();
      if (CallRecord* const record = RecordOf(call); record != nullptr) {
        record->tenant = result->tenant().name();
      }
      admitted.emplace(*std::move(result));
      return result.status();
    });
  }

  void End(Unary& reactor, Call& call, const absl::Status& status) {
    reactor.Finish(Conclude(status, call, *shared_.events));
  }

  // An answer of more than a little counts as a call under way until it is
  // gone, and is cut off if nobody takes it.
  void WatchLargeAnswer(UnaryCall& call) {
    constexpr std::size_t kLargeBytes = std::size_t{4} << 10;
    if (call.response->ByteSizeLong() <= kLargeBytes) return;
    struct Kept {
      Admitted admitted;
      StreamWatch::Stream answer;
    };
    const std::shared_ptr<Kept> kept(
        new Kept{std::move(call.admitted), {shared_.stream_watch, *call.call}});
    kept->answer.Finishes();
    KeepWith(*call.call, kept);
  }

  // Ends a call with what `work` returns.
  template <class Work>
  void Reply(UnaryCall open, Work work) {
    Call& call = *open.call;
    Unary& reactor = *open.reactor;
    absl::Status status;
    {
      // Whoever hears of the end finds nothing of the call left.
      UnaryCall mine = std::move(open);
      const Work my_work = std::move(work);
      status = Guarded([&] {
        absl::Status result = my_work();
        if (result.ok()) WatchLargeAnswer(mine);
        return result;
      });
    }
    End(reactor, call, status);
  }

  // The same from a thread of `device`, if there is one to wait for.
  template <class Work>
  void Reply(UnaryCall open, std::optional<Device> device, Work work) {
    if (!device.has_value()) return Reply(std::move(open), std::move(work));
    auto unless_cancelled = [call = open.call, work = std::move(work)] {
      return call->IsCancelled() ? absl::CancelledError() : work();
    };
    Post(std::move(open), *device, std::move(unless_cancelled),
         [&](auto task) { return device_threads_.Post(*device, task); });
  }

  // The same from a thread that may take its time.
  template <class Work>
  void ReplyLater(UnaryCall open, Work work) {
    Post(std::move(open), kCpuDevice, std::move(work), [this](auto task) {
      asio::post(workers_, task);
      return absl::OkStatus();
    });
  }

  template <class Work, class Poster>
  void Post(UnaryCall open, Device device, Work work, Poster post) {
    Call& call = *open.call;
    Unary& reactor = *open.reactor;
    absl::Status status = Guarded([&] {
      // What is posted has to be copyable.
      auto posted = std::make_shared<std::pair<UnaryCall, Work>>(
          std::move(open), std::move(work));
      return post(
          [this, device, posted = std::move(posted), start = absl::Now()] {
            shared_.events->Queued(device, absl::Now() - start);
            Reply(std::move(posted->first), std::move(posted->second));
          });
    });
    if (!status.ok()) End(reactor, call, status);
  }

  static absl::Status Query(const ServiceContext& context,
                            const v1::QueryUploadRequest& request,
                            Upload* upload, v1::QueryUploadResponse& response) {
    const std::string& id = request.request_id();
    if (upload != nullptr) {
      std::optional<ByteRange> part;
      if (request.has_part()) {
        part = ByteRange{request.part().begin(), request.part().end()};
      }
      const auto next_byte = upload->NextByte(part);
      if (!next_byte.ok()) return next_byte.status();
      response.set_committed_bytes(*next_byte);
      return absl::OkStatus();
    }
    const auto answer = context.requests->Find(id);
    if (!answer.ok()) return answer.status();
    if (*answer == nullptr ||
        !response.mutable_tensor()->ParseFromString(**answer) ||
        response.tensor().name().empty()) {
      return NoUpload(context, id);
    }
    return absl::OkStatus();
  }

  static void DescribeDevices(const ServiceContext& context,
                              v1::ListDevicesResponse& response) {
    for (const auto& backend : context.devices->backends()) {
      v1::Device& device = *response.add_devices();
      device.set_name(DeviceString(backend->device()));
      device.set_description(backend->description());
      const Quota& quota = QuotasOf(context).Of(backend->device());
      device.set_memory_limit_bytes(quota.limit_bytes());
      device.set_memory_used_bytes(quota.used_bytes());
      const absl::Status health = backend->health();
      if (!health.ok()) {
        device.set_out_of_service(
            PrintableUtf8(FromAbsl(health.message()), kMaxHealthBytes));
      }
    }
  }

  static void Describe(const ServiceContext& context, v1::ServerInfo& info) {
    info.set_version(context.version);
    const CudaSupport& cuda = context.devices->cuda();
    info.set_cuda_built(cuda.built);
    info.set_cuda_unavailable(cuda.unavailable);
    for (const auto& backend : context.devices->backends()) {
      info.add_devices(DeviceString(backend->device()));
    }
    for (const DType dtype : AllDTypes()) info.add_dtypes(ToProto(dtype));
    v1::ServerLimits& limits = *info.mutable_limits();
    limits.set_max_tensor_bytes(context.limits.max_tensor_bytes);
    limits.set_max_message_bytes(context.limits.max_message_bytes);
    limits.set_max_chunk_bytes(context.limits.max_chunk_bytes);
    limits.set_memory_limit_bytes(
        QuotasOf(context).Of(kCpuDevice).limit_bytes());
    limits.set_max_dimensions(static_cast<int>(kMaxDimensions));
    limits.set_max_upload_parts(static_cast<int>(Upload::kMaxParts));
    limits.set_max_tensors(context.store->max_tensors());
    *info.mutable_start_time() = WriteTimestamp(context.start_time);
  }

  Admission& admission_;
  const ServiceContext shared_;
  const PageTokens page_tokens_;
  asio::thread_pool workers_;
  DeviceThreads device_threads_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewTensorService(Admission& admission,
                                                const ServiceContext& shared) {
  return std::make_unique<Service>(admission, shared);
}

}  // namespace tensord
