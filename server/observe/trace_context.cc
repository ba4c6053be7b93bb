#include "server/observe/trace_context.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tensord {
namespace {

constexpr std::size_t kVersionDigits = 2;
constexpr std::size_t kTraceIdDigits = 32;
constexpr std::size_t kParentIdDigits = 16;
constexpr std::size_t kFlagsDigits = 2;

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

bool IsZero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

// Takes `digits` off the front of `text`, and a dash before them unless they
// are the first; empty if they are not there.
std::string_view TakeField(std::string_view& text, std::size_t digits,
                           bool is_first = false) {
  if (!is_first) {
    if (!text.starts_with('-')) return {};
    text.remove_prefix(1);
  }
  const std::string_view field = text.substr(0, digits);
  if (field.size() != digits || !IsLowerHex(field)) return {};
  text.remove_prefix(digits);
  return field;
}

}  // namespace

std::string TraceContext::traceparent() const {
  return absl::StrCat("00-", trace_id, "-", span_id, "-", flags);
}

std::optional<TraceContext> ParseTraceparent(std::string_view text,
                                             std::string span_id) {
  const std::string_view version =
      TakeField(text, kVersionDigits, /*is_first=*/true);
  const std::string_view trace_id = TakeField(text, kTraceIdDigits);
  const std::string_view parent_id = TakeField(text, kParentIdDigits);
  const std::string_view flags = TakeField(text, kFlagsDigits);
  if (version.empty() || trace_id.empty() || parent_id.empty() ||
      flags.empty() || version == "ff" || IsZero(trace_id) ||
      IsZero(parent_id)) {
    return std::nullopt;
  }
  // Later versions may add fields.
  if (!text.empty() && (version == "00" || !text.starts_with('-'))) {
    return std::nullopt;
  }
  return TraceContext{.trace_id = std::string(trace_id),
                      .parent_id = std::string(parent_id),
                      .span_id = std::move(span_id),
                      .flags = std::string(flags)};
}

}  // namespace tensord
