// Sizes of memory, as people write them and as the system has them.
#ifndef TENSORD_SERVER_MEMORY_SIZE_H_
#define TENSORD_SERVER_MEMORY_SIZE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensord {

// A number of bytes, or a share of the memory there is.
struct MemorySize {
  std::int64_t value = 0;
  // Whether `value` is in percent.
  bool is_percent = false;
  bool operator==(const MemorySize&) const = default;
};

// Reads "1073741824", "1GiB", "64 MiB", "10G", "75%". K, M, G and T (with or
// without B) are powers of 1000; KiB, MiB, GiB and TiB (with or without B) are
// powers of 1024. Whole numbers above 0; percentages up to 100.
// INVALID_ARGUMENT, with the text, for anything else.
absl::StatusOr<MemorySize> ParseMemorySize(std::string_view text);

// The text that ParseMemorySize reads back.
std::string MemorySizeString(MemorySize size);

// `size` in bytes, out of `total_bytes`; at least 1.
std::int64_t ToBytes(MemorySize size, std::int64_t total_bytes);

// Bytes that this process may use: the memory of the machine, or what its
// control groups (of either version) allow if that is less. `root` is where
// /proc and /sys are found.
std::int64_t TotalMemoryBytes(const std::string& root = "");

}  // namespace tensord

#endif  // TENSORD_SERVER_MEMORY_SIZE_H_
