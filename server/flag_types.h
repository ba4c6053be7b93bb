// Types of flags, in the form that Abseil asks for: AbslParseFlag reads a
// value, or says why it can not, and AbslUnparseFlag writes what AbslParseFlag
// reads.
#ifndef TENSORD_SERVER_FLAG_TYPES_H_
#define TENSORD_SERVER_FLAG_TYPES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/memory_size.h"
#include "server/observe/log_line.h"

namespace tensord {

// Addresses as of ParseListenAddress, at least one, separated by commas.
struct AddressListFlag {
  std::vector<std::string> addresses;
};

bool AbslParseFlag(absl::string_view text, AddressListFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const AddressListFlag& flag);

// A size as of ParseMemorySize, or empty for the default.
struct MemorySizeFlag {
  std::optional<MemorySize> size;
};

bool AbslParseFlag(absl::string_view text, MemorySizeFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const MemorySizeFlag& flag);

inline constexpr char kNoMetrics[] = "none";

// "host:port", kNoMetrics, or empty for the default.
struct MetricsAddressFlag {
  std::string text;
};

bool AbslParseFlag(absl::string_view text, MetricsAddressFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const MetricsAddressFlag& flag);

// "none" or "lru".
struct EvictionFlag {
  bool evicts = false;
};

bool AbslParseFlag(absl::string_view text, EvictionFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const EvictionFlag& flag);

// "text" or "json".
struct LogFormatFlag {
  LogFormat format = LogFormat::kText;
};

bool AbslParseFlag(absl::string_view text, LogFormatFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const LogFormatFlag& flag);

// "debug", "info", "warning" or "error".
struct LogLevelFlag {
  LogLevel level = LogLevel::kInfo;
};

bool AbslParseFlag(absl::string_view text, LogLevelFlag* flag,
                   std::string* error);
std::string AbslUnparseFlag(const LogLevelFlag& flag);

}  // namespace tensord

#endif  // TENSORD_SERVER_FLAG_TYPES_H_
