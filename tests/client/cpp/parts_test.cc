#include "client/cpp/src/parts.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "tests/client/cpp/test_arrays.h"

namespace tensord::client {
namespace {

TEST(CutIntoPartsTest, CoversTheArrayInEvenParts) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t total = Between(random, 0, 300 << 20);
    const std::int64_t chunk = Between(random, 1, 4 << 20);
    const int most = static_cast<int>(Between(random, 0, 9));
    const std::vector<ByteRange> parts = CutIntoParts(total, chunk, most);
    ASSERT_FALSE(parts.empty());
    EXPECT_LE(parts.size(), static_cast<std::size_t>(std::max(most, 1)));
    EXPECT_EQ(parts.front().begin, 0);
    EXPECT_EQ(parts.back().end, total);
    for (std::size_t p = 0; p + 1 < parts.size(); ++p) {
      EXPECT_EQ(parts[p].end, parts[p + 1].begin);
      EXPECT_EQ(parts[p].end % 16, 0);
    }
    if (parts.size() == 1) continue;
    for (const ByteRange& part : parts) {
      EXPECT_NEAR(
          static_cast<double>(part.end - part.begin),
          static_cast<double>(total) / static_cast<double>(parts.size()),
          2 * (4 << 20));
    }
  }
}

TEST(CutIntoPartsTest, LeavesSmallArraysWhole) {
  constexpr std::int64_t kChunk = 2 << 20;
  EXPECT_EQ(CutIntoParts(2 * kMinPartBytes - 1, kChunk, 8).size(), 1u);
  EXPECT_EQ(CutIntoParts(2 * kMinPartBytes, kChunk, 8).size(), 2u);
  EXPECT_EQ(CutIntoParts(100 * kMinPartBytes, kChunk, 8).size(), 8u);
  EXPECT_EQ(CutIntoParts(100 * kMinPartBytes, kChunk, -1).size(), 1u);
  // Chunks that are larger than parts.
  EXPECT_EQ(CutIntoParts(2 * kMinPartBytes, 100 * kMinPartBytes, 8).size(), 1u);
}

}  // namespace
}  // namespace tensord::client
