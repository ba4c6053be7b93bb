#include "core/cast/cast.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/cast/elementwise_cast.h"
#include "tests/core/cast/every_cast_table.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using testing::ElementwiseCast;
using testing::ExpectSameFailures;
using testing::kPolicies;
using testing::ReverseUnits;
using testing::SomeElements;
using testing::WithEveryCastTable;

template <class T>
std::vector<std::byte> BytesOf(const std::vector<T>& elements) {
  std::vector<std::byte> bytes(elements.size() * sizeof(T));
  std::memcpy(bytes.data(), elements.data(), bytes.size());
  return bytes;
}

// ---- CastPacked -------------------------------------------------------------

TEST(CastPackedTest, InPlaceGivesTheSame) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(4);
    for (const DType from : AllDTypes()) {
      for (const DType to : AllDTypes()) {
        if (ItemSize(from) != ItemSize(to)) continue;
        for (const Overflow overflow : kPolicies) {
          std::vector<std::byte> elements = SomeElements(from, 5000, random);
          std::vector<std::byte> apart(elements.size());
          CastFailures expected;
          CastFailures failures;
          CastPacked(from, elements.data(), to, apart.data(), 5000, overflow,
                     &expected);
          CastPacked(from, elements.data(), to, elements.data(), 5000, overflow,
                     &failures);
          EXPECT_EQ(elements, apart) << Name(from) << " to " << Name(to);
          ExpectSameFailures(failures, expected);
        }
      }
    }
  });
}

TEST(CastPackedTest, FailuresAreCountedAcrossBlocks) {
  WithEveryCastTable([&] {
    std::vector<float> source(100000, 1.0f);
    source[54321] = 300.0f;
    source[54322] = -129.0f;
    source[99999] = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::int8_t> result(source.size());
    CastFailures failures{.count = 7, .first_index = 8, .first_value = "old"};
    CastPacked(DType::kFloat32, BytesOf(source).data(), DType::kInt8,
               reinterpret_cast<std::byte*>(result.data()), source.size(),
               Overflow::kError, &failures);
    EXPECT_EQ(failures.count, 3u);
    EXPECT_EQ(failures.first_index, 54321u);
    EXPECT_EQ(failures.first_value, "300.0");
    EXPECT_EQ(result[54321], 44);
    EXPECT_EQ(result[0], 1);
  });
}

TEST(CastPackedTest, OtherPoliciesLeaveFailuresAlone) {
  const std::vector<float> source = {300.0f};
  std::byte result;
  for (const Overflow overflow : {Overflow::kTorch, Overflow::kSaturate}) {
    CastFailures failures{.count = 7, .first_index = 8, .first_value = "old"};
    CastPacked(DType::kFloat32, BytesOf(source).data(), DType::kInt8, &result,
               1, overflow, &failures);
    EXPECT_EQ(failures.count, 7u);
    EXPECT_EQ(failures.first_value, "old");
  }
}

// ---- CastFailures -----------------------------------------------------------

TEST(CastFailuresTest, MergeKeepsTheFirst) {
  CastFailures all;
  all.Merge({}, 10);
  EXPECT_EQ(all.count, 0u);
  all.Merge({.count = 2, .first_index = 3, .first_value = "300"}, 100);
  all.Merge({}, 200);
  all.Merge({.count = 4, .first_index = 0, .first_value = "7"}, 300);
  ExpectSameFailures(all,
                     {.count = 6, .first_index = 103, .first_value = "300"});
}

TEST(CastFailuresTest, StatusSaysWhatAndWhere) {
  const absl::Status status =
      CastFailuresStatus({.count = 2, .first_index = 5, .first_value = "300.0"},
                         DType::kFloat32, DType::kInt8);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(status.message(),
            "float32 value 300.0 at index 5 cannot be represented as int8 "
            "(2 elements in all cannot)");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
  EXPECT_THAT(details.metadata,
              ElementsAre(std::pair("count", "2"), std::pair("firstIndex", "5"),
                          std::pair("firstValue", "300.0")));
}

TEST(CastFailuresTest, NoFailuresAreOk) {
  EXPECT_TRUE(CastFailuresStatus({}, DType::kFloat32, DType::kInt8).ok());
}

// ---- SwapBytes --------------------------------------------------------------

TEST(SwapBytesTest, ReversesEveryUnit) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(5);
    for (const DType dtype : AllDTypes()) {
      for (const std::size_t count : {0, 1, 3, 67}) {
        std::vector<std::byte> elements = SomeElements(dtype, count, random);
        std::vector<std::byte> expected = elements;
        ReverseUnits(dtype, expected.data(), count);
        std::vector<std::byte> swapped(elements.size());
        SwapBytes(dtype, elements.data(), swapped.data(), count);
        EXPECT_EQ(swapped, expected) << Name(dtype);
        SwapBytes(dtype, elements.data(), elements.data(), count);
        EXPECT_EQ(elements, expected) << Name(dtype);
      }
    }
  });
}

// ---- CastStrided ------------------------------------------------------------

// From 1 to `longest`, short ones as often as long ones.
std::int64_t RandomSize(std::int64_t longest, std::mt19937_64& random) {
  const double exponent = std::uniform_real_distribution<double>(
      0, std::log2(static_cast<double>(longest + 1)))(random);
  return static_cast<std::int64_t>(std::exp2(exponent));
}

// A layout of `most` elements at most within `storage`: dimensions no longer
// than `longest` in any order, with gaps, repeated (stride 0) or backwards.
Layout RandomLayout(std::int64_t longest, std::int64_t most,
                    std::int64_t* storage, std::mt19937_64& random) {
  const std::size_t rank = random() % 6;
  Layout layout;
  layout.shape.resize(rank);
  layout.strides.resize(rank);
  std::vector<std::size_t> order(rank);
  for (std::size_t i = 0; i < rank; ++i) order[i] = i;
  if (random() % 2 == 0) std::shuffle(order.begin(), order.end(), random);
  std::int64_t stride = 1;
  std::int64_t highest = 0;
  for (std::size_t i = rank; i-- > 0;) {
    const std::int64_t size = RandomSize(std::min(longest, most), random);
    most /= size;
    const std::int64_t step = random() % 4 == 0 ? 2 : 1;
    layout.shape[order[i]] = size;
    layout.strides[order[i]] = stride * step;
    if (random() % 8 == 0) layout.strides[order[i]] = 0;
    highest += (size - 1) * layout.strides[order[i]];
    if (random() % 5 == 0) {
      layout.offset += (size - 1) * layout.strides[order[i]];
      layout.strides[order[i]] *= -1;
    }
    stride *= size * step;
  }
  layout.offset += 3;
  *storage = highest + 4;
  return layout;
}

// The offset of the element that is `index`-th in C order.
std::int64_t OffsetOf(const Layout& layout, std::int64_t index) {
  std::int64_t offset = layout.offset;
  for (std::size_t i = layout.shape.size(); i-- > 0;) {
    offset += index % layout.shape[i] * layout.strides[i];
    index /= layout.shape[i];
  }
  return offset;
}

// A cast of part of a layout, against a walk over its elements.
void CheckStrided(DType from, DType to, Overflow overflow, ByteOrder order,
                  const Layout& layout, const std::vector<std::byte>& storage,
                  std::int64_t begin, std::int64_t count) {
  ElementwiseCast expected(from, to, overflow);
  const auto item_size = static_cast<std::int64_t>(ItemSize(from));
  for (std::int64_t i = begin; i < begin + count; ++i) {
    expected.Take(storage.data() + OffsetOf(layout, i) * item_size, order);
  }
  std::vector<std::byte> result(expected.results().size());
  CastFailures failures;
  CastStrided(from, storage.data(), layout, begin, count, to, order,
              result.data(), overflow, &failures);
  ASSERT_EQ(result, expected.results())
      << Name(from) << " to " << Name(to) << " shape "
      << ShapeString(layout.shape) << " strides " << ShapeString(layout.strides)
      << " [" << begin << ", " << begin + count << ")";
  ExpectSameFailures(failures, expected.failures());
}

// Casts parts of layouts.
void CheckRandomLayouts(int rounds, std::int64_t longest, std::int64_t most,
                        std::mt19937_64& random) {
  for (int round = 0; round < rounds; ++round) {
    std::int64_t storage = 0;
    const Layout layout = RandomLayout(longest, most, &storage, random);
    const std::int64_t total = ElementCount(layout.shape);
    const auto up_to = [&](std::int64_t highest) {
      return std::uniform_int_distribution<std::int64_t>(0, highest)(random);
    };
    const DType from = AllDTypes()[random() % kDTypeCount];
    const DType to = AllDTypes()[random() % kDTypeCount];
    const std::int64_t begin = round % 2 == 0 ? 0 : up_to(total - 1);
    const std::int64_t count =
        round % 3 == 0 ? total - begin : up_to(total - begin);
    CheckStrided(from, to, kPolicies[random() % 3],
                 random() % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig,
                 layout,
                 SomeElements(from, static_cast<std::size_t>(storage), random),
                 begin, count);
  }
}

TEST(CastStridedTest, AgreesWithAWalkOverTheElements) {
  WithEveryCastTable([] {
    std::mt19937_64 random(6);
    CheckRandomLayouts(/*rounds=*/500, /*longest=*/9, /*most=*/3000, random);
  });
}

// Larger than the blocks that are put together and than the tiles in them.
TEST(CastStridedTest, AgreesWithAWalkOverTheElementsOfManyBlocks) {
  WithEveryCastTable([] {
    std::mt19937_64 random(16);
    CheckRandomLayouts(/*rounds=*/100, /*longest=*/100000, /*most=*/400000,
                       random);
  });
}

// Longer than blocks, with rows that are cast where they lie.
TEST(CastStridedTest, AgreesWithAWalkOverLongRows) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(7);
    const std::vector<Layout> layouts = {
        {.shape = {30000}, .strides = {1}, .offset = 5},
        {.shape = {7, 3001}, .strides = {4000, 1}, .offset = 1},
        {.shape = {3001, 7}, .strides = {1, 4000}, .offset = 1},
        {.shape = {2, 9000}, .strides = {-9001, 1}, .offset = 9001},
        {.shape = {5, 4000}, .strides = {0, 1}, .offset = 0},
        {.shape = {25000}, .strides = {-1}, .offset = 24999},
    };
    for (const Layout& layout : layouts) {
      for (const DType from :
           {DType::kUInt8, DType::kFloat32, DType::kComplex128}) {
        const std::vector<std::byte> storage =
            SomeElements(from, 30006, random);
        const std::int64_t total = ElementCount(layout.shape);
        for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
          CheckStrided(from, DType::kInt16, Overflow::kError, order, layout,
                       storage, 0, total);
          CheckStrided(from, DType::kFloat32, Overflow::kTorch, order, layout,
                       storage, 1234, total - 3000);
        }
      }
    }
  });
}

// Two columns, of rows that have more: what is transposed at a time has many
// short rows, which must fit where they are put together.
TEST(CastStridedTest, TransposesManyRowsOfFewColumnsOfSeveralPlanes) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(9);
    constexpr std::int64_t kRows = 33000;
    const Layout layout{
        .shape = {kRows, 5, 2}, .strides = {1, kRows, 5 * kRows}, .offset = 0};
    for (const auto& [from, to] :
         {std::pair(DType::kUInt8, DType::kFloat64),
          std::pair(DType::kFloat32, DType::kFloat16),
          std::pair(DType::kComplex128, DType::kComplex64)}) {
      CheckStrided(from, to, Overflow::kTorch, ByteOrder::kLittle, layout,
                   SomeElements(from, 10 * kRows, random), 0, 10 * kRows);
      CheckStrided(from, to, Overflow::kTorch, ByteOrder::kLittle, layout,
                   SomeElements(from, 10 * kRows, random), 7, 40000);
    }
  });
}

TEST(CastStridedTest, EverySplitGivesTheSame) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(8);
    const Layout layout{
        .shape = {3, 4, 5}, .strides = {1, -15, 3}, .offset = 45};
    const std::vector<std::byte> storage =
        SomeElements(DType::kInt32, 61, random);
    for (std::int64_t begin = 0; begin <= 60; ++begin) {
      for (std::int64_t end = begin; end <= 60; ++end) {
        CheckStrided(DType::kInt32, DType::kUInt8, Overflow::kError,
                     ByteOrder::kLittle, layout, storage, begin, end - begin);
      }
    }
  });
}

TEST(CastStridedTest, NoElementsNeedNoMemory) {
  const Layout layout = DenseLayout({3, 0, 2});
  CastFailures failures{.count = 1, .first_index = 2, .first_value = "old"};
  CastStrided(DType::kInt32, nullptr, layout, 0, 0, DType::kInt8,
              ByteOrder::kBig, nullptr, Overflow::kError, &failures);
  EXPECT_EQ(failures.count, 0u);
}

// Offsets beyond 32 bits, of which only the ends have memory behind them.
TEST(CastStridedTest, OffsetsAreCountedIn64Bits) {
  const std::int64_t far = std::int64_t{1} << 40;
  const Layout layout{.shape = {2, 2}, .strides = {far, -1}, .offset = 1 - far};
  const std::vector<std::byte> storage =
      BytesOf(std::vector<std::int32_t>{1, 2});
  std::vector<std::byte> result(2 * sizeof(std::int64_t));
  CastStrided(DType::kInt32, storage.data(), layout, 2, 2, DType::kInt64,
              ByteOrder::kLittle, result.data(), Overflow::kTorch, nullptr);
  EXPECT_EQ(result, BytesOf(std::vector<std::int64_t>{2, 1}));
}

// Elements of a dtype: all there are, or many of all magnitudes, the outermost
// among them.
std::vector<std::byte> SampleElements(DType dtype) {
  const std::size_t size = SwapUnit(dtype);
  std::vector<std::uint64_t> patterns;
  if (size <= 2) {
    for (std::uint64_t i = 0; i < std::uint64_t{1} << (8 * size); ++i) {
      patterns.push_back(i);
    }
  } else {
    std::mt19937_64 random(7);
    for (int i = 0; i < 20'000; ++i) patterns.push_back(random() >> i % 64);
    for (int bit = 0; bit < 64; ++bit) {
      for (const std::uint64_t around : {-1, 0, 1}) {
        patterns.push_back((std::uint64_t{1} << bit) + around);
        patterns.push_back(~((std::uint64_t{1} << bit) + around));
      }
    }
    // Infinities.
    patterns.push_back(size == 4 ? 0x7f800000 : 0x7ff0000000000000);
  }
  const std::size_t parts = ItemSize(dtype) / size;
  std::vector<std::byte> elements(patterns.size() * parts * size);
  for (std::size_t i = 0; i < patterns.size() * parts; ++i) {
    std::memcpy(&elements[i * size], &patterns[i / parts], size);
  }
  return elements;
}

std::vector<std::byte> CastAll(DType from, DType to,
                               const std::vector<std::byte>& elements) {
  const std::size_t count = elements.size() / ItemSize(from);
  std::vector<std::byte> cast(count * ItemSize(to));
  CastPacked(from, elements.data(), to, cast.data(), count, Overflow::kTorch,
             nullptr);
  return cast;
}

// NaN is nobody's business here, nor are truth values other than 0 and 1.
TEST(HoldsEveryValueTest, IsWhatComesBackFromThere) {
  for (const DType source : AllDTypes()) {
    std::vector<std::byte> elements = SampleElements(source);
    if (source == DType::kBool) elements.resize(2);
    const bool is_number = Kind(source) != DTypeKind::kFloating &&
                           Kind(source) != DTypeKind::kComplex;
    // The same as float64, exact for floats, to leave NaN out.
    const auto values = CastAll(source, DType::kComplex128, elements);
    for (const DType dtype : AllDTypes()) {
      if (dtype == DType::kBool && source != DType::kBool) {
        EXPECT_FALSE(HoldsEveryValue(dtype, source));
        continue;
      }
      const auto back =
          CastAll(dtype, source, CastAll(source, dtype, elements));
      bool is_same = true;
      const std::size_t size = ItemSize(source);
      for (std::size_t i = 0; i < elements.size() / size && is_same; ++i) {
        double parts[2];
        std::memcpy(parts, &values[i * sizeof parts], sizeof parts);
        if (!is_number && (std::isnan(parts[0]) || std::isnan(parts[1]))) {
          continue;
        }
        is_same = std::memcmp(&elements[i * size], &back[i * size], size) == 0;
      }
      // Integers have no -0, which is the same number as 0; and what overflows
      // to another integer may come back by wrapping.
      if (Kind(dtype) == DTypeKind::kSigned ||
          Kind(dtype) == DTypeKind::kUnsigned) {
        if (HoldsEveryValue(dtype, source)) {
          EXPECT_TRUE(is_same) << Name(source) << " in " << Name(dtype);
        }
        continue;
      }
      EXPECT_EQ(HoldsEveryValue(dtype, source), is_same)
          << Name(source) << " in " << Name(dtype);
    }
  }
  EXPECT_FALSE(HoldsEveryValue(DType::kInt64, DType::kUInt64));
  EXPECT_FALSE(HoldsEveryValue(DType::kUInt64, DType::kInt8));
  EXPECT_FALSE(HoldsEveryValue(DType::kInt16, DType::kInt32));
  EXPECT_FALSE(HoldsEveryValue(DType::kInt64, DType::kFloat8E5M2));
  EXPECT_TRUE(HoldsEveryValue(DType::kInt16, DType::kUInt8));
}

}  // namespace
}  // namespace tensord
