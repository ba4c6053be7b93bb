#include "tensord/remote_tensor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/client_impl.h"
#include "client/cpp/src/host_memory.h"
#include "core/error.h"

namespace tensord {
RemoteTensor::RemoteTensor(std::shared_ptr<ClientImpl> client, TensorInfo info,
                           bool owned)
    : client_(std::move(client)), info_(std::move(info)), owned_(owned) {}

RemoteTensor& RemoteTensor::operator=(RemoteTensor&& other) noexcept {
  if (this == &other) return *this;
  const RemoteTensor old(std::move(*this));
  client_ = std::move(other.client_);
  info_ = std::move(other.info_);
  owned_ = other.owned_;
  return *this;
}

RemoteTensor::~RemoteTensor() {
  if (client_ != nullptr && owned_) {
    client_->DeleteOwned(info_.id).IgnoreError();
  }
}

absl::StatusOr<RemoteTensor> RemoteTensor::Transform(
    absl::Span<const Operation> operations, std::string id,
    std::optional<absl::Duration> ttl) const {
  return Transform(operations,
                   TransformOptions{.id = std::move(id), .ttl = ttl});
}

absl::StatusOr<RemoteTensor> RemoteTensor::Transform(
    absl::Span<const Operation> operations,
    const TransformOptions& options) const {
  auto info = client_->Transform(info_.id, operations, options);
  if (!info.ok()) return info.status();
  return RemoteTensor(client_, *std::move(info), options.id.empty());
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

absl::Status RemoteTensor::SetRequiresGrad(bool requires_grad) {
  auto info = client_->SetRequiresGrad(info_.id, requires_grad);
  if (!info.ok()) return info.status();
  info->conversion_report = info_.conversion_report;
  info_ = *std::move(info);
  return absl::OkStatus();
}

absl::StatusOr<ArrayLayout> RemoteTensor::ReadLayout(
    const ReadOptions& options) const {
  const absl::StatusOr<Layout> layout =
      IndexLayout({info_.shape, info_.strides, 0}, options.index);
  if (!layout.ok()) return layout.status();
  return client::DenseResult(*layout, options.dtype.value_or(info_.dtype));
}

absl::Status RemoteTensor::ReadInto(void* destination, std::size_t size_bytes,
                                    const ReadOptions& options) const {
  const absl::StatusOr<ArrayLayout> layout = ReadLayout(options);
  if (!layout.ok()) return layout.status();
  if (size_bytes != layout->size_bytes) {
    return InvalidArgument(
        reason::kSizeMismatch,
        absl::StrCat("destination has ", size_bytes, " bytes, the result has ",
                     layout->size_bytes),
        "destination");
  }
  return client_->Read(info_.id, options, *layout,
                       static_cast<std::byte*>(destination));
}

absl::StatusOr<HostArray> RemoteTensor::Read(const ReadOptions& options) const {
  absl::StatusOr<ArrayLayout> layout = ReadLayout(options);
  if (!layout.ok()) return layout.status();
  auto data = client::AllocateHostMemory(layout->size_bytes);
  if (!data.ok()) return data.status();
  if (absl::Status status =
          client_->Read(info_.id, options, *layout, data->get());
      !status.ok()) {
    return status;
  }
  return HostArray{*std::move(layout), *std::move(data)};
}

absl::Status RemoteTensor::Delete() {
  absl::Status status = client_->Delete(info_.id, /*allow_missing=*/true);
  if (status.ok()) owned_ = false;
  return status;
}

}  // namespace tensord
