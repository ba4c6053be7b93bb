#include "core/cast/packed_cast.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/cast/cast.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/every_cast_table.h"

namespace tensord {
namespace {

using testing::CastInputs;
using testing::WithEveryCastTable;

// More than streamed casts take at a time, and a rest of every kind.
constexpr std::size_t kElements = 8 * 4096 * 2 + 3 * 4096 + 777;

std::vector<std::byte> ManyElements(DType dtype) {
  const std::vector<std::byte> inputs = CastInputs(dtype, 1000);
  std::vector<std::byte> elements;
  while (elements.size() < kElements * ItemSize(dtype)) {
    elements.insert(elements.end(), inputs.begin(), inputs.end());
  }
  elements.resize(kElements * ItemSize(dtype));
  return elements;
}

ByteOrder RandomOrder(std::mt19937_64& random) {
  return random() % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig;
}

// Results are the same past the caches, wherever they begin, and nothing else
// is written.
TEST(PackedCastTest, StreamedResultsAreTheSame) {
  std::mt19937_64 random(14);
  WithEveryCastTable([&] {
    for (const DType from : AllDTypes()) {
      const std::vector<std::byte> source = ManyElements(from);
      for (const DType to : AllDTypes()) {
        const auto overflow = static_cast<Overflow>(random() % 3);
        const PackedCast cast(from, RandomOrder(random), to,
                              RandomOrder(random), overflow);
        const std::size_t bytes = kElements * ItemSize(to);
        std::vector<std::byte> expected(bytes);
        CastFailures expected_failures;
        cast.Run(source.data(), expected.data(), kElements, false,
                 &expected_failures);
        const std::size_t shift = random() % 100;
        std::vector<std::byte> streamed(bytes + 200, std::byte{0xa5});
        CastFailures failures;
        cast.Run(source.data(), streamed.data() + shift, kElements, true,
                 &failures);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(),
                               streamed.begin() + shift))
            << Name(from) << " to " << Name(to) << ", shift " << shift;
        EXPECT_EQ(std::count(streamed.begin(), streamed.begin() + shift,
                             std::byte{0xa5}),
                  static_cast<std::ptrdiff_t>(shift));
        EXPECT_EQ(std::count(streamed.begin() + shift + bytes, streamed.end(),
                             std::byte{0xa5}),
                  200 - static_cast<std::ptrdiff_t>(shift));
        EXPECT_EQ(failures.count, expected_failures.count);
        EXPECT_EQ(failures.first_index, expected_failures.first_index);
      }
    }
  });
}

TEST(PackedCastTest, FewElementsCanBeStreamed) {
  const std::vector<std::byte> source = ManyElements(DType::kFloat32);
  const PackedCast cast(DType::kFloat32, ByteOrder::kLittle, DType::kFloat16,
                        ByteOrder::kLittle, Overflow::kTorch);
  for (std::size_t count = 0; count <= 300; ++count) {
    std::vector<std::byte> expected(count * 2);
    std::vector<std::byte> streamed(count * 2);
    cast.Run(source.data(), expected.data(), count, false, nullptr);
    cast.Run(source.data(), streamed.data(), count, true, nullptr);
    EXPECT_EQ(streamed, expected);
  }
}

}  // namespace
}  // namespace tensord
