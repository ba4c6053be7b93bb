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
#include "core/memory/arena.h"
#include "google/protobuf/empty.pb.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/absl_text.h"
#include "server/rpc/batch_stream.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/call.h"
#include "server/rpc/convert_stream.h"
#include "server/rpc/device_threads.h"
#include "server/rpc/download_stream.h"
#include "server/rpc/find_tensor.h"
#include "server/rpc/page_token.h"
#include "server/rpc/request_log.h"
#include "server/rpc/tensor_calls.h"
#include "server/rpc/update.h"
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

// Blocks of chunks that are kept for the next ones.
constexpr std::size_t kPooledBlockBytes = std::size_t{32} << 20;

// Of what a device that is out of service says.
constexpr std::size_t kMaxHealthBytes = 1024;

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

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

absl::StatusOr<std::size_t> ParsePageSize(int page_size) {
  if (page_size < 0) {
    return InvalidArgument(reason::kPageSizeInvalid,
                           absl::StrCat("the page size is ", page_size,
                                        "; it can not be negative"));
  }
  if (page_size == 0) return kDefaultPageSize;
  return static_cast<std::size_t>(std::min(page_size, kMaxPageSize));
}

class Service final : public ServiceBase {
 public:
  explicit Service(const ServiceContext& context)
      : context_(context),
        allocator_(*context_.devices, *context_.quotas,
                   context_.limits.max_tensor_bytes,
                   [this](Device device) {
                     return context_.uploads->DropOldest(device);
                   }),
        calls_(context_, allocator_),
        blocks_({.max_pooled_bytes = kPooledBlockBytes}),
        workers_(std::max(std::thread::hardware_concurrency(), 1U)),
        device_threads_(*context_.devices) {}
  ~Service() override {
    workers_.join();
    context_.uploads->Clear();
  }

  grpc::ServerReadReactor<ByteBuffer>* UploadTensor(
      Call* call, ByteBuffer* response) override {
    return ServeUpload(context_, allocator_, device_threads_, *call, *response);
  }

  grpc::ServerWriteReactor<ByteBuffer>* DownloadTensor(
      Call* call, const ByteBuffer* request) override {
    return ServeDownload(context_, blocks_, device_threads_, *call, *request);
  }

  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* ConvertArray(
      Call* call) override {
    return ServeConvert(context_, blocks_, *call);
  }

  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Batch(Call* call) override {
    return ServeBatch(context_, calls_, workers_, device_threads_, *call);
  }

  Unary* CreateTensor(Call* call, const v1::CreateTensorRequest* request,
                      v1::Tensor* response) override {
    return Reply(*call,
                 WaitsFor(*context_.devices, request->options().device()),
                 [this, request, response] {
                   return calls_.Create(*request, *response);
                 });
  }

  Unary* QueryUpload(Call* call, const v1::QueryUploadRequest* request,
                     v1::QueryUploadResponse* response) override {
    std::shared_ptr<Upload> upload =
        context_.uploads->Find(request->request_id());
    const auto device = upload != nullptr
                            ? WaitsFor(*context_.devices, upload->device())
                            : std::nullopt;
    return Reply(*call, device,
                 [this, request, response, upload = std::move(upload)] {
                   return Query(*request, upload.get(), *response);
                 });
  }

  Unary* ReadTensor(Call* call, const v1::ReadTensorRequest* request,
                    v1::ReadTensorResponse* response) override {
    Reading job;
    const absl::Status status =
        Guarded([&] { return calls_.Prepare(*request, job); });
    const std::optional<Device> device = job.device;
    return Reply(*call, device, [this, status, response, job = std::move(job)] {
      return status.ok() ? calls_.Read(job, context_.limits.max_message_bytes,
                                       *response)
                         : status;
    });
  }

  Unary* TransformTensor(Call* call, const v1::TransformTensorRequest* request,
                         v1::Tensor* response) override {
    auto job = std::make_unique<Transformation>();
    const absl::Status status =
        Guarded([&] { return calls_.Prepare(*request, *job); });
    const std::optional<Device> device = job->device;
    const bool takes_long = job->source_bytes() > kMaxInlineBytes;
    auto work = [this, call, status, response, job = std::move(job)] {
      if (status.ok() && call->IsCancelled()) return absl::CancelledError();
      return status.ok() ? calls_.Transform(*job, *response) : status;
    };
    return status.ok() && takes_long && !device.has_value()
               ? ReplyLater(*call, std::move(work))
               : Reply(*call, device, std::move(work));
  }

  Unary* GetTensor(Call* call, const v1::GetTensorRequest* request,
                   v1::Tensor* response) override {
    return Reply(*call, [&] { return calls_.Get(*request, *response); });
  }

  Unary* ListTensors(Call* call, const v1::ListTensorsRequest* request,
                     v1::ListTensorsResponse* response) override {
    return Reply(*call, [&] { return List(*request, *response); });
  }

  Unary* UpdateTensor(Call* call, const v1::UpdateTensorRequest* request,
                      v1::Tensor* response) override {
    return Reply(*call, [&] {
      return DoOnce(*context_.requests, *request, *response,
                    [&] { return Update(*request, *response); });
    });
  }

  Unary* DeleteTensor(Call* call, const v1::DeleteTensorRequest* request,
                      google::protobuf::Empty* response) override {
    return Reply(*call, [&] { return calls_.Delete(*request, *response); });
  }

  Unary* ListDevices(Call* call, const v1::ListDevicesRequest*,
                     v1::ListDevicesResponse* response) override {
    return Reply(*call, [&] {
      for (const auto& backend : context_.devices->backends()) {
        v1::Device& device = *response->add_devices();
        device.set_name(DeviceString(backend->device()));
        device.set_description(backend->description());
        const Quota& quota = context_.quotas->Of(backend->device());
        device.set_memory_limit_bytes(quota.limit_bytes());
        device.set_memory_used_bytes(quota.used_bytes());
        const absl::Status health = backend->health();
        if (!health.ok()) {
          device.set_out_of_service(
              PrintableUtf8(FromAbsl(health.message()), kMaxHealthBytes));
        }
      }
      return absl::OkStatus();
    });
  }

  Unary* GetServerInfo(Call* call, const v1::GetServerInfoRequest*,
                       v1::ServerInfo* response) override {
    return Reply(*call, [&] { return Describe(*response); });
  }

 private:
  void End(Unary& reactor, Call& call, const absl::Status& status) {
    reactor.Finish(Conclude(status, call, *context_.events));
  }

  // Ends a call with what `work` returns.
  template <class Work>
  Unary* Reply(Call& call, Work work) {
    Unary* const reactor = call.DefaultReactor();
    Run(*reactor, call, std::move(work));
    return reactor;
  }

  // The same from a thread of `device`, if there is one to wait for.
  template <class Work>
  Unary* Reply(Call& call, std::optional<Device> device, Work work) {
    if (!device.has_value()) return Reply(call, std::move(work));
    Unary* const reactor = call.DefaultReactor();
    absl::Status status = Guarded([&] {
      // What is posted has to be copyable.
      auto posted = std::make_shared<Work>(std::move(work));
      return device_threads_.Post(*device, [this, reactor, &call, posted] {
        Run(*reactor, call, [&call, work = std::move(*posted)] {
          return call.IsCancelled() ? absl::CancelledError() : work();
        });
      });
    });
    if (!status.ok()) End(*reactor, call, status);
    return reactor;
  }

  // The same from a thread that may take its time.
  template <class Work>
  Unary* ReplyLater(Call& call, Work work) {
    Unary* const reactor = call.DefaultReactor();
    absl::Status status = Guarded([&] {
      asio::post(workers_,
                 [this, reactor, &call, work = std::move(work)]() mutable {
                   Run(*reactor, call, std::move(work));
                 });
      return absl::OkStatus();
    });
    if (!status.ok()) End(*reactor, call, status);
    return reactor;
  }

  template <class Work>
  void Run(Unary& reactor, Call& call, Work work) {
    absl::Status status;
    {
      // Whoever hears of a refusal finds nothing of it left.
      const Work mine = std::move(work);
      status = Guarded(mine);
    }
    End(reactor, call, status);
  }

  absl::Status Query(const v1::QueryUploadRequest& request, Upload* upload,
                     v1::QueryUploadResponse& response) {
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
    const auto answer = context_.requests->Find(id);
    if (!answer.ok()) return answer.status();
    if (*answer == nullptr ||
        !response.mutable_tensor()->ParseFromString(**answer) ||
        response.tensor().name().empty()) {
      return MakeError(absl::StatusCode::kNotFound, reason::kUploadNotFound,
                       absl::StrCat("there is no upload ", id));
    }
    return absl::OkStatus();
  }

  absl::Status List(const v1::ListTensorsRequest& request,
                    v1::ListTensorsResponse& response) {
    Violations violations;
    const std::size_t page_size =
        violations.Take(ParsePageSize(request.page_size()), "page_size");
    std::string after;
    if (!request.page_token().empty()) {
      after = violations.Take(page_tokens_.Read(request.page_token()),
                              "page_token");
    }
    if (!violations.empty()) return violations.status();
    // One more tells whether there is another page.
    auto listed = context_.store->List(after, page_size + 1);
    if (listed.size() > page_size) {
      listed.pop_back();
      response.set_next_page_token(page_tokens_.Make(listed.back()->id));
    }
    for (const auto& stored : listed) {
      *response.add_tensors() = WriteTensor(*stored);
    }
    return absl::OkStatus();
  }

  absl::Status Update(const v1::UpdateTensorRequest& request,
                      v1::Tensor& response) {
    const v1::Tensor& tensor = request.tensor();
    Violations violations;
    const std::string id =
        violations.Take(ParseTensorName(tensor.name()), "tensor.name");
    const TensorStore::Changes changes =
        ParseChanges(request, absl::Now(), violations);
    if (!violations.empty()) return violations.status();
    const auto stored = context_.store->Update(id, tensor.etag(), changes);
    if (!stored.ok()) {
      return ArgumentAtField(NameIfNotFound(stored.status(), tensor.name()),
                             "tensor.requires_grad");
    }
    response = WriteTensor(**stored);
    return absl::OkStatus();
  }

  absl::Status Describe(v1::ServerInfo& info) const {
    info.set_version(context_.version);
    const CudaSupport& cuda = context_.devices->cuda();
    info.set_cuda_built(cuda.built);
    info.set_cuda_unavailable(cuda.unavailable);
    for (const auto& backend : context_.devices->backends()) {
      info.add_devices(DeviceString(backend->device()));
    }
    for (const DType dtype : AllDTypes()) info.add_dtypes(ToProto(dtype));
    v1::ServerLimits& limits = *info.mutable_limits();
    limits.set_max_tensor_bytes(context_.limits.max_tensor_bytes);
    limits.set_max_message_bytes(context_.limits.max_message_bytes);
    limits.set_max_chunk_bytes(context_.limits.max_chunk_bytes);
    limits.set_memory_limit_bytes(
        context_.quotas->Of(kCpuDevice).limit_bytes());
    limits.set_max_dimensions(static_cast<int>(kMaxDimensions));
    limits.set_max_upload_parts(static_cast<int>(Upload::kMaxParts));
    *info.mutable_start_time() = WriteTimestamp(context_.start_time);
    return absl::OkStatus();
  }

  const ServiceContext context_;
  BufferAllocator allocator_;
  TensorCalls calls_;
  // Chunks that are converted on the way.
  Arena blocks_;
  const PageTokens page_tokens_;
  asio::thread_pool workers_;
  DeviceThreads device_threads_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewTensorService(const ServiceContext& context) {
  return std::make_unique<Service>(context);
}

}  // namespace tensord
