#include "core/cast/cast_stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/dtype.h"
#include "core/error.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/every_cast_table.h"

namespace tensord {
namespace {

using testing::CastInputs;
using testing::WithEveryCastTable;

// What the whole gives at once.
struct Whole {
  std::vector<std::byte> results;
  absl::Status status;
};

Whole CastWhole(const CastStream::Options& options,
                std::vector<std::byte> source) {
  const std::size_t count = source.size() / ItemSize(options.from);
  Whole whole;
  whole.results.resize(count * ItemSize(options.to));
  if (options.from_order == ByteOrder::kBig) {
    SwapBytes(options.from, source.data(), source.data(), count);
  }
  CastFailures failures;
  CastPacked(options.from, source.data(), options.to, whole.results.data(),
             count, options.overflow, &failures);
  if (options.to_order == ByteOrder::kBig) {
    SwapBytes(options.to, whole.results.data(), whole.results.data(), count);
  }
  whole.status = CastFailuresStatus(failures, options.from, options.to);
  return whole;
}

// Feeds `source` in pieces of up to `most` bytes, each at an address of its
// own, and compares.
void CheckPieces(const CastStream::Options& options,
                 const std::vector<std::byte>& source, std::size_t most,
                 std::mt19937_64& random) {
  SCOPED_TRACE(std::string(Name(options.from)) + " to " +
               std::string(Name(options.to)));
  const Whole whole = CastWhole(options, source);
  CastStream stream(options);
  std::vector<std::byte> results;
  for (std::size_t begin = 0; begin < source.size();) {
    const std::size_t size =
        std::min(random() % (most + 1), source.size() - begin);
    const std::vector<std::byte> piece(source.begin() + begin,
                                       source.begin() + begin + size);
    std::vector<std::byte> out(stream.OutputBytes(size));
    ASSERT_EQ(stream.Convert(piece, out.data()), out.size());
    results.insert(results.end(), out.begin(), out.end());
    begin += size;
    EXPECT_EQ(stream.HasPartialElement(), begin % ItemSize(options.from) != 0);
  }
  EXPECT_EQ(results, whole.results);
  EXPECT_EQ(stream.Finish(), whole.status);
}

ByteOrder RandomOrder(std::mt19937_64& random) {
  return random() % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig;
}

std::vector<std::byte> SomeBytes(DType dtype, std::size_t count,
                                 std::mt19937_64& random) {
  const std::vector<std::byte> inputs = CastInputs(dtype, 100);
  const std::size_t most = inputs.size() / ItemSize(dtype);
  const std::size_t size = std::min(count, most);
  const std::size_t begin = random() % (most - size + 1);
  const auto first = inputs.begin() + begin * ItemSize(dtype);
  return {first, first + size * ItemSize(dtype)};
}

TEST(CastStreamTest, PiecesGiveWhatTheWholeGives) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(9);
    for (const DType from : AllDTypes()) {
      for (const DType to : AllDTypes()) {
        const CastStream::Options options{
            .from = from,
            .from_order = RandomOrder(random),
            .to = to,
            .to_order = RandomOrder(random),
            .overflow = static_cast<Overflow>(random() % 3)};
        const std::vector<std::byte> source = SomeBytes(from, 150, random);
        CheckPieces(options, source, 1, random);
        CheckPieces(options, source, 7, random);
        CheckPieces(options, source, 40, random);
        CheckPieces(options, source, 1000, random);
      }
    }
  });
}

TEST(CastStreamTest, LargePiecesPassThroughBlocks) {
  WithEveryCastTable([&] {
    std::mt19937_64 random(10);
    std::vector<std::byte> source(3'000'000);
    for (std::byte& byte : source) byte = static_cast<std::byte>(random());
    for (const ByteOrder from_order : {ByteOrder::kLittle, ByteOrder::kBig}) {
      for (const ByteOrder to_order : {ByteOrder::kLittle, ByteOrder::kBig}) {
        CheckPieces({.from = DType::kFloat32,
                     .from_order = from_order,
                     .to = DType::kInt16,
                     .to_order = to_order,
                     .overflow = Overflow::kError},
                    source, 1'000'000, random);
      }
    }
  });
}

TEST(CastStreamTest, FinishTellsTheIndexInTheWhole) {
  std::vector<std::byte> source(100 * sizeof(float));
  const float large = 300.0f;
  std::memcpy(source.data() + 77 * sizeof(float), &large, sizeof(large));
  std::memcpy(source.data() + 99 * sizeof(float), &large, sizeof(large));
  CastStream stream({.from = DType::kFloat32,
                     .to = DType::kInt8,
                     .overflow = Overflow::kError});
  std::byte result;
  for (const std::byte& byte : source) {
    stream.Convert(absl::MakeConstSpan(&byte, 1), &result);
  }
  const ErrorDetails details = GetErrorDetails(stream.Finish());
  EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
  EXPECT_EQ(details.metadata.at("firstIndex"), "77");
  EXPECT_EQ(details.metadata.at("firstValue"), "300.0");
  EXPECT_EQ(details.metadata.at("count"), "2");
}

TEST(CastStreamTest, EmptyPiecesChangeNothing) {
  CastStream stream({.from = DType::kInt16, .to = DType::kInt32});
  EXPECT_EQ(stream.Convert({}, nullptr), 0u);
  EXPECT_FALSE(stream.HasPartialElement());
  const std::byte low{1};
  std::int32_t result = 0;
  auto* const out = reinterpret_cast<std::byte*>(&result);
  EXPECT_EQ(stream.Convert(absl::MakeConstSpan(&low, 1), out), 0u);
  EXPECT_EQ(stream.Convert({}, out), 0u);
  EXPECT_TRUE(stream.HasPartialElement());
  EXPECT_EQ(stream.Convert(absl::MakeConstSpan(&low, 1), out), 4u);
  EXPECT_EQ(result, 0x0101);
  EXPECT_TRUE(stream.Finish().ok());
}

}  // namespace
}  // namespace tensord
