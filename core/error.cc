#include "core/error.h"

#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tensord {
namespace {

constexpr std::string_view kReasonUrl = "tensord/reason";
constexpr std::string_view kMetadataUrl = "tensord/metadata/";
constexpr std::string_view kFieldUrl = "tensord/field/";

// A distribution may build Abseil with a string_view of its own.
absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view FromAbsl(absl::string_view text) {
  return {text.data(), text.size()};
}

void SetText(absl::Status& status, std::string_view url,
             std::string_view text) {
  status.SetPayload(ToAbsl(url), absl::Cord(ToAbsl(text)));
}

// Fixed width: the order of the text is the order of the violations.
std::string FieldUrl(std::size_t index) {
  constexpr std::size_t kWidth = 8;
  std::string digits = std::to_string(index);
  if (digits.size() < kWidth) digits.insert(0, kWidth - digits.size(), '0');
  return std::string(kFieldUrl) + digits;
}

bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The length of the field in front says where it ends, whatever is in it.
std::string EncodeViolation(const FieldViolation& violation) {
  return std::to_string(violation.field.size()) + ":" + violation.field +
         violation.description;
}

std::optional<FieldViolation> DecodeViolation(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::size_t size = 0;
  const char* end = text.data() + colon;
  const auto parsed = std::from_chars(text.data(), end, size);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  text.remove_prefix(colon + 1);
  if (size > text.size()) return std::nullopt;
  return FieldViolation{std::string(text.substr(0, size)),
                        std::string(text.substr(size))};
}

void ClearDetails(absl::Status& status) {
  std::vector<std::string> urls;
  status.ForEachPayload([&](absl::string_view name, const absl::Cord&) {
    const std::string_view url = FromAbsl(name);
    if (url == kReasonUrl || url.starts_with(kMetadataUrl) ||
        url.starts_with(kFieldUrl)) {
      urls.emplace_back(url);
    }
  });
  for (const std::string& url : urls) status.ErasePayload(url);
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message, std::string_view field) {
  absl::Status status(code, ToAbsl(message));
  SetText(status, kReasonUrl, reason);
  if (!field.empty()) {
    SetText(status, FieldUrl(0),
            EncodeViolation({std::string(field), std::string(message)}));
  }
  return status;
}

absl::Status InvalidArgument(std::string_view reason, std::string_view message,
                             std::string_view field) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message, field);
}

ErrorDetails GetErrorDetails(const absl::Status& status) {
  ErrorDetails details;
  std::map<std::string, std::string> fields;
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& value) {
    std::string_view url = FromAbsl(name);
    if (url == kReasonUrl) {
      details.reason = std::string(value);
    } else if (ConsumePrefix(url, kMetadataUrl)) {
      details.metadata[std::string(url)] = std::string(value);
    } else if (ConsumePrefix(url, kFieldUrl)) {
      fields[std::string(url)] = std::string(value);
    }
  });
  for (const auto& [position, text] : fields) {
    std::optional<FieldViolation> violation = DecodeViolation(text);
    if (violation) details.violations.push_back(*std::move(violation));
  }
  return details;
}

std::string GetErrorReason(const absl::Status& status) {
  const auto payload = status.GetPayload(ToAbsl(kReasonUrl));
  return payload ? std::string(*payload) : std::string();
}

void SetErrorDetails(absl::Status& status, const ErrorDetails& details) {
  ClearDetails(status);
  if (!details.reason.empty()) SetText(status, kReasonUrl, details.reason);
  for (const auto& [key, value] : details.metadata) {
    AddErrorMetadata(status, key, value);
  }
  for (std::size_t i = 0; i < details.violations.size(); ++i) {
    SetText(status, FieldUrl(i), EncodeViolation(details.violations[i]));
  }
}

void AddErrorMetadata(absl::Status& status, std::string_view key,
                      std::string_view value) {
  SetText(status, std::string(kMetadataUrl) + std::string(key), value);
}

absl::Status WithFieldPrefix(absl::Status status, std::string_view prefix) {
  if (status.ok()) return status;
  ErrorDetails details = GetErrorDetails(status);
  for (FieldViolation& violation : details.violations) {
    if (!violation.field.empty()) violation.field.insert(0, 1, '.');
    violation.field.insert(0, prefix);
  }
  SetErrorDetails(status, details);
  return status;
}

std::string QuoteForMessage(std::string_view text) {
  constexpr std::size_t kMaxBytes = 48;
  const std::string_view start = text.substr(0, kMaxBytes);
  return absl::StrCat("'", absl::CHexEscape(ToAbsl(start)),
                      start.size() < text.size() ? "...'" : "'");
}

}  // namespace tensord
