#include "core/cast/cast_parts.h"

#include <algorithm>
#include <vector>

namespace tensord {

void CastInParts(const ParallelFor& parallel_for, std::int64_t count,
                 std::size_t part_count,
                 absl::FunctionRef<void(std::int64_t begin, std::int64_t count,
                                        CastFailures* failures)>
                     cast,
                 CastFailures* failures) {
  const std::int64_t part =
      (count / static_cast<std::int64_t>(part_count) + 64) / 64 * 64;
  std::vector<CastFailures> found(part_count);
  const auto begin_of = [&](std::size_t i) {
    return std::min(static_cast<std::int64_t>(i) * part, count);
  };
  parallel_for(part_count, [&](std::size_t i) {
    cast(begin_of(i), begin_of(i + 1) - begin_of(i), &found[i]);
  });
  for (std::size_t i = 0; i < part_count; ++i) {
    if (found[i].count == 0) continue;
    failures->Merge(found[i], static_cast<std::uint64_t>(begin_of(i)));
  }
}

}  // namespace tensord
