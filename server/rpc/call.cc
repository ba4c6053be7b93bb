#include "server/rpc/call.h"

#include <optional>
#include <string>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/tsan.h"
#include "server/observe/call_record.h"
#include "server/wire/status.h"

namespace tensord {
namespace {

// Clients that were refused together should not come back together.
std::string PushbackMilliseconds(absl::Duration delay) {
  if (delay == kNeverRetry) return "-1";
  const double jitter = absl::Uniform(absl::BitGen(), 0.5, 1.5);
  return absl::StrCat(absl::ToInt64Milliseconds(delay * jitter));
}

grpc::Status Convert(const absl::Status& status,
                     grpc::CallbackServerContext& context,
                     ServiceEvents& events) {
  if (status.ok()) return grpc::Status::OK;
  CountRefusal(status, events);
  if (CallRecord* const record = RecordOf(context); record != nullptr) {
    record->reason = GetErrorReason(status);
    HandOver(record);
  }
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms",
                                PushbackMilliseconds(*delay));
  }
  return ToGrpcStatus(status);
}

}  // namespace

absl::Status OutOfMemory() {
  static const absl::Status& status =
      *new absl::Status(MakeError(absl::StatusCode::kResourceExhausted,
                                  reason::kMemoryExhausted, "out of memory"));
  return status;
}

absl::Status InternalError() {
  static const absl::Status& status = *new absl::Status(MakeError(
      absl::StatusCode::kInternal, reason::kInternal, "internal error"));
  return status;
}

void MakeStatusesAhead() {
  OutOfMemory().IgnoreError();
  InternalError().IgnoreError();
}

void CountRefusal(const absl::Status& refusal, ServiceEvents& events) {
  if (refusal.code() == absl::StatusCode::kCancelled) return;
  const ErrorDetails details = GetErrorDetails(refusal);
  events.Refused(details.reason.empty() ? reason::kInternal : details.reason);
  std::int64_t bytes = 0;
  if (const auto it = details.metadata.find("requestedBytes");
      it != details.metadata.end() && absl::SimpleAtoi(it->second, &bytes)) {
    events.RefusedBytes(bytes);
  }
}

void CountReceived(grpc::CallbackServerContext& call, std::size_t bytes) {
  if (CallRecord* const record = RecordOf(call); record != nullptr) {
    record->AddReceived(bytes);
  }
}

grpc::Status Conclude(const absl::Status& status,
                      grpc::CallbackServerContext& context,
                      ServiceEvents& events) noexcept {
  try {
    return Convert(status, context, events);
  } catch (...) {
    return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), "");
  }
}

}  // namespace tensord
