// Arrays that travel as streams.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_sink.h"
#include "client/cpp/src/array_source.h"
#include "client/cpp/src/client_impl.h"
#include "client/cpp/src/envelope.h"
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

absl::Status CheckSize(std::size_t size_bytes, std::size_t expected_bytes) {
  if (size_bytes == expected_bytes) return absl::OkStatus();
  return InvalidArgument(
      reason::kSizeMismatch,
      absl::StrCat("destination has ", size_bytes, " bytes, the result has ",
                   expected_bytes),
      "destination");
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

}  // namespace

absl::Status ClientImpl::Stream(std::size_t i, const char* method,
                                client::MessageSource& source,
                                client::MessageSink& sink,
                                client::CallGroup* group) {
  return client::RunStreamCall(connections_.Get(i), method, source, sink,
                               timeout_, group);
}

absl::StatusOr<TensorInfo> ClientImpl::Upload(v1::UploadDeclaration declaration,
                                              const client::SendPlan& plan) {
  const std::vector<ByteRange> parts =
      client::CutIntoParts(plan.total_bytes, chunk_bytes_,
                           declaration.array().has_raw()
                               ? std::min(max_connections_, max_upload_parts_)
                               : 1);
  absl::StatusOr<std::optional<TensorInfo>> uploaded;
  if (parts.size() > 1) {
    declaration.set_request_id(client::NewRequestId());
    uploaded = UploadParts(declaration, plan, parts);
    if (!uploaded.ok()) return uploaded.status();
    if (uploaded->has_value()) return **std::move(uploaded);
  }
  declaration.set_request_id(client::NewRequestId());
  uploaded = UploadPart(declaration, plan, Whole(plan.total_bytes), 0, nullptr);
  if (!uploaded.ok()) return uploaded.status();
  if (!uploaded->has_value()) {
    return client::MalformedAnswer("a tensor without a name");
  }
  return **std::move(uploaded);
}

absl::StatusOr<std::optional<TensorInfo>> ClientImpl::UploadParts(
    const v1::UploadDeclaration& declaration, const client::SendPlan& plan,
    const std::vector<ByteRange>& parts) {
  client::CallGroup group;
  std::vector<std::optional<TensorInfo>> tensors(parts.size());
  absl::Status status =
      client::RunParts(parts.size(), group, [&](std::size_t i) {
        v1::UploadDeclaration of_part = declaration;
        of_part.mutable_part()->set_begin(parts[i].begin);
        of_part.mutable_part()->set_end(parts[i].end);
        auto uploaded = UploadPart(of_part, plan, parts[i], i, &group);
        if (!uploaded.ok()) return uploaded.status();
        tensors[i] = *std::move(uploaded);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  for (std::optional<TensorInfo>& tensor : tensors) {
    if (tensor.has_value()) return std::move(tensor);
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<TensorInfo>> ClientImpl::UploadPart(
    const v1::UploadDeclaration& declaration, const client::SendPlan& plan,
    ByteRange range, std::size_t i, client::CallGroup* group) {
  v1::QueryUploadRequest query;
  query.set_request_id(declaration.request_id());
  if (declaration.has_part()) *query.mutable_part() = declaration.part();
  v1::UploadTensorRequest first;
  *first.mutable_declaration() = declaration;
  client::Retry retry = NewRetry(Usual());
  std::int64_t position = range.begin;
  for (;;) {
    absl::Status status;
    {
      client::ArraySource source(client::SerializeMessage(first), plan,
                                 chunk_bytes_, checksums_,
                                 {position, range.end});
      TensorSink sink;
      status = Stream(i, kUploadMethod, source, sink, group);
      if (status.ok()) {
        throttle_.Succeeded();
        return sink.Result();
      }
    }
    if (!retry.Again(status)) return status;
    i = 0;
    const auto progress = Call(&Stub::QueryUpload, query);
    if (progress.ok() && progress->has_tensor()) {
      return client::FromProto(progress->tensor());
    }
    if (!progress.ok() && !IsUnknownUpload(progress.status())) return status;
    const auto reached = CheckedPosition(
        progress.ok() ? progress->committed_bytes() : range.begin, range, plan);
    if (!reached.ok()) return reached.status();
    if (*reached > position) retry.Progressed();
    position = *reached;
  }
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
  // A verdict on the values is one on the whole.
  const std::vector<ByteRange> parts = client::CutIntoParts(
      Whole(expected).end, chunk_bytes_,
      options.overflow == Overflow::kError ? 1 : max_connections_);
  if (parts.size() > 1) {
    absl::Status status = ReadParts(request, parts, expected, destination);
    if (GetErrorReason(status) != reason::kEtagMismatch) return status;
  }
  client::ArraySink sink(expected, Whole(expected), destination);
  return ReadPart(std::move(request), Whole(expected), sink, 0, nullptr);
}

absl::Status ClientImpl::ReadParts(const v1::DownloadTensorRequest& request,
                                   const std::vector<ByteRange>& parts,
                                   const ArrayLayout& expected,
                                   std::byte* destination) {
  client::CallGroup group;
  std::vector<std::string> etags(parts.size());
  absl::Status status =
      client::RunParts(parts.size(), group, [&](std::size_t i) {
        client::ArraySink sink(expected, parts[i], destination);
        absl::Status read = ReadPart(request, parts[i], sink, i, &group);
        etags[i] = sink.etag();
        return read;
      });
  if (!status.ok()) return status;
  if (std::adjacent_find(etags.begin(), etags.end(), std::not_equal_to<>()) ==
      etags.end()) {
    return absl::OkStatus();
  }
  return client::TensorChanged();
}

absl::Status ClientImpl::ReadPart(v1::DownloadTensorRequest request,
                                  ByteRange range, client::ArraySink& sink,
                                  std::size_t i, client::CallGroup* group) {
  client::Retry retry = NewRetry(Usual());
  for (;;) {
    const std::int64_t begin = sink.position();
    request.set_read_offset(begin);
    request.set_read_limit(range.end - begin);
    client::SingleMessage source(client::SerializeMessage(request));
    absl::Status status = Stream(i, kDownloadMethod, source, sink, group);
    if (status.ok()) {
      throttle_.Succeeded();
      return sink.CheckComplete();
    }
    if (begin > range.begin &&
        GetErrorReason(status) == reason::kEtagMismatch) {
      sink.Restart();
      continue;
    }
    // Without more to ask for, a part has nothing to go on with.
    if (group != nullptr && sink.CheckComplete().ok()) return absl::OkStatus();
    if (sink.position() > begin) retry.Progressed();
    if (!retry.Again(status)) return status;
    i = 0;
    sink.Resume();
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
  *declaration->mutable_array() = client::Declare(*plan);
  declaration->set_dtype(client::ToProto(dtype));
  declaration->set_overflow(client::ToProto(overflow));
  declaration->set_send_checksums(checksums_);
  client::Retry retry = NewRetry(Usual());
  absl::Status status;
  do {
    client::ArraySource source(client::SerializeMessage(first), *plan,
                               chunk_bytes_, checksums_,
                               Whole(plan->total_bytes));
    client::ArraySink sink(*expected, Whole(*expected),
                           static_cast<std::byte*>(destination));
    status = Stream(0, kConvertMethod, source, sink, nullptr);
    if (status.ok()) status = sink.CheckComplete();
  } while (retry.Again(status));
  return status;
}

}  // namespace tensord
