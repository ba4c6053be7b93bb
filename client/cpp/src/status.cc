#include "client/cpp/src/status.h"

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "google/protobuf/any.pb.h"
#include "tensord/internal/rpc_status.pb.h"

namespace tensord::client {
namespace {

constexpr std::string_view kDomain = "tensord";
constexpr char kPushbackTrailer[] = "grpc-retry-pushback-ms";

// Whether `any` holds a message google.rpc.`name`, and it could be read.
template <class Message>
bool Unpack(const google::protobuf::Any& any, std::string_view name,
            Message* message) {
  return any.type_url().ends_with("/google.rpc." + std::string(name)) &&
         message->ParseFromString(any.value());
}

void AddDetail(const google::protobuf::Any& any, ErrorDetails* details) {
  internal::ErrorInfo info;
  internal::BadRequest bad_request;
  if (Unpack(any, "ErrorInfo", &info)) {
    if (info.domain() != kDomain) return;
    details->reason = info.reason();
    details->metadata.insert(info.metadata().begin(), info.metadata().end());
  } else if (Unpack(any, "BadRequest", &bad_request)) {
    for (const auto& violation : bad_request.field_violations()) {
      details->violations.push_back(
          {violation.field(), violation.description()});
    }
  }
}

absl::StatusCode CodeOf(const grpc::Status& status) {
  const int code = static_cast<int>(status.error_code());
  const bool known = code > 0 && code <= grpc::StatusCode::UNAUTHENTICATED;
  return known ? static_cast<absl::StatusCode>(code)
               : absl::StatusCode::kUnknown;
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(CodeOf(status), status.error_message());
  internal::RpcStatus rpc_status;
  if (!rpc_status.ParseFromString(status.error_details())) return result;
  ErrorDetails details;
  for (const google::protobuf::Any& any : rpc_status.details()) {
    AddDetail(any, &details);
  }
  SetErrorDetails(result, details);
  return result;
}

absl::Status FromGrpcStatus(const grpc::Status& status,
                            const grpc::ClientContext& context) {
  absl::Status result = FromGrpcStatus(status);
  if (result.ok()) return result;
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto pushback = trailers.find(kPushbackTrailer);
  if (pushback != trailers.end()) {
    result.SetPayload(kPushbackTrailer,
                      absl::Cord(absl::string_view(pushback->second.data(),
                                                   pushback->second.size())));
  }
  return result;
}

std::optional<absl::Duration> RetryPushback(const absl::Status& status) {
  const absl::optional<absl::Cord> text = status.GetPayload(kPushbackTrailer);
  if (!text.has_value()) return std::nullopt;
  std::int32_t milliseconds = 0;
  if (!absl::SimpleAtoi(std::string(*text), &milliseconds) ||
      milliseconds < 0) {
    return kNeverRetry;
  }
  return absl::Milliseconds(milliseconds);
}

void SetRetryPushback(absl::Status& status, absl::Duration delay) {
  status.SetPayload(kPushbackTrailer,
                    absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
}

absl::Status MalformedAnswer(std::string_view what) {
  return MakeError(
      absl::StatusCode::kInternal, reason::kMessageMalformed,
      absl::StrCat("the server's answer makes no sense: ", std::string(what)));
}

}  // namespace tensord::client
