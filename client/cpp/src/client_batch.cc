// The methods of Client and ClientImpl that run many small calls at once.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/batch_call.h"
#include "client/cpp/src/client_impl.h"
#include "client/cpp/src/host_memory.h"
#include "client/cpp/src/proto_convert.h"
#include "client/cpp/src/status.h"
#include "core/error.h"
#include "tensord/client.h"

namespace tensord {
namespace {

template <class T>
using Results = std::vector<absl::StatusOr<T>>;

// Bound on deleting what a failed batch made.
constexpr absl::Duration kDiscardTimeout = absl::Seconds(5);

// What stands in every place until its call is over.
absl::Status NotRun() { return absl::UnknownError("the call did not run"); }

absl::Status NoTensor() {
  return InvalidArgument(reason::kNameInvalid,
                         "no tensor of this client's connection", "tensors");
}

// OK if there are as many ids as calls, or none, which protobuf can carry.
absl::Status CheckIds(absl::Span<const std::string> ids, std::size_t count) {
  if (!ids.empty() && ids.size() != count) {
    return InvalidArgument(
        reason::kNameInvalid,
        absl::StrCat(ids.size(), " ids for ", count, " tensors"), "ids");
  }
  for (const std::string& id : ids) {
    absl::Status status = client::CheckText(id, reason::kNameInvalid, "ids");
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckSize(const ReadDestination& read, const ArrayLayout& layout) {
  if (read.size_bytes == layout.size_bytes) return absl::OkStatus();
  return InvalidArgument(
      reason::kSizeMismatch,
      absl::StrCat("destination has ", read.size_bytes,
                   " bytes, the result has ", layout.size_bytes),
      "destination");
}

absl::StatusOr<TensorInfo> ToInfo(const v1::BatchResult& result) {
  if (!result.has_tensor()) return client::MalformedAnswer("no tensor");
  return client::FromProto(result.tensor());
}

void WriteDeletion(const std::string& id, v1::BatchCall& call) {
  v1::DeleteTensorRequest& request = *call.mutable_delete_tensor();
  request.set_name(client::ToName(id));
  request.set_allow_missing(true);
}

}  // namespace

template <class Fill, class Take, class Outcome>
absl::Status ClientImpl::RunBatch(Fill fill, Take take,
                                  std::vector<Outcome>& outcomes) {
  return client::RunBatchCall(
      connections_.first(), outcomes.size(), fill,
      [&](std::size_t i, const v1::BatchResult& result) {
        outcomes[i] = take(i, result);
      },
      [&](std::size_t i, absl::Status refusal) {
        outcomes[i] = std::move(refusal);
      },
      batch_bytes_, timeout_);
}

absl::StatusOr<Results<TensorInfo>> ClientImpl::CreateBatch(
    absl::Span<const ArrayView> arrays, const CreateOptions& options,
    absl::Span<const std::string> ids) {
  const absl::StatusOr<v1::TensorOptions> tensor_options =
      client::ToProto(options);
  if (!tensor_options.ok()) return tensor_options.status();
  Results<TensorInfo> made(arrays.size(), NotRun());
  std::vector<std::size_t> large;
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    const absl::StatusOr<client::SendPlan> plan = client::PlanSend(arrays[i]);
    if (!plan.ok()) {
      made[i] = plan.status();
    } else if (plan->total_bytes > max_unary_bytes_) {
      large.push_back(i);
    } else {
      v1::CreateTensorRequest& request = *call.mutable_create_tensor();
      client::SetNewId(options, request);
      if (!ids.empty()) request.set_tensor_id(ids[i]);
      *request.mutable_raw()->mutable_spec() = plan->spec;
      request.mutable_raw()->set_data(client::Pack(*plan));
      *request.mutable_options() = *tensor_options;
      return true;
    }
    return false;
  };
  const absl::Status status = RunBatch(
      fill, [](std::size_t, const auto& result) { return ToInfo(result); },
      made);
  if (!status.ok()) {
    if (ids.empty()) Discard(made);
    return status;
  }
  for (const std::size_t i : large) {
    CreateOptions own_options = options;
    if (!ids.empty()) own_options.id = ids[i];
    made[i] = Create(arrays[i], own_options);
  }
  return made;
}

absl::StatusOr<Results<TensorInfo>> ClientImpl::TransformBatch(
    absl::Span<const RemoteTensor* const> tensors,
    absl::Span<const Operation> operations, absl::Span<const std::string> ids,
    std::optional<absl::Duration> ttl) {
  const absl::StatusOr<v1::TransformTensorRequest> request =
      client::ToProto(operations, ttl);
  if (!request.ok()) return request.status();
  Results<TensorInfo> made(tensors.size(), NotRun());
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    if (tensors[i] == nullptr) {
      made[i] = NoTensor();
      return false;
    }
    *call.mutable_transform_tensor() = *request;
    call.mutable_transform_tensor()->set_name(
        client::ToName(tensors[i]->info().id));
    if (!ids.empty()) call.mutable_transform_tensor()->set_tensor_id(ids[i]);
    return true;
  };
  absl::Status status = RunBatch(
      fill, [](std::size_t, const auto& result) { return ToInfo(result); },
      made);
  if (status.ok()) return made;
  if (ids.empty()) Discard(made);
  return status;
}

absl::StatusOr<Results<TensorInfo>> ClientImpl::GetBatch(
    absl::Span<const std::string> ids) {
  Results<TensorInfo> found(ids.size(), NotRun());
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    call.mutable_get_tensor()->set_name(client::ToName(ids[i]));
    return true;
  };
  absl::Status status = RunBatch(
      fill, [](std::size_t, const auto& result) { return ToInfo(result); },
      found);
  if (!status.ok()) return status;
  return found;
}

absl::StatusOr<std::vector<absl::Status>> ClientImpl::ReadBatch(
    absl::Span<const ReadDestination> reads, const ReadOptions& options) {
  const v1::ReadOptions read_options = client::ToProto(options);
  std::vector<absl::Status> outcomes(reads.size(), NotRun());
  // What is expected of those that are in the batch.
  std::vector<ArrayLayout> layouts(reads.size());
  std::vector<std::size_t> large;
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    const ReadDestination& read = reads[i];
    if (read.tensor == nullptr) {
      outcomes[i] = NoTensor();
      return false;
    }
    absl::StatusOr<ArrayLayout> layout = read.tensor->ReadLayout(options);
    outcomes[i] = layout.ok() ? CheckSize(read, *layout) : layout.status();
    if (!outcomes[i].ok()) return false;
    layouts[i] = *std::move(layout);
    outcomes[i] = NotRun();
    if (static_cast<std::int64_t>(read.size_bytes) > max_unary_bytes_) {
      large.push_back(i);
      return false;
    }
    call.mutable_read_tensor()->set_name(
        client::ToName(read.tensor->info().id));
    *call.mutable_read_tensor()->mutable_options() = read_options;
    return true;
  };
  absl::Status status = RunBatch(
      fill,
      [&](std::size_t i, const v1::BatchResult& result) {
        return client::FillFrom(result.array(), layouts[i],
                                static_cast<std::byte*>(reads[i].destination));
      },
      outcomes);
  if (!status.ok()) return status;
  for (const std::size_t i : large) {
    outcomes[i] = Read(reads[i].tensor->info().id, options, layouts[i],
                       static_cast<std::byte*>(reads[i].destination));
  }
  return outcomes;
}

absl::StatusOr<std::vector<absl::Status>> ClientImpl::DeleteBatch(
    absl::Span<const RemoteTensor* const> tensors) {
  std::vector<absl::Status> outcomes(tensors.size(), NotRun());
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    if (tensors[i] == nullptr) {
      outcomes[i] = NoTensor();
      return false;
    }
    WriteDeletion(tensors[i]->info().id, call);
    return true;
  };
  absl::Status status = RunBatch(
      fill,
      [](std::size_t, const v1::BatchResult& result) {
        return result.has_deleted()
                   ? absl::OkStatus()
                   : client::MalformedAnswer("nothing deleted");
      },
      outcomes);
  if (!status.ok()) return status;
  return outcomes;
}

void ClientImpl::Discard(const Results<TensorInfo>& made) {
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    if (!made[i].ok()) return false;
    WriteDeletion(made[i]->id, call);
    return true;
  };
  const auto ignore = [](std::size_t, const auto&) {};
  client::RunBatchCall(connections_.first(), made.size(), fill, ignore, ignore,
                       batch_bytes_, std::min(timeout_, kDiscardTimeout))
      .IgnoreError();
}

std::vector<const RemoteTensor*> Client::Mine(
    absl::Span<const RemoteTensor* const> tensors) const {
  std::vector<const RemoteTensor*> mine(tensors.begin(), tensors.end());
  for (const RemoteTensor*& tensor : mine) {
    if (tensor != nullptr && tensor->client_ != impl_) tensor = nullptr;
  }
  return mine;
}

Results<RemoteTensor> Client::ToHandles(Results<TensorInfo> infos,
                                        bool owned) const {
  Results<RemoteTensor> handles;
  handles.reserve(infos.size());
  for (absl::StatusOr<TensorInfo>& info : infos) {
    if (info.ok()) {
      handles.emplace_back(RemoteTensor(impl_, *std::move(info), owned));
    } else {
      handles.emplace_back(info.status());
    }
  }
  return handles;
}

absl::StatusOr<Results<RemoteTensor>> Client::CreateBatch(
    absl::Span<const ArrayView> arrays, const CreateOptions& options,
    absl::Span<const std::string> ids) const {
  if (absl::Status status = CheckIds(ids, arrays.size()); !status.ok()) {
    return status;
  }
  if (!options.id.empty()) {
    return InvalidArgument(reason::kNameInvalid,
                           "one id for all tensors; each needs its own",
                           "options.id");
  }
  auto infos = impl_->CreateBatch(arrays, options, ids);
  if (!infos.ok()) return infos.status();
  return ToHandles(*std::move(infos), ids.empty());
}

absl::StatusOr<Results<RemoteTensor>> Client::TransformBatch(
    absl::Span<const RemoteTensor* const> tensors,
    absl::Span<const Operation> operations, absl::Span<const std::string> ids,
    std::optional<absl::Duration> ttl) const {
  if (absl::Status status = CheckIds(ids, tensors.size()); !status.ok()) {
    return status;
  }
  auto infos = impl_->TransformBatch(Mine(tensors), operations, ids, ttl);
  if (!infos.ok()) return infos.status();
  return ToHandles(*std::move(infos), ids.empty());
}

absl::StatusOr<Results<RemoteTensor>> Client::GetBatch(
    absl::Span<const std::string> ids) const {
  if (absl::Status status = CheckIds(ids, ids.size()); !status.ok()) {
    return status;
  }
  auto infos = impl_->GetBatch(ids);
  if (!infos.ok()) return infos.status();
  return ToHandles(*std::move(infos), /*owned=*/false);
}

absl::StatusOr<std::vector<absl::Status>> Client::ReadBatchInto(
    absl::Span<const ReadDestination> reads, const ReadOptions& options) const {
  std::vector<ReadDestination> mine(reads.begin(), reads.end());
  for (ReadDestination& read : mine) {
    if (read.tensor != nullptr && read.tensor->client_ != impl_) {
      read.tensor = nullptr;
    }
  }
  return impl_->ReadBatch(mine, options);
}

absl::StatusOr<Results<HostArray>> Client::ReadBatch(
    absl::Span<const RemoteTensor* const> tensors,
    const ReadOptions& options) const {
  Results<HostArray> arrays(tensors.size(), NotRun());
  std::vector<ReadDestination> reads;
  // Of each of these, its place.
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i] == nullptr) {
      arrays[i] = NoTensor();
      continue;
    }
    absl::StatusOr<ArrayLayout> layout = tensors[i]->ReadLayout(options);
    if (!layout.ok()) {
      arrays[i] = layout.status();
      continue;
    }
    auto data = client::AllocateHostMemory(layout->size_bytes);
    if (!data.ok()) {
      arrays[i] = data.status();
      continue;
    }
    reads.push_back({tensors[i], data->get(), layout->size_bytes});
    places.push_back(i);
    arrays[i] = HostArray{*std::move(layout), *std::move(data)};
  }
  const auto outcomes = ReadBatchInto(reads, options);
  if (!outcomes.ok()) return outcomes.status();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!(*outcomes)[i].ok()) arrays[places[i]] = (*outcomes)[i];
  }
  return arrays;
}

absl::Status Client::DeleteBatch(
    absl::Span<RemoteTensor* const> tensors) const {
  const std::vector<const RemoteTensor*> mine =
      Mine({tensors.data(), tensors.size()});
  const auto outcomes = impl_->DeleteBatch(mine);
  if (!outcomes.ok()) return outcomes.status();
  absl::Status first;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if ((*outcomes)[i].ok()) {
      tensors[i]->Release();
    } else {
      first.Update((*outcomes)[i]);
    }
  }
  return first;
}

}  // namespace tensord
