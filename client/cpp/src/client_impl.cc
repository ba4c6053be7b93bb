#include "client/cpp/src/client_impl.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
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

absl::Status CheckId(std::string_view id) {
  return client::CheckText(id, reason::kNameInvalid, "name");
}

absl::StatusOr<TensorInfo> ToInfo(const absl::StatusOr<v1::Tensor>& tensor) {
  if (!tensor.ok()) return tensor.status();
  return client::FromProto(*tensor);
}

}  // namespace

ClientImpl::ClientImpl(const std::shared_ptr<grpc::Channel>& channel,
                       std::string_view target, const ClientOptions& options)
    : stub_(channel),
      connections_(channel, target, options),
      max_connections_(std::clamp(options.max_connections, 1, kMaxConnections)),
      timeout_(options.timeout),
      max_attempts_(options.max_attempts),
      checksums_(options.checksums),
      throttle_(max_connections_) {}

absl::StatusOr<std::shared_ptr<ClientImpl>> ClientImpl::Connect(
    std::string_view target, const ClientOptions& options) {
  const auto channel = client::OpenChannel(target, options);
  if (!channel.ok()) return channel.status();
  const std::shared_ptr<ClientImpl> impl(
      new ClientImpl(*channel, target, options));
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
  max_upload_parts_ = info->max_upload_parts;
  chunk_bytes_ = std::min(kMaxChunkBytes, info->max_chunk_bytes);
  // Half is left for what goes beside the elements.
  max_unary_bytes_ = std::min(kMaxUnaryBytes, info->max_message_bytes / 2);
  batch_bytes_ = static_cast<std::size_t>(
      std::min(kBatchBytes, info->max_message_bytes / 4));
  return absl::OkStatus();
}

absl::StatusOr<TensorInfo> ClientImpl::Create(const ArrayView& array,
                                              const CreateOptions& options) {
  absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) return tensor_options.status();
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    return status;
  }
  if (plan->total_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    client::SetNewId(options, request);
    request.set_request_id(client::NewRequestId());
    *request.mutable_raw()->mutable_spec() = plan->spec;
    request.mutable_raw()->set_data(client::Pack(*plan));
    *request.mutable_options() = *std::move(tensor_options);
    return ToInfo(Call(&Stub::CreateTensor, request));
  }
  v1::UploadDeclaration declaration;
  client::SetNewId(options, declaration);
  *declaration.mutable_array() = client::Declare(*plan);
  *declaration.mutable_options() = *std::move(tensor_options);
  return Upload(std::move(declaration), *plan);
}

absl::StatusOr<TensorInfo> ClientImpl::CreateFromNpy(
    absl::Span<const std::byte> file, const CreateOptions& options) {
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) return tensor_options.status();
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    return status;
  }
  const auto size_bytes = static_cast<std::int64_t>(file.size());
  if (size_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    client::SetNewId(options, request);
    request.set_request_id(client::NewRequestId());
    request.set_npy(file.data(), file.size());
    *request.mutable_options() = *std::move(tensor_options);
    return ToInfo(Call(&Stub::CreateTensor, request));
  }
  v1::UploadDeclaration declaration;
  client::SetNewId(options, declaration);
  declaration.mutable_array()->mutable_npy();
  declaration.mutable_array()->set_total_bytes(size_bytes);
  *declaration.mutable_options() = *std::move(tensor_options);
  client::SendPlan plan;
  plan.data = file.data();
  plan.total_bytes = size_bytes;
  return Upload(std::move(declaration), plan);
}

absl::StatusOr<TensorInfo> ClientImpl::Get(std::string_view id) {
  if (absl::Status status = CheckId(id); !status.ok()) return status;
  v1::GetTensorRequest request;
  request.set_name(client::ToName(id));
  return ToInfo(Call(&Stub::GetTensor, request));
}

absl::StatusOr<TensorInfo> ClientImpl::Transform(
    const std::string& id, absl::Span<const Operation> operations,
    const TransformOptions& options) {
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    return status;
  }
  absl::StatusOr<v1::TransformTensorRequest> request =
      client::ToProto(operations, options.ttl);
  if (!request.ok()) return request.status();
  if (options.lease) {
    *request->mutable_lease() = client::ToProto(*options.lease);
  }
  request->set_name(client::ToName(id));
  client::SetNewId(options, *request);
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
                                            std::string_view page_token,
                                            const ListOptions& options) {
  absl::Status status =
      client::CheckText(page_token, reason::kPageTokenInvalid, "page_token");
  if (status.ok()) {
    status =
        client::CheckText(options.filter, reason::kFilterInvalid, "filter");
  }
  if (status.ok()) {
    status = client::CheckText(options.order_by, reason::kOrderByInvalid,
                               "order_by");
  }
  if (!status.ok()) return status;
  v1::ListTensorsRequest request;
  request.set_filter(options.filter);
  request.set_order_by(options.order_by);
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
