#include "server/flag_types.h"

#include <algorithm>
#include <array>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/absl_text.h"
#include "server/listen_address.h"

namespace tensord {
namespace {

// In the order of LogLevel.
constexpr std::array<absl::string_view, 4> kLogLevelNames = {
    "debug", "info", "warning", "error"};

}  // namespace

bool AbslParseFlag(absl::string_view text, AddressListFlag* flag,
                   std::string* error) {
  flag->addresses.clear();
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::StatusOr<ListenAddress> address =
        ParseListenAddress(FromAbsl(part));
    if (!address.ok()) {
      *error = absl::StrCat(address.status().message());
      return false;
    }
    flag->addresses.push_back(ListenAddressString(*address));
  }
  return true;
}

std::string AbslUnparseFlag(const AddressListFlag& flag) {
  return absl::StrJoin(flag.addresses, ",");
}

bool AbslParseFlag(absl::string_view text, MemorySizeFlag* flag,
                   std::string* error) {
  flag->size.reset();
  if (text.empty()) return true;
  const absl::StatusOr<MemorySize> parsed = ParseMemorySize(FromAbsl(text));
  if (!parsed.ok()) {
    *error = absl::StrCat(parsed.status().message());
    return false;
  }
  flag->size = *parsed;
  return true;
}

std::string AbslUnparseFlag(const MemorySizeFlag& flag) {
  return flag.size.has_value() ? MemorySizeString(*flag.size) : "";
}

bool AbslParseFlag(absl::string_view text, MetricsAddressFlag* flag,
                   std::string* error) {
  flag->text.assign(text.data(), text.size());
  if (text.empty() || text == kNoMetrics) return true;
  const absl::StatusOr<ListenAddress> address =
      ParseListenAddress(FromAbsl(text));
  if (address.ok() && !address->is_unix()) return true;
  *error = absl::StrCat("\"", absl::CHexEscape(text),
                        "\" is neither host:port nor ", kNoMetrics);
  return false;
}

std::string AbslUnparseFlag(const MetricsAddressFlag& flag) {
  return flag.text;
}

bool AbslParseFlag(absl::string_view text, EvictionFlag* flag,
                   std::string* error) {
  if (text != "none" && text != "lru") {
    *error = "expected none or lru";
    return false;
  }
  flag->evicts = text == "lru";
  return true;
}

std::string AbslUnparseFlag(const EvictionFlag& flag) {
  return flag.evicts ? "lru" : "none";
}

bool AbslParseFlag(absl::string_view text, LogFormatFlag* flag,
                   std::string* error) {
  if (text != "text" && text != "json") {
    *error = "expected text or json";
    return false;
  }
  flag->format = text == "json" ? LogFormat::kJson : LogFormat::kText;
  return true;
}

std::string AbslUnparseFlag(const LogFormatFlag& flag) {
  return flag.format == LogFormat::kJson ? "json" : "text";
}

bool AbslParseFlag(absl::string_view text, LogLevelFlag* flag,
                   std::string* error) {
  const auto* const name =
      std::find(kLogLevelNames.begin(), kLogLevelNames.end(), text);
  if (name == kLogLevelNames.end()) {
    *error = "expected debug, info, warning or error";
    return false;
  }
  flag->level = static_cast<LogLevel>(name - kLogLevelNames.begin());
  return true;
}

std::string AbslUnparseFlag(const LogLevelFlag& flag) {
  return std::string(kLogLevelNames[static_cast<std::size_t>(flag.level)]);
}

}  // namespace tensord
