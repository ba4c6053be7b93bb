#include "client/cpp/src/client_impl.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/array_source.h"
#include "client/cpp/src/channel.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/proto_convert.h"
#include "client/cpp/src/request_id.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord {
namespace {

using Stub = v1::TensorService::Stub;

constexpr absl::Duration kDeleteOwnedTimeout = absl::Seconds(5);

constexpr char kUploadMethod[] = "/tensord.v1.TensorService/UploadTensor";
constexpr char kDownloadMethod[] = "/tensord.v1.TensorService/DownloadTensor";
constexpr char kConvertMethod[] = "/tensord.v1.TensorService/ConvertArray";

// Takes the one message that an upload is answered with.
class TensorSink final : public client::MessageSink {
 public:
  absl::Status Take(const grpc::ByteBuffer& message) override {
    if (has_tensor_) return client::MalformedAnswer("a second tensor");
    has_tensor_ = true;
    return client::ParseMessage(message, &tensor_);
  }

  absl::StatusOr<TensorInfo> Result() const {
    if (!has_tensor_) return client::MalformedAnswer("no tensor");
    return client::FromProto(tensor_);
  }

 private:
  bool has_tensor_ = false;
  v1::Tensor tensor_;
};

v1::ArrayDeclaration Declare(const client::SendPlan& plan) {
  v1::ArrayDeclaration declaration;
  *declaration.mutable_raw() = plan.spec;
  declaration.set_total_bytes(plan.total_bytes);
  return declaration;
}

absl::Status CheckId(std::string_view id) {
  return client::CheckText(id, reason::kNameInvalid, "name");
}

absl::Status CheckSize(std::size_t size_bytes, std::size_t expected_bytes) {
  if (size_bytes == expected_bytes) return absl::OkStatus();
  return InvalidArgument(
      reason::kSizeMismatch,
      absl::StrCat("destination has ", size_bytes, " bytes, the result has ",
                   expected_bytes),
      "destination");
}

absl::StatusOr<TensorInfo> ToInfo(const absl::StatusOr<v1::Tensor>& tensor) {
  if (!tensor.ok()) return tensor.status();
  return client::FromProto(*tensor);
}

}  // namespace

ClientImpl::ClientImpl(const std::shared_ptr<grpc::Channel>& channel,
                       const ClientOptions& options)
    : stub_(channel),
      raw_stub_(channel),
      timeout_(options.timeout),
      max_attempts_(options.max_attempts),
      checksums_(options.checksums) {}

absl::StatusOr<std::shared_ptr<ClientImpl>> ClientImpl::Connect(
    std::string_view target, const ClientOptions& options) {
  const auto channel = client::OpenChannel(target, options);
  if (!channel.ok()) return channel.status();
  const std::shared_ptr<ClientImpl> impl(new ClientImpl(*channel, options));
  if (absl::Status status = impl->Greet(); !status.ok()) return status;
  return impl;
}

absl::Status ClientImpl::Greet() {
  const absl::StatusOr<ServerInfo> info =
      GetServerInfo({.timeout = timeout_, .max_attempts = 1});
  if (!info.ok()) return info.status();
  if (info->max_chunk_bytes <= 0 || info->max_message_bytes <= 0) {
    return client::MalformedAnswer(
        absl::StrCat("limits of ", info->max_chunk_bytes, " bytes a chunk and ",
                     info->max_message_bytes, " bytes a message"));
  }
  chunk_bytes_ = std::min(kMaxChunkBytes, info->max_chunk_bytes);
  // Half is left for what goes beside the elements.
  max_unary_bytes_ = std::min(kMaxUnaryBytes, info->max_message_bytes / 2);
  batch_bytes_ = static_cast<std::size_t>(
      std::min(kBatchBytes, info->max_message_bytes / 4));
  return absl::OkStatus();
}

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
    status = client::FromGrpcStatus(
        (stub_.*method)(&context, request, &response), context);
  } while (retry.Again(status));
  if (!status.ok()) return status;
  return response;
}

absl::Status ClientImpl::Stream(const char* method,
                                client::MessageSource& source,
                                client::MessageSink& sink) {
  return client::RunStreamCall(raw_stub_, method, source, sink, timeout_);
}

absl::StatusOr<TensorInfo> ClientImpl::Create(const ArrayView& array,
                                              const CreateOptions& options) {
  absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) return tensor_options.status();
  if (absl::Status status = CheckId(options.id); !status.ok()) return status;
  if (plan->total_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    request.set_tensor_id(options.id);
    request.set_request_id(client::NewRequestId());
    *request.mutable_raw()->mutable_spec() = plan->spec;
    request.mutable_raw()->set_data(client::Pack(*plan));
    *request.mutable_options() = *std::move(tensor_options);
    return ToInfo(Call(&Stub::CreateTensor, request));
  }
  v1::UploadDeclaration declaration;
  declaration.set_tensor_id(options.id);
  *declaration.mutable_array() = Declare(*plan);
  *declaration.mutable_options() = *std::move(tensor_options);
  return Upload(std::move(declaration), *std::move(plan));
}

absl::StatusOr<TensorInfo> ClientImpl::CreateFromNpy(
    absl::Span<const std::byte> file, const CreateOptions& options) {
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) return tensor_options.status();
  if (absl::Status status = CheckId(options.id); !status.ok()) return status;
  const auto size_bytes = static_cast<std::int64_t>(file.size());
  if (size_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    request.set_tensor_id(options.id);
    request.set_request_id(client::NewRequestId());
    request.set_npy(file.data(), file.size());
    *request.mutable_options() = *std::move(tensor_options);
    return ToInfo(Call(&Stub::CreateTensor, request));
  }
  v1::UploadDeclaration declaration;
  declaration.set_tensor_id(options.id);
  declaration.mutable_array()->mutable_npy();
  declaration.mutable_array()->set_total_bytes(size_bytes);
  *declaration.mutable_options() = *std::move(tensor_options);
  client::SendPlan plan;
  plan.data = file.data();
  plan.total_bytes = size_bytes;
  return Upload(std::move(declaration), std::move(plan));
}

absl::StatusOr<TensorInfo> ClientImpl::Upload(v1::UploadDeclaration declaration,
                                              client::SendPlan plan) {
  v1::QueryUploadRequest query;
  query.set_request_id(client::NewRequestId());
  declaration.set_request_id(query.request_id());
  v1::UploadTensorRequest first;
  *first.mutable_declaration() = std::move(declaration);
  client::Retry retry = NewRetry(Usual());
  std::int64_t begin = 0;
  for (;;) {
    absl::Status status;
    {
      client::ArraySource source(client::SerializeMessage(first), plan,
                                 chunk_bytes_, checksums_, begin);
      TensorSink sink;
      status = Stream(kUploadMethod, source, sink);
      if (status.ok()) {
        throttle_.Succeeded();
        return sink.Result();
      }
    }
    if (!retry.Again(status)) return status;
    const auto progress = Call(&Stub::QueryUpload, query);
    if (progress.ok() && progress->has_tensor()) {
      return client::FromProto(progress->tensor());
    }
    if (!progress.ok() && !absl::IsNotFound(progress.status())) return status;
    const std::int64_t committed_bytes =
        progress.ok() ? progress->committed_bytes() : 0;
    if (committed_bytes < 0 || committed_bytes > plan.total_bytes ||
        committed_bytes % static_cast<std::int64_t>(plan.item_size) != 0) {
      return client::MalformedAnswer(absl::StrCat(
          "an upload of ", plan.total_bytes, " bytes is at ", committed_bytes));
    }
    if (committed_bytes > begin) retry.Progressed();
    begin = committed_bytes;
  }
}

absl::Status ClientImpl::Convert(const ArrayView& array, DType dtype,
                                 Overflow overflow, void* destination,
                                 std::size_t size_bytes) {
  absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<ArrayLayout> expected =
      client::DenseResult(plan->layout, dtype);
  if (!expected.ok()) return expected.status();
  if (absl::Status status = CheckSize(size_bytes, expected->size_bytes);
      !status.ok()) {
    return status;
  }
  v1::ConvertArrayRequest first;
  v1::ConvertDeclaration* declaration = first.mutable_declaration();
  *declaration->mutable_array() = Declare(*plan);
  declaration->set_dtype(client::ToProto(dtype));
  declaration->set_overflow(client::ToProto(overflow));
  declaration->set_send_checksums(checksums_);
  client::Retry retry = NewRetry(Usual());
  absl::Status status;
  do {
    client::ArraySource source(client::SerializeMessage(first), *plan,
                               chunk_bytes_, checksums_);
    client::ArraySink sink(*expected, static_cast<std::byte*>(destination));
    status = Stream(kConvertMethod, source, sink);
    if (status.ok()) status = sink.CheckComplete();
  } while (retry.Again(status));
  return status;
}

absl::Status ClientImpl::Read(const std::string& id, const ReadOptions& options,
                              const ArrayLayout& expected,
                              std::byte* destination) {
  if (static_cast<std::int64_t>(expected.size_bytes) <= max_unary_bytes_) {
    v1::ReadTensorRequest request;
    request.set_name(client::ToName(id));
    *request.mutable_options() = client::ToProto(options);
    const auto response = Call(&Stub::ReadTensor, request);
    if (!response.ok()) return response.status();
    return client::FillFrom(*response, expected, destination);
  }
  v1::DownloadTensorRequest request;
  request.set_name(client::ToName(id));
  *request.mutable_options() = client::ToProto(options);
  request.set_send_checksums(checksums_);
  client::ArraySink sink(expected, destination);
  client::Retry retry = NewRetry(Usual());
  for (;;) {
    const std::int64_t begin = sink.received_bytes();
    request.set_read_offset(begin);
    client::SingleMessage source(client::SerializeMessage(request));
    absl::Status status = Stream(kDownloadMethod, source, sink);
    if (status.ok()) {
      throttle_.Succeeded();
      return sink.CheckComplete();
    }
    if (begin > 0 && GetErrorReason(status) == reason::kEtagMismatch) {
      sink.Restart();
      continue;
    }
    if (sink.received_bytes() > begin) retry.Progressed();
    if (!retry.Again(status)) return status;
    sink.Resume();
  }
}

absl::StatusOr<TensorInfo> ClientImpl::Get(std::string_view id) {
  if (absl::Status status = CheckId(id); !status.ok()) return status;
  v1::GetTensorRequest request;
  request.set_name(client::ToName(id));
  return ToInfo(Call(&Stub::GetTensor, request));
}

absl::StatusOr<TensorInfo> ClientImpl::Transform(
    const std::string& id, absl::Span<const Operation> operations,
    const std::string& new_id, std::optional<absl::Duration> ttl) {
  if (absl::Status status = CheckId(new_id); !status.ok()) return status;
  absl::StatusOr<v1::TransformTensorRequest> request =
      client::ToProto(operations, ttl);
  if (!request.ok()) return request.status();
  request->set_name(client::ToName(id));
  request->set_tensor_id(new_id);
  request->set_request_id(client::NewRequestId());
  return ToInfo(Call(&Stub::TransformTensor, *request));
}

absl::StatusOr<TensorInfo> ClientImpl::SetRequiresGrad(const std::string& id,
                                                       bool requires_grad) {
  v1::UpdateTensorRequest request;
  request.mutable_tensor()->set_name(client::ToName(id));
  request.mutable_tensor()->set_requires_grad(requires_grad);
  request.mutable_update_mask()->add_paths("requires_grad");
  return ToInfo(Call(&Stub::UpdateTensor, request));
}

absl::StatusOr<TensorPage> ClientImpl::List(int page_size,
                                            std::string_view page_token) {
  if (absl::Status status = client::CheckText(
          page_token, reason::kPageTokenInvalid, "page_token");
      !status.ok()) {
    return status;
  }
  v1::ListTensorsRequest request;
  request.set_page_size(page_size);
  request.set_page_token(std::string(page_token));
  const auto response = Call(&Stub::ListTensors, request);
  if (!response.ok()) return response.status();
  TensorPage page;
  page.next_page_token = response->next_page_token();
  for (const v1::Tensor& tensor : response->tensors()) {
    absl::StatusOr<TensorInfo> info = client::FromProto(tensor);
    if (!info.ok()) return info.status();
    page.tensors.push_back(*std::move(info));
  }
  return page;
}

absl::Status ClientImpl::Delete(std::string_view id, bool allow_missing) {
  return Delete(id, allow_missing, Usual());
}

absl::Status ClientImpl::DeleteOwned(std::string_view id) {
  return Delete(
      id, /*allow_missing=*/true,
      {.timeout = std::min(timeout_, kDeleteOwnedTimeout), .max_attempts = 1});
}

absl::Status ClientImpl::Delete(std::string_view id, bool allow_missing,
                                const Patience& patience) {
  if (absl::Status status = CheckId(id); !status.ok()) return status;
  v1::DeleteTensorRequest request;
  request.set_name(client::ToName(id));
  request.set_allow_missing(allow_missing);
  request.set_request_id(client::NewRequestId());
  return Call(&Stub::DeleteTensor, request, patience).status();
}

absl::StatusOr<std::vector<DeviceInfo>> ClientImpl::Devices() {
  const auto response =
      Call(&Stub::ListDevices, v1::ListDevicesRequest::default_instance());
  if (!response.ok()) return response.status();
  std::vector<DeviceInfo> devices;
  for (const v1::Device& device : response->devices()) {
    devices.push_back(client::FromProto(device));
  }
  return devices;
}

absl::StatusOr<ServerInfo> ClientImpl::GetServerInfo() {
  return GetServerInfo(Usual());
}

absl::StatusOr<ServerInfo> ClientImpl::GetServerInfo(const Patience& patience) {
  const auto response =
      Call(&Stub::GetServerInfo, v1::GetServerInfoRequest::default_instance(),
           patience);
  if (!response.ok()) return response.status();
  return client::FromProto(*response);
}

}  // namespace tensord
