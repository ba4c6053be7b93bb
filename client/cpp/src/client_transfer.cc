// Arrays that travel as streams.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/array_source.h"
#include "client/cpp/src/client_impl.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/host_memory.h"
#include "client/cpp/src/meter.h"
#include "client/cpp/src/npy_file.h"
#include "client/cpp/src/parts.h"
#include "client/cpp/src/proto_convert.h"
#include "client/cpp/src/request_id.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord {
namespace {

using Stub = v1::TensorService::Stub;

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

  // Nothing if other parts are missing.
  absl::StatusOr<std::optional<TensorInfo>> Result() const {
    if (!has_tensor_) return client::MalformedAnswer("no tensor");
    if (tensor_.name().empty()) return std::nullopt;
    return client::FromProto(tensor_);
  }

 private:
  bool has_tensor_ = false;
  v1::Tensor tensor_;
};

ByteRange Whole(std::int64_t total_bytes) { return {0, total_bytes}; }

ByteRange Whole(const ArrayLayout& layout) {
  return Whole(static_cast<std::int64_t>(layout.size_bytes));
}

// Where an upload of `range` goes on.
absl::StatusOr<std::int64_t> CheckedPosition(std::int64_t committed_bytes,
                                             ByteRange range,
                                             const client::SendPlan& plan) {
  const auto item = static_cast<std::int64_t>(plan.item_size);
  if (committed_bytes < range.begin || committed_bytes > range.end ||
      (!plan.in_place && committed_bytes % item != 0)) {
    return client::MalformedAnswer(absl::StrCat("an upload of the bytes ",
                                                range.begin, " to ", range.end,
                                                " is at ", committed_bytes));
  }
  return committed_bytes;
}

// Whether the server knows nothing of an upload, or does not tell it from
// another tenant's.
bool IsUnknownUpload(const absl::Status& progress) {
  const std::string why = GetErrorReason(progress);
  return why == reason::kUploadNotFound || why == reason::kUploadDenied;
}

// Of a stream that may belong to something that has begun: a part of an array,
// or the rest of one.
client::Urgency UrgencyOf(bool has_begun) {
  return has_begun ? client::Urgency::kEssential : client::Urgency::kOrdinary;
}

}  // namespace

ClientImpl::Done ClientImpl::Stream(const Execution& execution,
                                    client::Urgency urgency, std::size_t i,
                                    const char* method,
                                    client::MessageSource& source,
                                    client::MessageSink& sink) {
  auto place = window_.Enter(urgency);
  if (!place.ok()) co_return place.status();
  const absl::Status status = co_await client::RunStreamCall(
      execution, connections_.Get(i), method, source, sink);
  place->Answered(status);
  co_return status;
}

ClientImpl::Answer<TensorInfo> ClientImpl::Upload(
    const Execution& execution, v1::UploadDeclaration declaration,
    const client::SendPlan& plan) {
  const std::vector<ByteRange> parts =
      client::CutIntoParts(plan.total_bytes, chunk_bytes_,
                           declaration.array().has_raw()
                               ? std::min(max_connections_, max_upload_parts_)
                               : 1);
  const bool is_owned = declaration.tensor_id().empty();
  absl::StatusOr<std::optional<TensorInfo>> uploaded;
  if (parts.size() > 1) {
    declaration.set_request_id(client::NewRequestId());
    uploaded = co_await UploadParts(execution, declaration, plan, parts);
    if (IsGivenUp(execution, uploaded.status()) && is_owned) {
      co_await DeleteUnheardOf(execution, declaration.request_id());
    }
    if (!uploaded.ok()) co_return uploaded.status();
    if (uploaded->has_value()) co_return **std::move(uploaded);
  }
  declaration.set_request_id(client::NewRequestId());
  uploaded = co_await UploadPart(execution, declaration, plan,
                                 Whole(plan.total_bytes), 0);
  if (IsGivenUp(execution, uploaded.status()) && is_owned) {
    co_await DeleteUnheardOf(execution, declaration.request_id());
  }
  if (!uploaded.ok()) co_return uploaded.status();
  if (!uploaded->has_value()) {
    co_return client::MalformedAnswer("a tensor without a name");
  }
  co_return **std::move(uploaded);
}

ClientImpl::Answer<std::optional<TensorInfo>> ClientImpl::UploadParts(
    const Execution& execution, const v1::UploadDeclaration& declaration,
    const client::SendPlan& plan, const std::vector<ByteRange>& parts) {
  std::vector<std::optional<TensorInfo>> tensors(parts.size());
  const auto upload = [&](const Execution& of_part, std::size_t i) -> Done {
    v1::UploadDeclaration part = declaration;
    part.mutable_part()->set_begin(parts[i].begin);
    part.mutable_part()->set_end(parts[i].end);
    auto uploaded = co_await UploadPart(of_part, part, plan, parts[i], i);
    if (!uploaded.ok()) co_return uploaded.status();
    tensors[i] = *std::move(uploaded);
    co_return absl::OkStatus();
  };
  absl::Status status =
      co_await client::InParallel(execution, parts.size(), upload);
  if (!status.ok()) co_return status;
  for (std::optional<TensorInfo>& tensor : tensors) {
    if (tensor.has_value()) co_return std::move(tensor);
  }
  co_return std::nullopt;
}

ClientImpl::Answer<std::optional<TensorInfo>> ClientImpl::UploadPart(
    const Execution& execution, const v1::UploadDeclaration& declaration,
    const client::SendPlan& plan, ByteRange range, std::size_t i) {
  v1::QueryUploadRequest query;
  query.set_request_id(declaration.request_id());
  if (declaration.has_part()) *query.mutable_part() = declaration.part();
  v1::UploadTensorRequest first;
  *first.mutable_declaration() = declaration;
  client::Retry retry = NewRetry(execution);
  client::Meter meter(execution.progress, range.begin, range.end);
  std::int64_t position = range.begin;
  for (;;) {
    TensorSink sink;
    absl::Status status;
    {
      client::ArraySource source(client::SerializeMessage(first), plan,
                                 chunk_bytes_, options_.checksums,
                                 {position, range.end}, meter);
      status = co_await Stream(
          execution,
          UrgencyOf(declaration.has_part() || position > range.begin), i,
          kUploadMethod, source, sink);
      co_await source.Settle(execution);
    }
    const std::optional<absl::Duration> pause = retry.Next(status);
    if (status.ok()) co_return sink.Result();
    if (!pause.has_value()) co_return status;
    co_await client::Pause(execution, *pause);
    i = 0;
    const auto progress =
        co_await Call(execution, &Stub::AsyncQueryUpload, query);
    if (progress.ok() && progress->has_tensor()) {
      co_return client::FromProto(progress->tensor());
    }
    if (!progress.ok() && !IsUnknownUpload(progress.status())) {
      co_return status;
    }
    const auto reached = CheckedPosition(
        progress.ok() ? progress->committed_bytes() : range.begin, range, plan);
    if (!reached.ok()) co_return reached.status();
    if (*reached > position) retry.Progressed();
    position = *reached;
  }
}

ClientImpl::Done ClientImpl::ReadInto(const Execution& execution,
                                      const TensorInfo& info, void* destination,
                                      std::size_t size_bytes,
                                      const ReadOptions& options) {
  const absl::StatusOr<ArrayLayout> layout =
      client::LayoutOfRead(info, options);
  if (!layout.ok()) co_return layout.status();
  if (absl::Status status = client::CheckDestination(size_bytes, *layout);
      !status.ok()) {
    co_return status;
  }
  co_return co_await Read(execution, info.id, options, *layout,
                          static_cast<std::byte*>(destination));
}

ClientImpl::Answer<HostArray> ClientImpl::Read(const Execution& execution,
                                               const TensorInfo& info,
                                               const ReadOptions& options) {
  absl::StatusOr<ArrayLayout> layout = client::LayoutOfRead(info, options);
  if (!layout.ok()) co_return layout.status();
  auto data = client::AllocateHostMemory(layout->size_bytes);
  if (!data.ok()) co_return data.status();
  absl::Status status =
      co_await Read(execution, info.id, options, *layout, data->get());
  if (!status.ok()) co_return status;
  co_return HostArray{*std::move(layout), *std::move(data)};
}

ClientImpl::Done ClientImpl::SaveNpy(const Execution& execution,
                                     const TensorInfo& info,
                                     const std::string& path,
                                     const ReadOptions& options) {
  ReadOptions as_saved = options;
  absl::StatusOr<ArrayLayout> layout = client::LayoutOfRead(info, as_saved);
  if (!layout.ok()) co_return layout.status();
  as_saved.order = client::OrderOf(*layout).value_or(Order::kC);
  layout = client::LayoutOfRead(info, as_saved);
  if (!layout.ok()) co_return layout.status();
  std::unique_ptr<client::NpyWriter> file;
  absl::Status status = co_await client::RunBlocking(execution, [&] {
    auto created = client::NpyWriter::Create(path, layout->dtype,
                                             *as_saved.order, layout->shape);
    if (!created.ok()) return created.status();
    file = *std::move(created);
    return absl::OkStatus();
  });
  if (!status.ok()) co_return status;
  status =
      co_await Read(execution, info.id, as_saved, *layout, file->elements());
  if (!status.ok()) co_return status;
  co_return co_await client::RunBlocking(execution,
                                         [&] { return file->Commit(); });
}

ClientImpl::Done ClientImpl::Read(const Execution& execution,
                                  const std::string& id,
                                  const ReadOptions& options,
                                  const ArrayLayout& expected,
                                  std::byte* destination) {
  if (static_cast<std::int64_t>(expected.size_bytes) <= max_unary_bytes_) {
    v1::ReadTensorRequest request;
    request.set_name(client::ToName(id));
    *request.mutable_options() = client::ToProto(options);
    const auto response =
        co_await Call(execution, &Stub::AsyncReadTensor, request);
    if (!response.ok()) co_return response.status();
    absl::Status status = client::FillFrom(*response, expected, destination);
    if (status.ok()) client::Count(execution.progress, Whole(expected).end);
    co_return status;
  }
  v1::DownloadTensorRequest request;
  request.set_name(client::ToName(id));
  *request.mutable_options() = client::ToProto(options);
  request.set_send_checksums(options_.checksums);
  // A verdict on the values is one on the whole.
  const std::vector<ByteRange> parts = client::CutIntoParts(
      Whole(expected).end, chunk_bytes_,
      options.overflow == Overflow::kError ? 1 : max_connections_);
  if (parts.size() > 1) {
    absl::Status status =
        co_await ReadParts(execution, request, parts, expected, destination);
    if (GetErrorReason(status) != reason::kEtagMismatch) co_return status;
  }
  client::Meter meter(execution.progress, 0, Whole(expected).end);
  client::ArraySink sink(expected, Whole(expected), destination, meter);
  co_return co_await ReadPart(execution, std::move(request), Whole(expected),
                              sink, 0);
}

ClientImpl::Done ClientImpl::ReadParts(const Execution& execution,
                                       const v1::DownloadTensorRequest& request,
                                       const std::vector<ByteRange>& parts,
                                       const ArrayLayout& expected,
                                       std::byte* destination) {
  std::vector<std::string> etags(parts.size());
  const auto read = [&](const Execution& of_part, std::size_t i) -> Done {
    client::Meter meter(of_part.progress, parts[i].begin, parts[i].end);
    client::ArraySink sink(expected, parts[i], destination, meter);
    absl::Status status =
        co_await ReadPart(of_part, request, parts[i], sink, i);
    etags[i] = sink.etag();
    co_return status;
  };
  absl::Status status =
      co_await client::InParallel(execution, parts.size(), read);
  if (!status.ok()) co_return status;
  if (std::adjacent_find(etags.begin(), etags.end(), std::not_equal_to<>()) ==
      etags.end()) {
    co_return absl::OkStatus();
  }
  co_return client::TensorChanged();
}

ClientImpl::Done ClientImpl::ReadPart(const Execution& execution,
                                      v1::DownloadTensorRequest request,
                                      ByteRange range, client::ArraySink& sink,
                                      std::size_t i) {
  client::Retry retry = NewRetry(execution);
  const bool is_part = !sink.takes_all();
  for (;;) {
    const std::int64_t begin = sink.position();
    request.set_read_offset(begin);
    request.set_read_limit(range.end - begin);
    client::SingleMessage source(client::SerializeMessage(request));
    absl::Status status =
        co_await Stream(execution, UrgencyOf(is_part || begin > range.begin), i,
                        kDownloadMethod, source, sink);
    if (status.ok()) {
      throttle_.Succeeded();
      co_return sink.CheckComplete();
    }
    if (begin > range.begin &&
        GetErrorReason(status) == reason::kEtagMismatch) {
      sink.Restart();
      continue;
    }
    // Without more to ask for, a part has nothing to go on with.
    if (is_part && sink.CheckComplete().ok()) co_return absl::OkStatus();
    if (sink.position() > begin) retry.Progressed();
    const std::optional<absl::Duration> pause = retry.Next(status);
    if (!pause.has_value()) co_return status;
    co_await client::Pause(execution, *pause);
    i = 0;
    sink.Resume();
  }
}

ClientImpl::Done ClientImpl::Convert(const Execution& execution,
                                     const ArrayView& array, DType dtype,
                                     Overflow overflow, void* destination,
                                     std::size_t size_bytes) {
  absl::StatusOr<client::SendPlan> plan = client::PlanSend(array);
  if (!plan.ok()) co_return plan.status();
  absl::StatusOr<ArrayLayout> expected =
      client::DenseResult(plan->layout, dtype);
  if (!expected.ok()) co_return expected.status();
  if (absl::Status status = client::CheckDestination(size_bytes, *expected);
      !status.ok()) {
    co_return status;
  }
  v1::ConvertArrayRequest first;
  v1::ConvertDeclaration* declaration = first.mutable_declaration();
  *declaration->mutable_array() = client::Declare(*plan);
  declaration->set_dtype(client::ToProto(dtype));
  declaration->set_overflow(client::ToProto(overflow));
  declaration->set_send_checksums(options_.checksums);
  client::Meter sent(execution.progress, 0, plan->total_bytes);
  client::Meter received(execution.progress, 0, Whole(*expected).end);
  client::Retry retry = NewRetry(execution);
  for (;;) {
    absl::Status status;
    {
      client::ArraySource source(client::SerializeMessage(first), *plan,
                                 chunk_bytes_, options_.checksums,
                                 Whole(plan->total_bytes), sent);
      client::ArraySink sink(*expected, Whole(*expected),
                             static_cast<std::byte*>(destination), received);
      status = co_await Stream(execution, client::Urgency::kOrdinary, 0,
                               kConvertMethod, source, sink);
      co_await source.Settle(execution);
      if (status.ok()) status = sink.CheckComplete();
    }
    const std::optional<absl::Duration> pause = retry.Next(status);
    if (!pause.has_value()) co_return status;
    co_await client::Pause(execution, *pause);
  }
}

}  // namespace tensord
