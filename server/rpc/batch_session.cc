#include "server/rpc/batch_session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"
#include "google/protobuf/wire_format_lite.h"
#include "server/rpc/admission.h"
#include "server/rpc/call.h"
#include "server/rpc/device_threads.h"
#include "server/wire/byte_buffer.h"
#include "server/wire/status.h"

namespace tensord {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using WireFormat = google::protobuf::internal::WireFormatLite;

constexpr std::uint32_t kCallTag = WireFormat::MakeTag(
    v1::BatchRequest::kCallsFieldNumber, WireFormat::WIRETYPE_LENGTH_DELIMITED);
constexpr std::uint8_t kResultTag =
    WireFormat::MakeTag(v1::BatchResponse::kResultsFieldNumber,
                        WireFormat::WIRETYPE_LENGTH_DELIMITED);

// Tags and lengths of a BatchResult, and of what is in it.
constexpr std::int64_t kResultFraming = 16;
// What a call costs beside its array, in bytes of arrays that cost the same.
constexpr std::int64_t kCallBytes = 1024;

absl::Status Malformed() {
  return InvalidArgument(reason::kMessageMalformed,
                         "a message is no BatchRequest");
}

// Reads a message that its length precedes.
bool ReadDelimited(CodedInputStream& input,
                   google::protobuf::MessageLite& message) {
  int size = 0;
  if (!input.ReadVarintSizeAsInt(&size)) return false;
  const CodedInputStream::Limit limit = input.PushLimit(size);
  if (!message.MergeFromCodedStream(&input) || !input.ConsumedEntireMessage() ||
      input.BytesUntilLimit() != 0) {
    return false;
  }
  input.PopLimit(limit);
  return true;
}

Scopes NeededScopes(v1::BatchCall::CallCase call) {
  switch (call) {
    case v1::BatchCall::kCreateTensor:
      return kCreateScopes;
    case v1::BatchCall::kTransformTensor:
      return kTransformScopes;
    case v1::BatchCall::kReadTensor:
    case v1::BatchCall::kGetTensor:
      return kReadScopes;
    case v1::BatchCall::kDeleteTensor:
      return kDeleteScopes;
    case v1::BatchCall::CALL_NOT_SET:
      break;
  }
  return {};
}

// The refusal as a message: its details are a google.rpc.Status already.
void WriteError(const absl::Status& refusal, v1::BatchError& error) {
  error.ParseFromString(ToGrpcStatus(refusal).error_details());
}

}  // namespace

BatchSession::BatchSession(const ServiceContext& context, TensorCalls& calls,
                           Scopes scopes, IsCancelled is_cancelled)
    : context_(context),
      calls_(calls),
      scopes_(scopes),
      is_cancelled_(std::move(is_cancelled)),
      max_response_bytes_(static_cast<std::size_t>(
          std::min(context.limits.max_message_bytes, kMaxBatchResponseBytes))),
      arena_(memory_.data(), memory_.size()) {}

absl::Status BatchSession::Start(grpc::ByteBuffer& message) {
  input_.reset();
  reader_.emplace(&message);
  if (!reader_->status().ok()) return InternalError();
  input_.emplace(&*reader_);
  return absl::OkStatus();
}

absl::StatusOr<BatchSession::Step> BatchSession::Next(
    const Thread& thread, grpc::ByteBuffer& response) {
  std::int64_t handled_bytes = 0;
  while (failure_.ok()) {
    if (response_.size() >=
            std::min(kBatchResponseBytes, max_response_bytes_) ||
        !overflow_.empty()) {
      response = TakeResponse();
      return Step::kSend;
    }
    if (call_ == nullptr) {
      const absl::StatusOr<bool> read = Read();
      if (!read.ok()) failure_ = read.status();
      if (!read.ok() || !*read) break;
    }
    const bool takes_long =
        job_.has_value() && job_->source_bytes() > kMaxInlineBytes;
    const bool waits = device_.has_value() && device_ != thread.device;
    if (waits || (takes_long && !thread.may_take_long) ||
        handled_bytes > kMaxInlineBytes) {
      return Step::kPaused;
    }
    handled_bytes += Run();
  }
  if (!response_.empty()) {
    response = TakeResponse();
    return Step::kSend;
  }
  if (!failure_.ok()) return failure_;
  return Step::kProcessed;
}

absl::StatusOr<bool> BatchSession::Read() {
  for (;;) {
    const std::uint32_t tag = input_->ReadTag();
    if (tag == kCallTag) break;
    if (tag == 0 && input_->ConsumedEntireMessage()) return false;
    if (tag == 0 || !WireFormat::SkipField(&*input_, tag)) return Malformed();
  }
  auto* const call =
      google::protobuf::Arena::CreateMessage<v1::BatchCall>(&arena_);
  if (!ReadDelimited(*input_, *call)) return Malformed();
  call_ = call;
  refusal_ = Guarded([this] { return Prepare(); });
  return true;
}

absl::Status BatchSession::Prepare() {
  absl::Status status = CheckScopes(scopes_, NeededScopes(call_->call_case()));
  if (!status.ok()) return status;
  switch (call_->call_case()) {
    case v1::BatchCall::kCreateTensor:
      device_ = WaitsFor(*context_.devices,
                         call_->create_tensor().options().device());
      return absl::OkStatus();
    case v1::BatchCall::kTransformTensor:
      return Prepare(call_->transform_tensor(), job_);
    case v1::BatchCall::kReadTensor:
      return Prepare(call_->read_tensor(), reading_);
    default:
      return absl::OkStatus();
  }
}

template <class Request, class Job>
absl::Status BatchSession::Prepare(const Request& request,
                                   std::optional<Job>& job) {
  Job prepared;
  absl::Status status = calls_.Prepare(request, prepared);
  if (!status.ok()) return status;
  device_ = prepared.device;
  job.emplace(std::move(prepared));
  return status;
}

std::int64_t BatchSession::Run() {
  auto* result =
      google::protobuf::Arena::CreateMessage<v1::BatchResult>(&arena_);
  if (refusal_.ok()) {
    refusal_ = Guarded([&] { return Dispatch(*result); });
  }
  std::int64_t handled_bytes = kCallBytes;
  if (job_.has_value()) handled_bytes += job_->source_bytes();
  handled_bytes += static_cast<std::int64_t>(
      call_->create_tensor().raw().data().size() +
      call_->create_tensor().npy().size() + result->array().data().size());
  // Whoever hears of a refusal finds nothing of it left.
  job_.reset();
  reading_.reset();
  device_.reset();
  if (!refusal_.ok()) {
    CountRefusal(refusal_, *context_.events);
    WriteError(refusal_, *result->mutable_error());
    refusal_ = absl::OkStatus();
  }
  Add(*result);
  call_ = nullptr;
  arena_.Reset();
  return handled_bytes;
}

absl::Status BatchSession::Dispatch(v1::BatchResult& result) {
  switch (call_->call_case()) {
    case v1::BatchCall::kCreateTensor:
      return calls_.Create(call_->create_tensor(), *result.mutable_tensor());
    case v1::BatchCall::kTransformTensor:
      return calls_.Transform(*job_, is_cancelled_, *result.mutable_tensor());
    case v1::BatchCall::kReadTensor:
      return calls_.Read(
          *reading_,
          static_cast<std::int64_t>(max_response_bytes_) - kResultFraming,
          *result.mutable_array());
    case v1::BatchCall::kGetTensor:
      return calls_.Get(call_->get_tensor(), *result.mutable_tensor());
    case v1::BatchCall::kDeleteTensor:
      return calls_.Delete(call_->delete_tensor(), *result.mutable_deleted());
    case v1::BatchCall::CALL_NOT_SET:
      break;
  }
  return InvalidArgument(reason::kMessageEmpty, "the call is missing", "call");
}

void BatchSession::Add(const v1::BatchResult& result) {
  const std::size_t size = result.ByteSizeLong();
  const std::size_t framed_size =
      1 + CodedOutputStream::VarintSize32(static_cast<std::uint32_t>(size)) +
      size;
  std::string& out =
      response_.size() + framed_size > max_response_bytes_ && !response_.empty()
          ? overflow_
          : response_;
  const std::size_t begin = out.size();
  out.resize(begin + framed_size);
  auto* end = reinterpret_cast<std::uint8_t*>(out.data()) + begin;
  *end++ = kResultTag;
  end = CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(size), end);
  result.SerializeWithCachedSizesToArray(end);
}

grpc::ByteBuffer BatchSession::TakeResponse() {
  const auto bytes = std::make_shared<const std::string>(std::move(response_));
  response_ = std::exchange(overflow_, {});
  const grpc::Slice slice = BorrowedSlice(bytes->data(), bytes->size(), bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace tensord
