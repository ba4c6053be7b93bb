#include "client/cpp/src/client_impl.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/src/channel.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/fork.h"
#include "client/cpp/src/meter.h"
#include "client/cpp/src/npy_file.h"
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

bool ClientImpl::IsGivenUp(const Execution& execution,
                           const absl::Status& status) {
  return !status.ok() && execution.group->is_cancelled();
}

ClientImpl::ClientImpl(const std::shared_ptr<grpc::Channel>& channel,
                       std::string_view target, const ClientOptions& options)
    : options_(options),
      stub_(channel),
      connections_(channel, target, options),
      max_connections_(std::clamp(options.max_connections, 1, kMaxConnections)),
      throttle_(max_connections_) {}

ClientImpl::Answer<std::shared_ptr<ClientImpl>> ClientImpl::Connect(
    const Execution& execution, std::string_view target,
    const ClientOptions& options) {
  const auto channel = client::OpenChannel(target, options);
  if (!channel.ok()) co_return channel.status();
  const std::shared_ptr<ClientImpl> impl(
      new ClientImpl(*channel, target, options), [](const ClientImpl* unused) {
        // Taking a connection down would wait for threads that are not there.
        if (!client::IsForked()) delete unused;
      });
  absl::Status status = co_await impl->Greet(execution);
  if (!status.ok()) co_return status;
  co_return impl;
}

ClientImpl::Done ClientImpl::Greet(const Execution& execution) {
  Execution once = execution;
  once.max_attempts = 1;
  const absl::StatusOr<ServerInfo> info = co_await GetServerInfo(once);
  if (!info.ok()) co_return info.status();
  if (info->max_chunk_bytes <= 0 || info->max_message_bytes <= 0) {
    co_return client::MalformedAnswer(
        absl::StrCat("limits of ", info->max_chunk_bytes, " bytes a chunk and ",
                     info->max_message_bytes, " bytes a message"));
  }
  max_upload_parts_ = info->max_upload_parts;
  chunk_bytes_ = std::min(kMaxChunkBytes, info->max_chunk_bytes);
  // Half is left for what goes beside the elements.
  max_unary_bytes_ = std::min(kMaxUnaryBytes, info->max_message_bytes / 2);
  batch_bytes_ = static_cast<std::size_t>(
      std::min(kBatchBytes, info->max_message_bytes / 4));
  co_return absl::OkStatus();
}

template <class Request>
ClientImpl::Answer<TensorInfo> ClientImpl::Make(
    const Execution& execution, Method<Request, v1::Tensor> method,
    const Request& request) {
  const auto made = co_await Call(execution, method, request);
  if (IsGivenUp(execution, made.status()) && request.tensor_id().empty()) {
    co_await DeleteUnheardOf(execution, request.request_id());
  }
  co_return ToInfo(made);
}

ClientImpl::Answer<TensorInfo> ClientImpl::Create(
    const Execution& execution, const ArrayView& array,
    const CreateOptions& options) {
  const absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  if (!plan.ok()) co_return plan.status();
  co_return co_await Create(execution, *plan, options);
}

ClientImpl::Answer<TensorInfo> ClientImpl::CreateOfNpyFile(
    const Execution& execution, const std::string& path,
    const CreateOptions& options) {
  const auto file = client::NpyReader::Open(path, options.dtype);
  if (!file.ok()) co_return file.status();
  const client::SendPlan plan = client::PlanSend(*file);
  co_return co_await Create(execution, plan, options);
}

ClientImpl::Answer<TensorInfo> ClientImpl::Create(
    const Execution& execution, const client::SendPlan& plan,
    const CreateOptions& options) {
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) co_return tensor_options.status();
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    co_return status;
  }
  if (plan.total_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    client::SetNewId(options, request);
    request.set_request_id(client::NewRequestId());
    *request.mutable_raw()->mutable_spec() = plan.spec;
    request.mutable_raw()->set_data(client::Pack(plan));
    *request.mutable_options() = *std::move(tensor_options);
    auto made = co_await Make(execution, &Stub::AsyncCreateTensor, request);
    if (made.ok()) client::Count(execution.progress, plan.total_bytes);
    co_return made;
  }
  v1::UploadDeclaration declaration;
  client::SetNewId(options, declaration);
  *declaration.mutable_array() = client::Declare(plan);
  *declaration.mutable_options() = *std::move(tensor_options);
  co_return co_await Upload(execution, std::move(declaration), plan);
}

ClientImpl::Answer<TensorInfo> ClientImpl::CreateFromNpy(
    const Execution& execution, absl::Span<const std::byte> file,
    const CreateOptions& options) {
  absl::StatusOr<v1::TensorOptions> tensor_options = client::ToProto(options);
  if (!tensor_options.ok()) co_return tensor_options.status();
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    co_return status;
  }
  const auto size_bytes = static_cast<std::int64_t>(file.size());
  if (size_bytes <= max_unary_bytes_) {
    v1::CreateTensorRequest request;
    client::SetNewId(options, request);
    request.set_request_id(client::NewRequestId());
    request.set_npy(file.data(), file.size());
    *request.mutable_options() = *std::move(tensor_options);
    auto made = co_await Make(execution, &Stub::AsyncCreateTensor, request);
    if (made.ok()) client::Count(execution.progress, size_bytes);
    co_return made;
  }
  v1::UploadDeclaration declaration;
  client::SetNewId(options, declaration);
  declaration.mutable_array()->mutable_npy();
  declaration.mutable_array()->set_total_bytes(size_bytes);
  *declaration.mutable_options() = *std::move(tensor_options);
  client::SendPlan plan;
  plan.data = file.data();
  plan.total_bytes = size_bytes;
  co_return co_await Upload(execution, std::move(declaration), plan);
}

ClientImpl::Answer<TensorInfo> ClientImpl::Get(const Execution& execution,
                                               std::string_view id) {
  if (absl::Status status = CheckId(id); !status.ok()) co_return status;
  v1::GetTensorRequest request;
  request.set_name(client::ToName(id));
  co_return ToInfo(co_await Call(execution, &Stub::AsyncGetTensor, request));
}

ClientImpl::Answer<TensorInfo> ClientImpl::Transform(
    const Execution& execution, const std::string& id,
    absl::Span<const Operation> operations, const TransformOptions& options) {
  if (absl::Status status = client::CheckNewId(options.id, options.if_match);
      !status.ok()) {
    co_return status;
  }
  absl::StatusOr<v1::TransformTensorRequest> request =
      client::ToProto(operations, options.ttl);
  if (!request.ok()) co_return request.status();
  if (options.lease) {
    *request->mutable_lease() = client::ToProto(*options.lease);
  }
  request->set_name(client::ToName(id));
  client::SetNewId(options, *request);
  request->set_request_id(client::NewRequestId());
  co_return co_await Make(execution, &Stub::AsyncTransformTensor, *request);
}

ClientImpl::Answer<TensorInfo> ClientImpl::SetRequiresGrad(
    const Execution& execution, const std::string& id, bool requires_grad) {
  v1::UpdateTensorRequest request;
  request.mutable_tensor()->set_name(client::ToName(id));
  request.mutable_tensor()->set_requires_grad(requires_grad);
  request.mutable_update_mask()->add_paths("requires_grad");
  co_return ToInfo(co_await Call(execution, &Stub::AsyncUpdateTensor, request));
}

ClientImpl::Answer<TensorPage> ClientImpl::List(const Execution& execution,
                                                int page_size,
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
  if (!status.ok()) co_return status;
  v1::ListTensorsRequest request;
  request.set_filter(options.filter);
  request.set_order_by(options.order_by);
  request.set_page_size(page_size);
  request.set_page_token(std::string(page_token));
  const auto response =
      co_await Call(execution, &Stub::AsyncListTensors, request);
  if (!response.ok()) co_return response.status();
  TensorPage page;
  page.next_page_token = response->next_page_token();
  for (const v1::Tensor& tensor : response->tensors()) {
    absl::StatusOr<TensorInfo> info = client::FromProto(tensor);
    if (!info.ok()) co_return info.status();
    page.tensors.push_back(*std::move(info));
  }
  co_return page;
}

ClientImpl::Cleanup ClientImpl::DeleteUnheardOf(const Execution& execution,
                                                const std::string& request_id) {
  constexpr absl::Duration kPause = absl::Milliseconds(10);
  client::CallGroup nothing_ends_it;
  Execution hurried = execution;
  hurried.group = &nothing_ends_it;
  hurried.timeout = std::min(execution.timeout, kDeleteOwnedTimeout);
  hurried.max_attempts = 1;
  v1::QueryUploadRequest query;
  query.set_request_id(request_id);
  const absl::Time deadline = absl::Now() + hurried.timeout;
  for (;;) {
    const auto found = co_await Call(hurried, &Stub::AsyncQueryUpload, query);
    if (found.ok() && found->has_tensor()) {
      const auto tensor = client::FromProto(found->tensor());
      if (!tensor.ok()) break;
      const absl::Status deleted =
          co_await Delete(hurried, tensor->id, /*allow_missing=*/true);
      deleted.IgnoreError();
      break;
    }
    if (GetErrorReason(found.status()) != reason::kRequestInProgress ||
        absl::Now() > deadline) {
      break;
    }
    co_await client::Pause(hurried, kPause);
  }
  co_return client::Nothing();
}

ClientImpl::Done ClientImpl::Delete(const Execution& execution,
                                    std::string_view id, bool allow_missing) {
  if (absl::Status status = CheckId(id); !status.ok()) co_return status;
  v1::DeleteTensorRequest request;
  request.set_name(client::ToName(id));
  request.set_allow_missing(allow_missing);
  request.set_request_id(client::NewRequestId());
  const auto response =
      co_await Call(execution, &Stub::AsyncDeleteTensor, request);
  co_return response.status();
}

ClientImpl::Done ClientImpl::DeleteOwned(const Execution& execution,
                                         std::string_view id) {
  Execution hurried = execution;
  hurried.timeout = std::min(execution.timeout, kDeleteOwnedTimeout);
  hurried.max_attempts = 1;
  co_return co_await Delete(hurried, id, /*allow_missing=*/true);
}

ClientImpl::Answer<std::vector<DeviceInfo>> ClientImpl::Devices(
    const Execution& execution) {
  const auto response =
      co_await Call(execution, &Stub::AsyncListDevices,
                    v1::ListDevicesRequest::default_instance());
  if (!response.ok()) co_return response.status();
  std::vector<DeviceInfo> devices;
  for (const v1::Device& device : response->devices()) {
    devices.push_back(client::FromProto(device));
  }
  co_return devices;
}

ClientImpl::Answer<ServerInfo> ClientImpl::GetServerInfo(
    const Execution& execution) {
  const auto response =
      co_await Call(execution, &Stub::AsyncGetServerInfo,
                    v1::GetServerInfoRequest::default_instance());
  if (!response.ok()) co_return response.status();
  co_return client::FromProto(*response);
}

ClientImpl::Answer<RemoteTensor> ClientImpl::ToHandle(Answer<TensorInfo> info,
                                                      bool owned) {
  auto made = co_await std::move(info);
  if (!made.ok()) co_return made.status();
  co_return RemoteTensor(shared_from_this(), *std::move(made), owned);
}

ClientImpl::Answer<ClientImpl::Results<RemoteTensor>> ClientImpl::ToHandles(
    Answer<Results<TensorInfo>> infos, bool owned) {
  auto made = co_await std::move(infos);
  if (!made.ok()) co_return made.status();
  Results<RemoteTensor> handles;
  handles.reserve(made->size());
  for (absl::StatusOr<TensorInfo>& info : *made) {
    if (info.ok()) {
      handles.emplace_back(
          RemoteTensor(shared_from_this(), *std::move(info), owned));
    } else {
      handles.emplace_back(info.status());
    }
  }
  co_return handles;
}

}  // namespace tensord
