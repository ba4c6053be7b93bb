#include "core/memory/system_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

namespace tensord {
namespace {

// A size of any magnitude, small ones as often as large ones.
std::size_t RandomSize(std::mt19937_64& random, int max_bits) {
  const int bits = std::uniform_int_distribution(1, max_bits)(random);
  return random() >> (64 - bits);
}

TEST(BlockBytesTest, HoldsWhatIsAskedForAndWastesAtMostAnEighth) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::size_t size = RandomSize(random, 48);
    const std::size_t block = BlockBytes(size);
    ASSERT_GE(block, size);
    ASSERT_EQ(block % kBlockAlignment, 0) << size;
    ASSERT_LE(block - size, std::max(size / 8, kBlockAlignment)) << size;
  }
}

TEST(BlockBytesTest, KeepsSizesThatItMade) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; ++i) {
    const std::size_t block = BlockBytes(RandomSize(random, 48));
    ASSERT_EQ(BlockBytes(block), block);
  }
}

TEST(BlockBytesTest, GrowsWithTheSize) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    const std::size_t size = RandomSize(random, 30);
    ASSERT_LE(BlockBytes(size), BlockBytes(size + 1)) << size;
  }
}

TEST(BlockBytesTest, RefusesWhatWouldWrapAround) {
  EXPECT_EQ(BlockBytes(std::numeric_limits<std::size_t>::max()), 0);
  EXPECT_EQ(BlockBytes(std::numeric_limits<std::size_t>::max() / 2), 0);
}

TEST(BlockBytesTest, UsesFewSizesForSmallBlocks) {
  std::size_t sizes = 0;
  std::size_t last = 0;
  for (std::size_t size = 0; size < kMinMappedBytes; ++size) {
    const std::size_t block = BlockBytes(size);
    sizes += block != last;
    last = block;
  }
  EXPECT_LE(sizes, 100);
}

TEST(SystemMemoryTest, GivesAlignedMemoryOfTheWholeSize) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{1000}, kMinMappedBytes - 1, kMinMappedBytes,
        kHugePageBytes - 1, kHugePageBytes, kHugePageBytes + 1,
        8 * kHugePageBytes + 1}) {
    const std::size_t block_bytes = BlockBytes(size);
    std::byte* const block = AcquireBlock(block_bytes);
    ASSERT_NE(block, nullptr);
    const std::size_t alignment =
        size >= kHugePageBytes ? kHugePageBytes : kBlockAlignment;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignment, 0) << size;
    std::memset(block, 1, block_bytes);
    ReleaseBlock(block, block_bytes);
  }
}

TEST(SystemMemoryTest, GivesNothingWhenThereIsNone) {
  EXPECT_EQ(AcquireBlock(BlockBytes(std::size_t{1} << 61)), nullptr);
}

}  // namespace
}  // namespace tensord
