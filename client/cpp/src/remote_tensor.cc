#include "tensord/remote_tensor.h"

#include <utility>

#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/call_state.h"
#include "client/cpp/src/client_impl.h"

namespace tensord {

using client::Execution;

absl::Status internal::WithMemory(absl::FunctionRef<void()> allocate) {
  try {
    allocate();
    return absl::OkStatus();
  } catch (...) {
    return client::StatusOfException();
  }
}

RemoteTensor::RemoteTensor(std::shared_ptr<ClientImpl> client, TensorInfo info,
                           bool owned)
    : client_(std::move(client)), info_(std::move(info)), owned_(owned) {}

RemoteTensor::RemoteTensor(RemoteTensor&& other) noexcept
    : client_(std::move(other.client_)),
      info_(std::move(other.info_)),
      owned_(std::exchange(other.owned_, false)) {}

RemoteTensor& RemoteTensor::operator=(RemoteTensor&& other) noexcept {
  if (this == &other) return *this;
  const RemoteTensor old(std::move(*this));
  client_ = std::move(other.client_);
  info_ = std::move(other.info_);
  owned_ = std::exchange(other.owned_, false);
  return *this;
}

RemoteTensor::~RemoteTensor() {
  if (!owned_) return;
  RunCall(client_->options(), {}, [&](const Execution& execution) {
    return client_->DeleteOwned(execution, info_.id);
  }).IgnoreError();
}

absl::StatusOr<RemoteTensor> RemoteTensor::Transform(
    absl::Span<const Operation> operations, std::string id,
    std::optional<absl::Duration> ttl) const {
  return Transform(operations,
                   TransformOptions{.id = std::move(id), .ttl = ttl});
}

absl::StatusOr<RemoteTensor> RemoteTensor::Transform(
    absl::Span<const Operation> operations, const TransformOptions& options,
    const CallOptions& call) const {
  return RunCall(client_->options(), call, [&](const Execution& execution) {
    return client_->TransformTensor(execution, info_.id, operations, options);
  });
}

Future<absl::StatusOr<RemoteTensor>> RemoteTensor::TransformAsync(
    std::vector<Operation> operations, TransformOptions options,
    const CallOptions& call) const {
  return BeginCall(
      client_->options(), call,
      [client = client_, id = info_.id, operations = std::move(operations),
       options = std::move(options)](const Execution& execution) {
        return client->TransformTensor(execution, id, operations, options);
      });
}

absl::StatusOr<RemoteTensor> RemoteTensor::To(ToOperation options) const {
  return Transform({std::move(options)});
}

absl::StatusOr<RemoteTensor> RemoteTensor::Detach() const {
  return Transform({DetachOperation{}});
}

absl::StatusOr<RemoteTensor> RemoteTensor::Index(
    std::vector<IndexTerm> terms) const {
  return Transform({IndexOperation{std::move(terms)}});
}

absl::Status RemoteTensor::SetRequiresGrad(bool requires_grad,
                                           const CallOptions& call) {
  auto info =
      RunCall(client_->options(), call, [&](const Execution& execution) {
        return client_->SetRequiresGrad(execution, info_.id, requires_grad);
      });
  if (!info.ok()) return info.status();
  info->conversion_report = info_.conversion_report;
  info_ = *std::move(info);
  return absl::OkStatus();
}

Future<absl::StatusOr<TensorInfo>> RemoteTensor::SetRequiresGradAsync(
    bool requires_grad, const CallOptions& call) const {
  return BeginCall(client_->options(), call,
                   [client = client_, id = info_.id,
                    requires_grad](const Execution& execution) {
                     return client->SetRequiresGrad(execution, id,
                                                    requires_grad);
                   });
}

absl::StatusOr<ArrayLayout> RemoteTensor::ReadLayout(
    const ReadOptions& options) const {
  return client::LayoutOfRead(info_, options);
}

absl::Status RemoteTensor::ReadInto(void* destination, std::size_t size_bytes,
                                    const ReadOptions& options,
                                    const CallOptions& call) const {
  return RunCall(client_->options(), call, [&](const Execution& execution) {
    return client_->ReadInto(execution, info_, destination, size_bytes,
                             options);
  });
}

Future<absl::Status> RemoteTensor::ReadIntoAsync(
    void* destination, std::size_t size_bytes, ReadOptions options,
    const CallOptions& call) const {
  return BeginCall(client_->options(), call,
                   [client = client_, info = info_, destination, size_bytes,
                    options = std::move(options)](const Execution& execution) {
                     return client->ReadInto(execution, info, destination,
                                             size_bytes, options);
                   });
}

absl::StatusOr<HostArray> RemoteTensor::Read(const ReadOptions& options,
                                             const CallOptions& call) const {
  return RunCall(client_->options(), call, [&](const Execution& execution) {
    return client_->Read(execution, info_, options);
  });
}

Future<absl::StatusOr<HostArray>> RemoteTensor::ReadAsync(
    ReadOptions options, const CallOptions& call) const {
  return BeginCall(client_->options(), call,
                   [client = client_, info = info_,
                    options = std::move(options)](const Execution& execution) {
                     return client->Read(execution, info, options);
                   });
}

absl::Status RemoteTensor::SaveNpy(const std::string& path,
                                   const ReadOptions& options,
                                   const CallOptions& call) const {
  return RunCall(client_->options(), call, [&](const Execution& execution) {
    return client_->SaveNpy(execution, info_, path, options);
  });
}

Future<absl::Status> RemoteTensor::SaveNpyAsync(std::string path,
                                                ReadOptions options,
                                                const CallOptions& call) const {
  return BeginCall(client_->options(), call,
                   [client = client_, info = info_, path = std::move(path),
                    options = std::move(options)](const Execution& execution) {
                     return client->SaveNpy(execution, info, path, options);
                   });
}

absl::Status RemoteTensor::Delete(const CallOptions& call) {
  absl::Status status =
      RunCall(client_->options(), call, [&](const Execution& execution) {
        return client_->Delete(execution, info_.id, /*allow_missing=*/true);
      });
  if (status.ok()) owned_ = false;
  return status;
}

Future<absl::Status> RemoteTensor::DeleteAsync(const CallOptions& call) {
  owned_ = false;
  return BeginCall(
      client_->options(), call,
      [client = client_, id = info_.id](const Execution& execution) {
        return client->Delete(execution, id,
                              /*allow_missing=*/true);
      });
}

}  // namespace tensord
