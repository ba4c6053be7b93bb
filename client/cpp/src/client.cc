#include "tensord/client.h"

#include <utility>

#include "client/cpp/src/call_state.h"
#include "client/cpp/src/client_impl.h"

namespace tensord {

using client::Execution;

absl::StatusOr<Client> Client::Connect(std::string_view target,
                                       const ClientOptions& options) {
  auto impl = RunCall(options, {}, [&](const Execution& execution) {
    return ClientImpl::Connect(execution, target, options);
  });
  if (!impl.ok()) return impl.status();
  return Client(*std::move(impl));
}

Future<absl::StatusOr<Client>> Client::ConnectAsync(
    std::string target, const ClientOptions& options, const CallOptions& call) {
  const auto to_client =
      [](ClientImpl::Answer<std::shared_ptr<ClientImpl>> connected)
      -> ClientImpl::Answer<Client> {
    auto impl = co_await std::move(connected);
    if (!impl.ok()) co_return impl.status();
    co_return Client(*std::move(impl));
  };
  return BeginCall(
      options, call,
      [=, target = std::move(target)](const Execution& execution) {
        return to_client(ClientImpl::Connect(execution, target, options));
      });
}

absl::StatusOr<RemoteTensor> Client::Create(const ArrayView& array,
                                            const CreateOptions& options,
                                            const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->CreateTensor(execution, array, options);
  });
}

Future<absl::StatusOr<RemoteTensor>> Client::CreateAsync(
    ArrayView array, CreateOptions options, const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, array = std::move(array),
                    options = std::move(options)](const Execution& execution) {
                     return impl->CreateTensor(execution, array, options);
                   });
}

absl::StatusOr<RemoteTensor> Client::CreateFromNpy(
    absl::Span<const std::byte> file, const CreateOptions& options,
    const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->CreateTensorFromNpy(execution, file, options);
  });
}

Future<absl::StatusOr<RemoteTensor>> Client::CreateFromNpyAsync(
    absl::Span<const std::byte> file, CreateOptions options,
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, file,
                    options = std::move(options)](const Execution& execution) {
                     return impl->CreateTensorFromNpy(execution, file, options);
                   });
}

absl::StatusOr<RemoteTensor> Client::LoadNpy(const std::string& path,
                                             const CreateOptions& options,
                                             const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->CreateTensorOfNpyFile(execution, path, options);
  });
}

Future<absl::StatusOr<RemoteTensor>> Client::LoadNpyAsync(
    std::string path, CreateOptions options, const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, path = std::move(path),
                    options = std::move(options)](const Execution& execution) {
                     return impl->CreateTensorOfNpyFile(execution, path,
                                                        options);
                   });
}

absl::StatusOr<RemoteTensor> Client::Get(std::string_view id,
                                         const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->GetTensor(execution, id);
  });
}

Future<absl::StatusOr<RemoteTensor>> Client::GetAsync(
    std::string id, const CallOptions& call) const {
  return BeginCall(
      impl_->options(), call,
      [impl = impl_, id = std::move(id)](const Execution& execution) {
        return impl->GetTensor(execution, id);
      });
}

absl::StatusOr<TensorPage> Client::List(int page_size,
                                        std::string_view page_token,
                                        const ListOptions& options,
                                        const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->List(execution, page_size, page_token, options);
  });
}

Future<absl::StatusOr<TensorPage>> Client::ListAsync(
    int page_size, std::string page_token, ListOptions options,
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, page_size, page_token = std::move(page_token),
                    options = std::move(options)](const Execution& execution) {
                     return impl->List(execution, page_size, page_token,
                                       options);
                   });
}

absl::Status Client::Delete(std::string_view id, bool allow_missing,
                            const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->Delete(execution, id, allow_missing);
  });
}

Future<absl::Status> Client::DeleteAsync(std::string id, bool allow_missing,
                                         const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, id = std::move(id),
                    allow_missing](const Execution& execution) {
                     return impl->Delete(execution, id, allow_missing);
                   });
}

absl::Status Client::Convert(const ArrayView& array, DType dtype,
                             Overflow overflow, void* destination,
                             std::size_t size_bytes,
                             const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->Convert(execution, array, dtype, overflow, destination,
                          size_bytes);
  });
}

Future<absl::Status> Client::ConvertAsync(ArrayView array, DType dtype,
                                          Overflow overflow, void* destination,
                                          std::size_t size_bytes,
                                          const CallOptions& call) const {
  return BeginCall(
      impl_->options(), call,
      [=, impl = impl_, array = std::move(array)](const Execution& execution) {
        return impl->Convert(execution, array, dtype, overflow, destination,
                             size_bytes);
      });
}

absl::StatusOr<Client::Results<RemoteTensor>> Client::CreateBatch(
    absl::Span<const ArrayView> arrays, const CreateOptions& options,
    absl::Span<const std::string> ids, const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->CreateTensors(execution, arrays, options, ids);
  });
}

Future<absl::StatusOr<Client::Results<RemoteTensor>>> Client::CreateBatchAsync(
    std::vector<ArrayView> arrays, CreateOptions options,
    std::vector<std::string> ids, const CallOptions& call) const {
  return BeginCall(
      impl_->options(), call,
      [impl = impl_, arrays = std::move(arrays), options = std::move(options),
       ids = std::move(ids)](const Execution& execution) {
        return impl->CreateTensors(execution, arrays, options, ids);
      });
}

absl::StatusOr<Client::Results<RemoteTensor>> Client::TransformBatch(
    absl::Span<const RemoteTensor* const> tensors,
    absl::Span<const Operation> operations, absl::Span<const std::string> ids,
    std::optional<absl::Duration> ttl, const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->TransformTensors(execution, tensors, operations, ids, ttl);
  });
}

Future<absl::StatusOr<Client::Results<RemoteTensor>>>
Client::TransformBatchAsync(std::vector<const RemoteTensor*> tensors,
                            std::vector<Operation> operations,
                            std::vector<std::string> ids,
                            std::optional<absl::Duration> ttl,
                            const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, tensors = std::move(tensors),
                    operations = std::move(operations), ids = std::move(ids),
                    ttl](const Execution& execution) {
                     return impl->TransformTensors(execution, tensors,
                                                   operations, ids, ttl);
                   });
}

absl::StatusOr<Client::Results<RemoteTensor>> Client::GetBatch(
    absl::Span<const std::string> ids, const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->GetTensors(execution, ids);
  });
}

Future<absl::StatusOr<Client::Results<RemoteTensor>>> Client::GetBatchAsync(
    std::vector<std::string> ids, const CallOptions& call) const {
  return BeginCall(
      impl_->options(), call,
      [impl = impl_, ids = std::move(ids)](const Execution& execution) {
        return impl->GetTensors(execution, ids);
      });
}

absl::StatusOr<std::vector<absl::Status>> Client::ReadBatchInto(
    absl::Span<const ReadDestination> reads, const ReadOptions& options,
    const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->ReadTensorsInto(execution, reads, options);
  });
}

Future<absl::StatusOr<std::vector<absl::Status>>> Client::ReadBatchIntoAsync(
    std::vector<ReadDestination> reads, ReadOptions options,
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, reads = std::move(reads),
                    options = std::move(options)](const Execution& execution) {
                     return impl->ReadTensorsInto(execution, reads, options);
                   });
}

absl::StatusOr<Client::Results<HostArray>> Client::ReadBatch(
    absl::Span<const RemoteTensor* const> tensors, const ReadOptions& options,
    const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->ReadTensors(execution, tensors, options);
  });
}

Future<absl::StatusOr<Client::Results<HostArray>>> Client::ReadBatchAsync(
    std::vector<const RemoteTensor*> tensors, ReadOptions options,
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_, tensors = std::move(tensors),
                    options = std::move(options)](const Execution& execution) {
                     return impl->ReadTensors(execution, tensors, options);
                   });
}

absl::Status Client::DeleteBatch(absl::Span<RemoteTensor* const> tensors,
                                 const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->DeleteTensors(execution, tensors);
  });
}

Future<absl::Status> Client::DeleteBatchAsync(
    std::vector<RemoteTensor*> tensors, const CallOptions& call) const {
  return BeginCall(
      impl_->options(), call,
      [impl = impl_, tensors = std::move(tensors)](const Execution& execution) {
        return impl->DeleteTensors(execution, tensors);
      });
}

absl::StatusOr<std::vector<DeviceInfo>> Client::Devices(
    const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->Devices(execution);
  });
}

Future<absl::StatusOr<std::vector<DeviceInfo>>> Client::DevicesAsync(
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_](const Execution& execution) {
                     return impl->Devices(execution);
                   });
}

absl::StatusOr<ServerInfo> Client::GetServerInfo(
    const CallOptions& call) const {
  return RunCall(impl_->options(), call, [&](const Execution& execution) {
    return impl_->GetServerInfo(execution);
  });
}

Future<absl::StatusOr<ServerInfo>> Client::GetServerInfoAsync(
    const CallOptions& call) const {
  return BeginCall(impl_->options(), call,
                   [impl = impl_](const Execution& execution) {
                     return impl->GetServerInfo(execution);
                   });
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
