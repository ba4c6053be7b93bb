#include "core/memory/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/config.h"
#include "core/error.h"

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace tensord {
namespace {

using Block = std::shared_ptr<std::byte>;

constexpr std::size_t kMiB = std::size_t{1} << 20;

Block Take(Arena& arena, std::size_t size_bytes) {
  auto block = arena.Allocate(size_bytes);
  EXPECT_TRUE(block.ok()) << block.status();
  return block.ok() ? *std::move(block) : nullptr;
}

TEST(ArenaTest, AlignsBlocksOfAnySize) {
  Arena arena({});
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{65},
        kMiB - 1, kMiB, 3 * kMiB + 5}) {
    const Block block = Take(arena, size);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.get()) % 64, 0);
  }
}

TEST(ArenaTest, RecyclesBlocksOfTheSameSize) {
  for (const std::size_t size : {std::size_t{100}, 3 * kMiB}) {
    Arena arena({});
    Block block = Take(arena, size);
    const std::byte* const address = block.get();
    block.reset();
    EXPECT_EQ(Take(arena, size).get(), address);
  }
}

TEST(ArenaTest, RecyclesTheBestFit) {
  Arena arena({});
  Block large = Take(arena, 12 * kMiB);
  Block fitting = Take(arena, 10 * kMiB);
  const std::byte* const address = fitting.get();
  large.reset();
  fitting.reset();
  EXPECT_EQ(Take(arena, 10 * kMiB - 4096).get(), address);
}

TEST(ArenaTest, DoesNotHandOutBlocksThatAreMuchTooLarge) {
  Arena arena({});
  Take(arena, 10 * kMiB).reset();
  ASSERT_EQ(arena.stats().pooled_bytes, 10 * kMiB);
  const Block block = Take(arena, 8 * kMiB);
  EXPECT_EQ(arena.stats().used_bytes, 8 * kMiB);
  EXPECT_EQ(arena.stats().pooled_bytes, 10 * kMiB);
}

TEST(ArenaTest, KeepsNoMoreThanItMay) {
  Arena arena({.max_pooled_bytes = 4 * kMiB});
  std::vector<Block> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(Take(arena, 3 * kMiB / 2));
  EXPECT_EQ(arena.stats().pooled_bytes, 0);
  blocks.clear();
  EXPECT_EQ(arena.stats().pooled_bytes, 3 * kMiB);
  EXPECT_EQ(arena.stats().used_bytes, 0);
}

TEST(ArenaTest, KeepsNothingWhenToldSo) {
  Arena arena({.max_pooled_bytes = 0});
  for (const std::size_t size : {std::size_t{0}, 3 * kMiB}) {
    Take(arena, size).reset();
    EXPECT_EQ(arena.stats().pooled_bytes, 0);
  }
}

TEST(ArenaTest, TrimGivesBackWhatNobodyTookForAWhile) {
  absl::Time now = absl::FromUnixSeconds(1000);
  Arena arena({.clock = [&] { return now; }});
  std::vector<Block> old;
  for (int i = 0; i < 200; ++i) old.push_back(Take(arena, 128));
  old.clear();
  Take(arena, 3 * kMiB).reset();
  now += absl::Seconds(10);
  // The block that is used again counts as new.
  Take(arena, 3 * kMiB).reset();
  Take(arena, 128).reset();
  Take(arena, 64).reset();
  EXPECT_EQ(arena.Trim(absl::Seconds(11)), 0);
  EXPECT_EQ(arena.Trim(absl::Seconds(10)), 199 * 128);
  EXPECT_EQ(arena.stats().pooled_bytes, 3 * kMiB + 128 + 64);
  now += absl::Seconds(10);
  EXPECT_EQ(arena.Trim(absl::Seconds(10)), 3 * kMiB + 128 + 64);
  EXPECT_EQ(arena.stats().pooled_bytes, 0);
}

TEST(ArenaTest, TrimGivesBackWhatIsPooledAndNoMore) {
  Arena arena({});
  const Block kept = Take(arena, 2 * kMiB);
  std::memset(kept.get(), 7, 2 * kMiB);
  Take(arena, 3 * kMiB).reset();
  Take(arena, 64).reset();
  EXPECT_EQ(arena.stats().pooled_bytes, 3 * kMiB + 64);
  EXPECT_EQ(arena.Trim(), 3 * kMiB + 64);
  EXPECT_EQ(arena.Trim(), 0);
  EXPECT_EQ(arena.stats().pooled_bytes, 0);
  EXPECT_EQ(arena.stats().used_bytes, 2 * kMiB);
  EXPECT_EQ(kept.get()[2 * kMiB - 1], std::byte{7});
}

TEST(ArenaTest, RefusesWhatTheSystemDoesNotHave) {
  Arena arena({});
  for (const std::size_t size : {std::size_t{1} << 60, std::size_t{1} << 62,
                                 std::numeric_limits<std::size_t>::max()}) {
    const auto block = arena.Allocate(size);
    EXPECT_EQ(block.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetErrorReason(block.status()), reason::kMemoryExhausted);
  }
  EXPECT_EQ(arena.stats().used_bytes, 0);
}

TEST(ArenaTest, BlocksOutliveTheArena) {
  std::optional<Arena> arena{std::in_place, Arena::Options{}};
  Block small = Take(*arena, 10);
  Block large = Take(*arena, 2 * kMiB);
  arena.reset();
  std::memset(small.get(), 1, 10);
  std::memset(large.get(), 1, 2 * kMiB);
  small.reset();
  large.reset();
}

// Blocks that are out at the same time never overlap, keep their bytes, and are
// counted to the byte.
TEST(ArenaTest, KeepsBlocksApartInAnyOrderOfEvents) {
  struct Held {
    Block block;
    std::size_t size;
    std::byte mark;
  };
  std::mt19937_64 random(4);
  Arena arena({.max_pooled_bytes = 8 * kMiB});
  std::vector<Held> held;
  for (int i = 0; i < 2000; ++i) {
    if (held.empty() || random() % 2 == 0) {
      const std::size_t size =
          random() % 10 == 0 ? random() % (3 * kMiB) : random() % 5000;
      const auto mark = static_cast<std::byte>(random());
      held.push_back({Take(arena, size), size, mark});
      // The ends are where a neighbour would write.
      std::fill_n(held.back().block.get(), std::min<std::size_t>(size, 64),
                  mark);
      if (size > 0) held.back().block.get()[size - 1] = mark;
    } else {
      std::swap(held[random() % held.size()], held.back());
      const Held& last = held.back();
      if (last.size > 0) {
        ASSERT_EQ(last.block.get()[0], last.mark);
        ASSERT_EQ(last.block.get()[last.size - 1], last.mark);
      }
      held.pop_back();
    }
    std::size_t least = 0;
    for (const Held& h : held) least += h.size;
    const Arena::Stats stats = arena.stats();
    ASSERT_GE(stats.used_bytes, least);
    ASSERT_LE(stats.used_bytes, least + least / 8 + held.size() * 128);
    ASSERT_LE(stats.pooled_bytes, 8 * kMiB);
  }
  held.clear();
  EXPECT_EQ(arena.stats().used_bytes, 0);
  const std::size_t pooled_bytes = arena.stats().pooled_bytes;
  EXPECT_EQ(arena.Trim(), pooled_bytes);
}

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
TEST(ArenaTest, ForbidsAccessToWhatNobodyAskedFor) {
  for (const std::size_t size : {std::size_t{100}, 2 * kMiB + 100}) {
    Arena arena({});
    Block block = Take(arena, size);
    const std::byte* const data = block.get();
    EXPECT_EQ(__asan_region_is_poisoned(block.get(), size), nullptr);
    EXPECT_TRUE(__asan_address_is_poisoned(data + size));
    block.reset();
    EXPECT_TRUE(__asan_address_is_poisoned(data));
    EXPECT_TRUE(__asan_address_is_poisoned(data + size - 1));
    block = Take(arena, size);
    EXPECT_EQ(block.get(), data);
    EXPECT_EQ(__asan_region_is_poisoned(block.get(), size), nullptr);
    block.reset();
    arena.Trim();
  }
}
#endif

TEST(ArenaTest, ServesManyThreads) {
  Arena arena({.max_pooled_bytes = 4 * kMiB});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&arena, t] {
        std::mt19937_64 random(t);
        std::vector<Block> blocks(8);
        for (int i = 0; i < 500; ++i) {
          Block& block = blocks[random() % blocks.size()];
          const std::size_t size = random() % 20 == 0 ? kMiB : random() % 2000;
          block = Take(arena, size);
          std::memset(block.get(), t, std::min<std::size_t>(size, 2000));
          if (i % 100 == 0) arena.Trim();
        }
      });
    }
  }
  EXPECT_EQ(arena.stats().used_bytes, 0);
  EXPECT_LE(arena.stats().pooled_bytes, 4 * kMiB);
}

}  // namespace
}  // namespace tensord
