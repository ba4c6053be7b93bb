// The tasks that run many small calls at once.
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

absl::StatusOr<TensorInfo> TakeInfo(std::size_t,
                                    const v1::BatchResult& result) {
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
ClientImpl::Done ClientImpl::RunBatch(const Execution& execution,
                                      const Fill& fill, const Take& take,
                                      std::vector<Outcome>& outcomes,
                                      client::Urgency urgency) {
  absl::StatusOr<client::CallWindow::Place> place = window_.Enter(urgency);
  if (!place.ok()) co_return place.status();
  const auto take_result = [&](std::size_t i, const v1::BatchResult& result) {
    outcomes[i] = take(i, result);
  };
  const auto take_refusal = [&](std::size_t i, const absl::Status& refusal) {
    outcomes[i] = refusal;
  };
  const absl::Status status = co_await client::RunBatchCall(
      execution, connections_.first(), outcomes.size(), fill, take_result,
      take_refusal, batch_bytes_);
  place->Answered(status);
  co_return status;
}

ClientImpl::Answer<Results<TensorInfo>> ClientImpl::CreateBatch(
    const Execution& execution, absl::Span<const ArrayView> arrays,
    const CreateOptions& options, absl::Span<const std::string> ids) {
  const absl::StatusOr<v1::TensorOptions> tensor_options =
      client::ToProto(options);
  if (!tensor_options.ok()) co_return tensor_options.status();
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
  const absl::Status status =
      co_await RunBatch(execution, fill, TakeInfo, made);
  if (!status.ok()) {
    if (ids.empty()) (co_await Discard(execution, made)).IgnoreError();
    co_return status;
  }
  for (const std::size_t i : large) {
    CreateOptions own_options = options;
    if (!ids.empty()) own_options.id = ids[i];
    made[i] = co_await Create(execution, arrays[i], own_options);
  }
  co_return made;
}

ClientImpl::Answer<Results<TensorInfo>> ClientImpl::TransformBatch(
    const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
    absl::Span<const Operation> operations, absl::Span<const std::string> ids,
    std::optional<absl::Duration> ttl) {
  const absl::StatusOr<v1::TransformTensorRequest> request =
      client::ToProto(operations, ttl);
  if (!request.ok()) co_return request.status();
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
  absl::Status status = co_await RunBatch(execution, fill, TakeInfo, made);
  if (status.ok()) co_return made;
  if (ids.empty()) (co_await Discard(execution, made)).IgnoreError();
  co_return status;
}

ClientImpl::Answer<Results<TensorInfo>> ClientImpl::GetBatch(
    const Execution& execution, absl::Span<const std::string> ids) {
  Results<TensorInfo> found(ids.size(), NotRun());
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    call.mutable_get_tensor()->set_name(client::ToName(ids[i]));
    return true;
  };
  absl::Status status = co_await RunBatch(execution, fill, TakeInfo, found);
  if (!status.ok()) co_return status;
  co_return found;
}

ClientImpl::Answer<std::vector<absl::Status>> ClientImpl::ReadBatch(
    const Execution& execution, absl::Span<const ReadDestination> reads,
    const ReadOptions& options) {
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
    outcomes[i] = layout.ok()
                      ? client::CheckDestination(read.size_bytes, *layout)
                      : layout.status();
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
  const auto take = [&](std::size_t i, const v1::BatchResult& result) {
    return client::FillFrom(result.array(), layouts[i],
                            static_cast<std::byte*>(reads[i].destination));
  };
  absl::Status status = co_await RunBatch(execution, fill, take, outcomes);
  if (!status.ok()) co_return status;
  for (const std::size_t i : large) {
    outcomes[i] = co_await Read(execution, reads[i].tensor->info().id, options,
                                layouts[i],
                                static_cast<std::byte*>(reads[i].destination));
  }
  co_return outcomes;
}

ClientImpl::Answer<std::vector<absl::Status>> ClientImpl::DeleteBatch(
    const Execution& execution, absl::Span<const RemoteTensor* const> tensors) {
  std::vector<absl::Status> outcomes(tensors.size(), NotRun());
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    if (tensors[i] == nullptr) {
      outcomes[i] = NoTensor();
      return false;
    }
    WriteDeletion(tensors[i]->info().id, call);
    return true;
  };
  const auto take = [](std::size_t, const v1::BatchResult& result) {
    return result.has_deleted() ? absl::OkStatus()
                                : client::MalformedAnswer("nothing deleted");
  };
  absl::Status status = co_await RunBatch(execution, fill, take, outcomes,
                                          client::Urgency::kEssential);
  if (!status.ok()) co_return status;
  co_return outcomes;
}

ClientImpl::Done ClientImpl::Discard(const Execution& execution,
                                     const Results<TensorInfo>& made) {
  const auto fill = [&](std::size_t i, v1::BatchCall& call) {
    if (!made[i].ok()) return false;
    WriteDeletion(made[i]->id, call);
    return true;
  };
  const auto ignore = [](std::size_t, const auto&) {};
  // Also where the batch was given up.
  client::CallGroup own_group;
  Execution hurried = execution;
  hurried.group = &own_group;
  hurried.timeout = std::min(execution.timeout, kDiscardTimeout);
  co_return co_await client::RunBatchCall(hurried, connections_.first(),
                                          made.size(), fill, ignore, ignore,
                                          batch_bytes_);
}

std::vector<const RemoteTensor*> ClientImpl::Mine(
    absl::Span<const RemoteTensor* const> tensors) const {
  std::vector<const RemoteTensor*> mine(tensors.begin(), tensors.end());
  for (const RemoteTensor*& tensor : mine) {
    if (tensor != nullptr && tensor->client_.get() != this) tensor = nullptr;
  }
  return mine;
}

ClientImpl::Answer<Results<RemoteTensor>> ClientImpl::CreateTensors(
    const Execution& execution, absl::Span<const ArrayView> arrays,
    const CreateOptions& options, absl::Span<const std::string> ids) {
  if (absl::Status status = CheckIds(ids, arrays.size()); !status.ok()) {
    co_return status;
  }
  if (!options.id.empty()) {
    co_return InvalidArgument(reason::kNameInvalid,
                              "one id for all tensors; each needs its own",
                              "options.id");
  }
  co_return co_await ToHandles(CreateBatch(execution, arrays, options, ids),
                               ids.empty());
}

ClientImpl::Answer<Results<RemoteTensor>> ClientImpl::TransformTensors(
    const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
    absl::Span<const Operation> operations, absl::Span<const std::string> ids,
    std::optional<absl::Duration> ttl) {
  if (absl::Status status = CheckIds(ids, tensors.size()); !status.ok()) {
    co_return status;
  }
  const std::vector<const RemoteTensor*> mine = Mine(tensors);
  co_return co_await ToHandles(
      TransformBatch(execution, mine, operations, ids, ttl), ids.empty());
}

ClientImpl::Answer<Results<RemoteTensor>> ClientImpl::GetTensors(
    const Execution& execution, absl::Span<const std::string> ids) {
  if (absl::Status status = CheckIds(ids, ids.size()); !status.ok()) {
    co_return status;
  }
  co_return co_await ToHandles(GetBatch(execution, ids), /*owned=*/false);
}

ClientImpl::Answer<std::vector<absl::Status>> ClientImpl::ReadTensorsInto(
    const Execution& execution, absl::Span<const ReadDestination> reads,
    const ReadOptions& options) {
  std::vector<ReadDestination> mine(reads.begin(), reads.end());
  for (ReadDestination& read : mine) {
    if (read.tensor != nullptr && read.tensor->client_.get() != this) {
      read.tensor = nullptr;
    }
  }
  co_return co_await ReadBatch(execution, mine, options);
}

ClientImpl::Answer<Results<HostArray>> ClientImpl::ReadTensors(
    const Execution& execution, absl::Span<const RemoteTensor* const> tensors,
    const ReadOptions& options) {
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
  const auto outcomes = co_await ReadTensorsInto(execution, reads, options);
  if (!outcomes.ok()) co_return outcomes.status();
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!(*outcomes)[i].ok()) arrays[places[i]] = (*outcomes)[i];
  }
  co_return arrays;
}

ClientImpl::Done ClientImpl::DeleteTensors(
    const Execution& execution, absl::Span<RemoteTensor* const> tensors) {
  const std::vector<const RemoteTensor*> mine =
      Mine({tensors.data(), tensors.size()});
  const auto outcomes = co_await DeleteBatch(execution, mine);
  if (!outcomes.ok()) co_return outcomes.status();
  absl::Status first;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if ((*outcomes)[i].ok()) {
      tensors[i]->Release();
    } else {
      first.Update((*outcomes)[i]);
    }
  }
  co_return first;
}

}  // namespace tensord
