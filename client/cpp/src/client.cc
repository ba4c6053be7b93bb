#include "tensord/client.h"

#include <utility>

#include "client/cpp/src/client_impl.h"

namespace tensord {

absl::StatusOr<Client> Client::Connect(std::string_view target,
                                       const ClientOptions& options) {
  auto impl = ClientImpl::Connect(target, options);
  if (!impl.ok()) return impl.status();
  return Client(*std::move(impl));
}

absl::StatusOr<RemoteTensor> Client::Create(
    const ArrayView& array, const CreateOptions& options) const {
  auto info = impl_->Create(array, options);
  if (!info.ok()) return info.status();
  return RemoteTensor(impl_, *std::move(info), options.id.empty());
}

absl::StatusOr<RemoteTensor> Client::CreateFromNpy(
    absl::Span<const std::byte> file, const CreateOptions& options) const {
  auto info = impl_->CreateFromNpy(file, options);
  if (!info.ok()) return info.status();
  return RemoteTensor(impl_, *std::move(info), options.id.empty());
}

absl::StatusOr<RemoteTensor> Client::Get(std::string_view id) const {
  auto info = impl_->Get(id);
  if (!info.ok()) return info.status();
  return RemoteTensor(impl_, *std::move(info), /*owned=*/false);
}

absl::StatusOr<TensorPage> Client::List(int page_size,
                                        std::string_view page_token,
                                        const ListOptions& options) const {
  return impl_->List(page_size, page_token, options);
}

absl::Status Client::Delete(std::string_view id, bool allow_missing) const {
  return impl_->Delete(id, allow_missing);
}

absl::Status Client::Convert(const ArrayView& array, DType dtype,
                             Overflow overflow, void* destination,
                             std::size_t size_bytes) const {
  return impl_->Convert(array, dtype, overflow, destination, size_bytes);
}

absl::StatusOr<std::vector<DeviceInfo>> Client::Devices() const {
  return impl_->Devices();
}

absl::StatusOr<ServerInfo> Client::GetServerInfo() const {
  return impl_->GetServerInfo();
}

ArrayLayout ConvertLayout(const ArrayView& array, DType dtype) {
  const absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  absl::StatusOr<ArrayLayout> layout =
      plan.ok() ? client::DenseResult(plan->layout, dtype)
                : absl::StatusOr<ArrayLayout>(plan.status());
  if (layout.ok()) return *std::move(layout);
  return {.dtype = dtype,
          .shape = array.shape,
          .byte_strides = {},
          .size_bytes = 0};
}

}  // namespace tensord
