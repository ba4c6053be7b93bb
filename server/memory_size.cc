#include "server/memory_size.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
constexpr int kMaxPercent = 100;

struct Unit {
  std::string_view name;
  std::int64_t bytes;
};

constexpr std::array kUnits = {
    Unit{"", 1},
    Unit{"K", 1'000},
    Unit{"M", 1'000'000},
    Unit{"G", 1'000'000'000},
    Unit{"T", 1'000'000'000'000},
    Unit{"Ki", std::int64_t{1} << 10},
    Unit{"Mi", std::int64_t{1} << 20},
    Unit{"Gi", std::int64_t{1} << 30},
    Unit{"Ti", std::int64_t{1} << 40},
};

absl::Status BadSize(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(ToAbsl(text)), "\" is not a size: ", ToAbsl(why),
      "; expected bytes (1073741824, 1GiB, 500M) or a share of "
      "the memory (75%)"));
}

std::optional<std::int64_t> UnitBytes(std::string_view name) {
  if (name.ends_with('B') || name.ends_with('b')) name.remove_suffix(1);
  for (const Unit& unit : kUnits) {
    if (absl::EqualsIgnoreCase(ToAbsl(unit.name), ToAbsl(name))) {
      return unit.bytes;
    }
  }
  return std::nullopt;
}

// The number in a file that holds nothing else; "max" and what can not be read
// mean no limit.
std::int64_t ReadLimit(const std::string& file) {
  std::ifstream in(file);
  std::int64_t limit = 0;
  return in >> limit && limit > 0 ? limit : kUnlimited;
}

std::int64_t MachineMemory(const std::string& root) {
  std::ifstream in(root + "/proc/meminfo");
  std::string key;
  std::int64_t kibibytes = 0;
  if (in >> key >> kibibytes && key == "MemTotal:" && kibibytes > 0 &&
      kibibytes <= kUnlimited / 1024) {
    return kibibytes * 1024;
  }
  return kUnlimited;
}

// The least limit of the group at `path` below `mount` and of those above it.
std::int64_t LeastLimit(const std::string& mount, std::string path,
                        std::string_view file) {
  std::int64_t least = kUnlimited;
  for (;;) {
    while (path.ends_with('/')) path.pop_back();
    least = std::min(least,
                     ReadLimit(absl::StrCat(mount, path, "/", ToAbsl(file))));
    if (path.empty()) return least;
    path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
  }
}

// A line of /proc/self/cgroup is "0::/path" in version 2 and
// "4:memory:/path" in version 1.
std::int64_t ControlGroupLimit(const std::string& root) {
  std::ifstream in(root + "/proc/self/cgroup");
  std::int64_t least = kUnlimited;
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) {
      least = std::min(
          least, LeastLimit(root + "/sys/fs/cgroup", parts[2], "memory.max"));
    }
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), "memory") !=
        controllers.end()) {
      least = std::min(least, LeastLimit(root + "/sys/fs/cgroup/memory",
                                         parts[2], "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace

absl::StatusOr<MemorySize> ParseMemorySize(std::string_view text) {
  const auto digits_end =
      std::find_if_not(text.begin(), text.end(), absl::ascii_isdigit);
  const std::string_view digits =
      text.substr(0, static_cast<std::size_t>(digits_end - text.begin()));
  std::string_view unit = text.substr(digits.size());
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  MemorySize size;
  if (digits.empty()) return BadSize(text, "it has no number");
  if (!absl::SimpleAtoi(ToAbsl(digits), &size.value)) {
    return BadSize(text, "the number is too large");
  }
  if (size.value == 0) return BadSize(text, "it is 0");
  if (unit == "%") {
    size.is_percent = true;
    if (size.value > kMaxPercent) return BadSize(text, "more than 100%");
    return size;
  }
  const std::optional<std::int64_t> unit_bytes = UnitBytes(unit);
  if (!unit_bytes.has_value()) return BadSize(text, "there is no such unit");
  if (__builtin_mul_overflow(size.value, *unit_bytes, &size.value)) {
    return BadSize(text, "the number is too large");
  }
  return size;
}

std::string MemorySizeString(MemorySize size) {
  return absl::StrCat(size.value, size.is_percent ? "%" : "");
}

std::int64_t ToBytes(MemorySize size, std::int64_t total_bytes) {
  if (!size.is_percent) return size.value;
  const std::int64_t share = total_bytes / kMaxPercent * size.value;
  return std::max<std::int64_t>(
      share + total_bytes % kMaxPercent * size.value / kMaxPercent, 1);
}

std::int64_t TotalMemoryBytes(const std::string& root) {
  return std::min(MachineMemory(root), ControlGroupLimit(root));
}

}  // namespace tensord
