// Fuzz target: any lines as arguments of the daemon, those that begin with
// TENSORD_ as variables of its environment; and each as an address and a size.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/listen_address.h"
#include "server/memory_size.h"
#include "server/options.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

void CheckAddress(const std::string& text, std::string_view input) {
  const auto address = ParseListenAddress(text);
  if (!address.ok()) return RequireRefusal(address.status(), input);
  const auto again = ParseListenAddress(ListenAddressString(*address));
  Require(again.ok() && *again == *address, "an address reads back", input);
  Require(address->is_unix() == address->host.empty() && address->port >= 0 &&
              address->port <= 65535,
          "an address is of one kind", input);
}

void CheckSize(const std::string& text, std::string_view input) {
  const auto size = ParseMemorySize(text);
  if (!size.ok()) return RequireRefusal(size.status(), input);
  Require(size->value > 0 && (!size->is_percent || size->value <= 100),
          "a size is above 0", input);
  const auto again = ParseMemorySize(MemorySizeString(*size));
  Require(again.ok() && *again == *size, "a size reads back", input);
  for (const std::int64_t total :
       {std::int64_t{0}, std::int64_t{1} << 34, std::int64_t{INT64_MAX}}) {
    Require(ToBytes(*size, total) >= 1, "a size is a number of bytes", input);
  }
}

bool IsSeconds(absl::Duration duration) {
  return duration >= absl::ZeroDuration() && duration <= absl::Hours(1);
}

void CheckOptions(const ProgramOptions& options, std::string_view input) {
  const ServerOptions& server = options.server;
  if (options.action != ProgramOptions::Action::kServe) return;
  Require(!server.listen.empty(), "it listens", input);
  for (const std::string& text : server.listen) {
    const auto address = ParseListenAddress(text);
    Require(address.ok(), "addresses are addresses", input);
    Require(IsLocal(*address) || !server.tls_cert_file.empty() ||
                absl::StrContains(std::string(input), "insecure") ||
                absl::StrContains(std::string(input), "INSECURE"),
            "it is open to others with TLS or consent", input);
  }
  if (!server.metrics_listen.empty()) {
    Require(ParseListenAddress(server.metrics_listen).ok(),
            "metrics are at an address", input);
  }
  Require(server.memory_limit_bytes > 0 && server.max_tensor_bytes > 0,
          "limits are above 0", input);
  Require(IsSeconds(options.drain) && IsSeconds(options.listener_watch) &&
              IsSeconds(server.upload_resume_window),
          "durations are up to an hour", input);
}

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string input(data, data + size);
  std::map<std::string, std::string> variables;
  std::vector<std::string> words = {"tensord"};
  for (const auto line : absl::StrSplit(input, '\n')) {
    // As C strings, which is what a process gets.
    const std::string text = std::string(line).c_str();
    const std::size_t equals = text.find('=');
    if (absl::StartsWith(text, "TENSORD_") && equals != text.npos) {
      variables[text.substr(0, equals)] = text.substr(equals + 1);
    } else {
      words.push_back(text);
    }
    const std::string value =
        equals == text.npos ? text : text.substr(equals + 1);
    tensord::CheckAddress(value, input);
    tensord::CheckSize(value, input);
  }
  std::vector<const char*> pointers;
  pointers.reserve(words.size());
  for (const std::string& word : words) pointers.push_back(word.c_str());
  const auto options = tensord::ParseOptions(
      static_cast<int>(pointers.size()), pointers.data(),
      [&](const std::string& name) -> std::optional<std::string> {
        const auto it = variables.find(name);
        if (it == variables.end()) return std::nullopt;
        return it->second;
      });
  if (options.ok()) {
    tensord::CheckOptions(*options, input);
  } else {
    tensord::RequireRefusal(options.status(), input);
  }
  return 0;
}
