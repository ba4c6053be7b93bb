#include "client/cpp/src/parts.h"

#include <algorithm>

namespace tensord::client {
namespace {

// No element is larger, and all sizes of elements divide it.
constexpr std::int64_t kLargestElement = 16;

}  // namespace

std::vector<ByteRange> CutIntoParts(std::int64_t total_bytes,
                                    std::int64_t chunk_bytes, int max_parts) {
  const std::int64_t parts =
      std::clamp(total_bytes / kMinPartBytes, std::int64_t{1},
                 std::int64_t{std::max(max_parts, 1)});
  const std::int64_t unit =
      std::max(chunk_bytes / kLargestElement, std::int64_t{1}) *
      kLargestElement;
  const std::int64_t units = total_bytes / unit;
  std::vector<ByteRange> ranges;
  std::int64_t begin = 0;
  for (std::int64_t i = 1; i < parts; ++i) {
    const std::int64_t end = units * i / parts * unit;
    if (end > begin) ranges.push_back({begin, end});
    begin = end;
  }
  ranges.push_back({begin, total_bytes});
  return ranges;
}

}  // namespace tensord::client
