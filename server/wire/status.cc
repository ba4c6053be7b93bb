#include "server/wire/status.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "tensord/internal/rpc_status.pb.h"

namespace tensord {
namespace {

constexpr std::string_view kDomain = "tensord";
constexpr std::size_t kMaxMetadataValueBytes = 256;
constexpr std::size_t kMaxViolationBytes = 256;
constexpr absl::Duration kRetryDelay = absl::Milliseconds(200);

// Bytes of the well-formed character at the start of `text`; 0 if there is
// none.
std::size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0;
  };
  const auto continues = [&](std::size_t i) {
    return (byte(i) & 0xc0) == 0x80;
  };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool too_large = first == 0xf4 && byte(1) >= 0x90;
    const bool whole = continues(1) && continues(2) && continues(3);
    return whole && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

// Bytes of `message` in the header grpc-message.
std::size_t PercentEncodedBytes(std::string_view message) {
  std::size_t bytes = 0;
  for (const char c : message) {
    bytes += c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3;
  }
  return bytes;
}

std::optional<std::int64_t> MetadataNumber(const ErrorDetails& details,
                                           const std::string& key) {
  const auto it = details.metadata.find(key);
  std::int64_t value = 0;
  if (it == details.metadata.end() || !absl::SimpleAtoi(it->second, &value)) {
    return std::nullopt;
  }
  return value;
}

std::string MetadataText(const ErrorDetails& details, const std::string& key) {
  const auto it = details.metadata.find(key);
  return it == details.metadata.end()
             ? ""
             : PrintableUtf8(it->second, kMaxMetadataValueBytes);
}

// Whether it is for want of memory, or of a tenant's share of it.
bool IsQuotaFailure(const ErrorDetails& details) {
  return details.reason == reason::kMemoryExhausted ||
         details.reason == reason::kDeviceMemoryExhausted ||
         details.reason == reason::kQuotaExceeded;
}

std::optional<absl::Duration> RetryDelay(const ErrorDetails& details) {
  if (details.reason == reason::kTooManyRequests ||
      details.reason == reason::kOverloaded) {
    return kRetryDelay;
  }
  if (!IsQuotaFailure(details)) return std::nullopt;
  const auto limit = MetadataNumber(details, "limitBytes");
  const auto requested = MetadataNumber(details, "requestedBytes");
  return limit.has_value() && requested.has_value() && *requested > *limit
             ? kNeverRetry
             : kRetryDelay;
}

void Add(const google::protobuf::Message& detail, std::string_view name,
         internal::RpcStatus& out) {
  google::protobuf::Any* const any = out.add_details();
  any->set_type_url(
      absl::StrCat("type.googleapis.com/google.rpc.", std::string(name)));
  detail.SerializeToString(any->mutable_value());
}

void AddErrorInfo(const ErrorDetails& details, internal::RpcStatus& out) {
  internal::ErrorInfo info;
  info.set_domain(std::string(kDomain));
  info.set_reason(details.reason);
  for (const auto& [key, value] : details.metadata) {
    (*info.mutable_metadata())[PrintableUtf8(key, kMaxMetadataValueBytes)] =
        PrintableUtf8(value, kMaxMetadataValueBytes);
  }
  Add(info, "ErrorInfo", out);
}

void AddPreconditionFailure(const ErrorDetails& details,
                            internal::RpcStatus& out) {
  internal::PreconditionFailure failure;
  auto* const violation = failure.add_violations();
  violation->set_type(details.reason);
  violation->set_subject(MetadataText(details, "name"));
  violation->set_description(PrintableUtf8(out.message(), kMaxViolationBytes));
  Add(failure, "PreconditionFailure", out);
}

void AddQuotaFailure(const ErrorDetails& details, internal::RpcStatus& out) {
  internal::QuotaFailure failure;
  auto* const violation = failure.add_violations();
  violation->set_subject(details.reason == reason::kQuotaExceeded ? "tenant"
                                                                  : "memory");
  violation->set_description(PrintableUtf8(out.message(), kMaxViolationBytes));
  Add(failure, "QuotaFailure", out);
}

void AddRetryInfo(absl::Duration delay, internal::RpcStatus& out) {
  internal::RetryInfo info;
  const std::int64_t nanos = absl::ToInt64Nanoseconds(delay);
  info.mutable_retry_delay()->set_seconds(nanos / 1'000'000'000);
  info.mutable_retry_delay()->set_nanos(
      static_cast<std::int32_t>(nanos % 1'000'000'000));
  Add(info, "RetryInfo", out);
}

void AddResourceInfo(const ErrorDetails& details, internal::RpcStatus& out) {
  internal::ResourceInfo info;
  info.set_resource_type("tensord.v1.Tensor");
  info.set_resource_name(MetadataText(details, "name"));
  info.set_description(PrintableUtf8(out.message(), kMaxViolationBytes));
  Add(info, "ResourceInfo", out);
}

// As many violations as fit in `budget` bytes.
void AddBadRequest(const ErrorDetails& details, std::size_t budget,
                   internal::RpcStatus& out) {
  // Tags and lengths around the list.
  constexpr std::size_t kFraming = 64;
  internal::BadRequest bad_request;
  for (const FieldViolation& violation : details.violations) {
    auto* const added = bad_request.add_field_violations();
    added->set_field(PrintableUtf8(violation.field, kMaxViolationBytes));
    added->set_description(
        PrintableUtf8(violation.description, kMaxViolationBytes));
    if (bad_request.ByteSizeLong() + kFraming > budget) {
      bad_request.mutable_field_violations()->RemoveLast();
      break;
    }
  }
  if (bad_request.field_violations_size() > 0) {
    Add(bad_request, "BadRequest", out);
  }
}

// The details by the code and reason, but for the violations.
void AddKindDetails(absl::StatusCode code, const ErrorDetails& details,
                    internal::RpcStatus& out) {
  if (code == absl::StatusCode::kFailedPrecondition) {
    AddPreconditionFailure(details, out);
  }
  if (code == absl::StatusCode::kNotFound) AddResourceInfo(details, out);
  const std::optional<absl::Duration> delay = RetryDelay(details);
  if (!delay.has_value()) return;
  if (IsQuotaFailure(details)) AddQuotaFailure(details, out);
  if (*delay != kNeverRetry) AddRetryInfo(*delay, out);
}

}  // namespace

std::string PrintableUtf8(std::string_view text, std::size_t max_bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const std::size_t length = CharacterBytes(text);
    std::string next(text.substr(0, std::max<std::size_t>(length, 1)));
    if (length == 0) {
      const auto byte = static_cast<std::uint8_t>(next[0]);
      next = {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
    if (out.size() + next.size() > max_bytes) break;
    out += next;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  return RetryDelay(GetErrorDetails(status));
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  ErrorDetails details = GetErrorDetails(status);
  std::string text(status.message());
  if (details.reason.empty()) {
    details = {.reason = std::string(reason::kInternal),
               .metadata = {},
               .violations = {}};
    text = "internal error";
  }
  const std::string message = PrintableUtf8(text, kMaxStatusMessageBytes);
  internal::RpcStatus out;
  out.set_code(static_cast<std::int32_t>(status.raw_code()));
  out.set_message(message);
  AddErrorInfo(details, out);
  AddKindDetails(status.code(), details, out);
  const std::size_t limit =
      kMaxStatusDetailsBytes - (PercentEncodedBytes(message) - message.size());
  const std::size_t used = out.ByteSizeLong();
  AddBadRequest(details, used < limit ? limit - used : 0, out);
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), message,
                      out.SerializeAsString());
}

}  // namespace tensord
