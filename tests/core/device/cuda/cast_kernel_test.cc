// What the kernels' threads do, as a host runs them: of any number of elements,
// wherever they lie, they make what CastPacked makes.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/cast/cast.h"
#include "core/device/cuda/cast_launch.h"
#include "tests/core/device/cuda/host_kernels.h"

namespace tensord::testing {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kMaxElements = 40'000;

Bytes RandomBytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min<std::size_t>(8, size - i));
  }
  return bytes;
}

class CastKernelTest : public ::testing::TestWithParam<DType> {
 protected:
  // Casts elements that begin some elements behind an aligned address, to some
  // behind another.
  void ExpectSameAsCastPacked(DType to, Overflow overflow, std::size_t count,
                              std::size_t src_offset, std::size_t dst_offset) {
    const DType from = GetParam();
    const std::byte* const src = source_.data() + src_offset * ItemSize(from);
    const std::size_t size = count * ItemSize(to);
    std::byte* const dst = result_.data() + dst_offset * ItemSize(to);
    std::memset(result_.data(), 0x5a, size + 256);
    CastFailureRecord record{};
    RunCast({.from = from,
             .to = to,
             .overflow = overflow,
             .src = src,
             .dst = dst,
             .count = count,
             .first_position = 1000,
             .failures = overflow == Overflow::kError ? &record : nullptr});
    CastFailures failures;
    CastPacked(from, src, to, expected_.data(), count, overflow, &failures);
    const std::string label = std::string(Name(from)) + " to " +
                              std::string(Name(to)) + ", " +
                              std::to_string(count) + " elements";
    EXPECT_EQ(std::memcmp(dst, expected_.data(), size), 0) << label;
    EXPECT_EQ(dst[size], std::byte{0x5a}) << label;
    EXPECT_EQ(record.count, failures.count) << label;
    if (failures.count > 0) {
      EXPECT_EQ(~record.inverted_first, failures.first_index + 1000) << label;
    }
  }

  std::mt19937_64 random_{1};
  // Some elements to spare on either side.
  alignas(64) Bytes source_ = RandomBytes(random_, (kMaxElements + 8) * 16);
  alignas(64) Bytes result_ = Bytes((kMaxElements + 24) * 16);
  Bytes expected_ = Bytes((kMaxElements + 8) * 16);
};

TEST_P(CastKernelTest, CastsAnyNumberOfElementsAnywhere) {
  for (const DType to : AllDTypes()) {
    for (const Overflow overflow :
         {Overflow::kTorch, Overflow::kSaturate, Overflow::kError}) {
      for (const std::size_t count :
           {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1024},
            std::size_t{5000}, kMaxElements - random_() % 999}) {
        ExpectSameAsCastPacked(to, overflow, count, 0, 0);
        ExpectSameAsCastPacked(to, overflow, count, random_() % 4,
                               random_() % 4);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, CastKernelTest,
                         ::testing::ValuesIn(AllDTypes()),
                         [](const auto& test) {
                           return std::string(Name(test.param));
                         });

TEST(GatherKernelTest, PacksElementsOfAnyLayout) {
  std::mt19937_64 random{1};
  for (int i = 0; i < 300; ++i) {
    GatherLaunch launch{};
    launch.item_size = 1U << random() % 5;
    launch.rank = static_cast<std::uint32_t>(1 + random() % 4);
    std::uint64_t elements = 1;
    std::int64_t first = 0;
    std::int64_t last = 0;
    for (std::uint32_t dim = 0; dim < launch.rank; ++dim) {
      launch.shape[dim] = static_cast<std::int64_t>(1 + random() % 9);
      launch.strides[dim] = static_cast<std::int64_t>(random() % 41) - 20;
      elements *= static_cast<std::uint64_t>(launch.shape[dim]);
      const std::int64_t way = (launch.shape[dim] - 1) * launch.strides[dim];
      (way < 0 ? first : last) += way;
    }
    const std::size_t size = launch.item_size;
    const Bytes storage =
        RandomBytes(random, static_cast<std::size_t>(last - first + 1) * size);
    launch.src = storage.data() - first * static_cast<std::int64_t>(size);
    launch.total = elements;
    launch.begin = random() % elements;
    launch.count = random() % (elements - launch.begin) + 1;
    Bytes result(launch.count * size);
    launch.dst = result.data();
    RunGather(launch);
    for (std::uint64_t j = 0; j < launch.count; ++j) {
      std::uint64_t rest = launch.begin + j;
      std::int64_t offset = 0;
      for (std::uint32_t dim = launch.rank; dim-- > 0;) {
        const auto length = static_cast<std::uint64_t>(launch.shape[dim]);
        offset +=
            static_cast<std::int64_t>(rest % length) * launch.strides[dim];
        rest /= length;
      }
      ASSERT_EQ(
          std::memcmp(result.data() + j * size,
                      launch.src + offset * static_cast<std::int64_t>(size),
                      size),
          0);
    }
  }
}

// Beyond what 32 bits count to, where the elements are few: strides of 0.
TEST(GatherKernelTest, CountsBeyond32Bits) {
  const std::uint16_t storage[] = {7, 8};
  std::uint16_t result[4] = {};
  GatherLaunch launch{};
  launch.item_size = 2;
  launch.rank = 2;
  launch.src = reinterpret_cast<const std::byte*>(storage);
  launch.dst = reinterpret_cast<std::byte*>(result);
  launch.shape[0] = std::int64_t{1} << 40;
  launch.shape[1] = 2;
  launch.strides[0] = 0;
  launch.strides[1] = 1;
  launch.begin = (std::uint64_t{1} << 40) + 1;
  launch.count = 4;
  launch.total = std::uint64_t{1} << 41;
  RunGather(launch);
  EXPECT_EQ(result[0], 8);
  EXPECT_EQ(result[1], 7);
  EXPECT_EQ(result[3], 7);
}

// The first elements of rows whose length 32 bits do not hold.
TEST(GatherKernelTest, RowsMayBeLongerThan32Bits) {
  const std::uint16_t storage[] = {7};
  std::uint16_t result[2] = {};
  GatherLaunch launch{};
  launch.item_size = 2;
  launch.rank = 2;
  launch.src = reinterpret_cast<const std::byte*>(storage);
  launch.dst = reinterpret_cast<std::byte*>(result);
  launch.shape[0] = 2;
  launch.shape[1] = std::int64_t{1} << 32;
  launch.count = 2;
  launch.total = std::uint64_t{1} << 33;
  RunGather(launch);
  EXPECT_EQ(result[0], 7);
  EXPECT_EQ(result[1], 7);
}

}  // namespace
}  // namespace tensord::testing
