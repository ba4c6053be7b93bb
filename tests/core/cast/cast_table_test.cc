#include "core/cast/cast_table.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_oracle.h"
#include "tests/core/cast/every_cast_table.h"

namespace tensord {
namespace {

using testing::CastInputs;
using testing::Hex;
using testing::WithEveryCastTable;

TEST(CastTableTest, TablesHaveNamesAndTheLastRunsAnywhere) {
  std::set<std::string> names;
  for (const CastTable* const table : RunnableCastTables()) {
    EXPECT_TRUE(names.emplace(table->target).second) << table->target;
  }
  EXPECT_EQ(RunnableCastTables().back()->target, "baseline");
}

TEST(CastTableTest, ScopesNest) {
  const CastTable& best = *RunnableCastTables().front();
  const CastTable& baseline = *RunnableCastTables().back();
  EXPECT_EQ(&ActiveCastTable(), &best);
  {
    const ScopedCastTable outer(baseline);
    EXPECT_EQ(&ActiveCastTable(), &baseline);
    {
      const ScopedCastTable inner(best);
      EXPECT_EQ(&ActiveCastTable(), &best);
    }
    EXPECT_EQ(&ActiveCastTable(), &baseline);
  }
  EXPECT_EQ(&ActiveCastTable(), &best);
}

// The elements that CastInputs gives, and bit patterns without a pattern.
std::vector<std::byte> Patterns(DType dtype, std::mt19937_64& random) {
  std::vector<std::byte> bytes = CastInputs(dtype, 20'000);
  const std::size_t edges = bytes.size();
  bytes.resize(edges + 60'000 * ItemSize(dtype));
  for (std::size_t i = edges; i < bytes.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t bits = random();
    std::memcpy(bytes.data() + i, &bits,
                std::min(sizeof(bits), bytes.size() - i));
  }
  return bytes;
}

// Tells the first element whose result differs from the baseline's.
void ExpectSame(DType from, const std::vector<std::byte>& source, DType to,
                const std::vector<std::byte>& actual,
                const std::vector<std::byte>& expected, const char* policy) {
  if (actual == expected) return;
  const auto where =
      std::mismatch(actual.begin(), actual.end(), expected.begin());
  const std::size_t size = ItemSize(to);
  const auto i = static_cast<std::size_t>(where.first - actual.begin()) / size;
  ADD_FAILURE() << Name(from) << " "
                << Hex(source.data() + i * ItemSize(from), ItemSize(from))
                << " to " << Name(to) << " (" << policy << ") is "
                << Hex(actual.data() + i * size, size) << ", not "
                << Hex(expected.data() + i * size, size);
}

// What the rules themselves give is the baseline, which the oracle checks.
TEST(CastTableTest, EveryInstructionSetGivesTheBaselinesBits) {
  std::mt19937_64 random(11);
  const CastTable& baseline = *RunnableCastTables().back();
  for (const DType from : AllDTypes()) {
    const std::vector<std::byte> source = Patterns(from, random);
    const std::size_t count = source.size() / ItemSize(from);
    for (const DType to : AllDTypes()) {
      const CastEntry& rules = baseline.Find(from, to);
      std::vector<std::byte> torch(count * ItemSize(to));
      std::vector<std::byte> saturate(torch.size());
      rules.torch(source.data(), torch.data(), count);
      rules.saturate(source.data(), saturate.data(), count);
      WithEveryCastTable([&] {
        const CastEntry& entry = ActiveCastTable().Find(from, to);
        std::vector<std::byte> results(torch.size());
        entry.torch(source.data(), results.data(), count);
        ExpectSame(from, source, to, results, torch, "torch");
        entry.saturate(source.data(), results.data(), count);
        ExpectSame(from, source, to, results, saturate, "saturate");
        ASSERT_EQ(entry.count_misfits == nullptr,
                  rules.count_misfits == nullptr);
        if (rules.count_misfits == nullptr) return;
        EXPECT_EQ(entry.count_misfits(source.data(), count),
                  rules.count_misfits(source.data(), count));
      });
    }
  }
}

// ---- Layouts ----------------------------------------------------------------

std::vector<std::byte> SomeBytes(std::size_t size, std::mt19937_64& random) {
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(CastTableTest, GathersWhatLiesApart) {
  std::mt19937_64 random(12);
  WithEveryCastTable([&] {
    for (std::size_t log2 = 0; log2 < 5; ++log2) {
      const std::size_t size = std::size_t{1} << log2;
      for (const std::ptrdiff_t stride : {1, -1, 0, 2, -2, 3, 17}) {
        for (std::size_t count = 0; count <= 150; ++count) {
          const std::size_t span =
              count == 0
                  ? 0
                  : (count - 1) * static_cast<std::size_t>(std::abs(stride)) +
                        1;
          const std::vector<std::byte> source = SomeBytes(span * size, random);
          const std::size_t first = stride < 0 && count > 0 ? span - 1 : 0;
          std::vector<std::byte> packed(count * size);
          ActiveCastTable().layout.gather[log2](source.data() + first * size,
                                                stride, count, packed.data());
          for (std::size_t i = 0; i < count; ++i) {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) +
                                      static_cast<std::ptrdiff_t>(i) * stride;
            ASSERT_EQ(std::memcmp(packed.data() + i * size,
                                  source.data() +
                                      at * static_cast<std::ptrdiff_t>(size),
                                  size),
                      0)
                << size << " bytes, stride " << stride << ", " << i;
          }
        }
      }
    }
  });
}

TEST(CastTableTest, TransposesRowsAndColumns) {
  std::mt19937_64 random(13);
  WithEveryCastTable([&] {
    for (std::size_t log2 = 0; log2 < 5; ++log2) {
      const std::size_t size = std::size_t{1} << log2;
      for (int round = 0; round < 60; ++round) {
        const std::size_t rows = random() % 140;
        const std::size_t columns = random() % 40;
        const std::size_t src_stride = rows + random() % 3;
        const std::size_t dst_stride = columns + random() % 3;
        const std::vector<std::byte> source =
            SomeBytes(src_stride * columns * size, random);
        std::vector<std::byte> result(dst_stride * rows * size);
        ActiveCastTable().layout.transpose[log2](
            source.data(), static_cast<std::ptrdiff_t>(src_stride), rows,
            columns, result.data(), static_cast<std::ptrdiff_t>(dst_stride));
        for (std::size_t i = 0; i < rows; ++i) {
          for (std::size_t j = 0; j < columns; ++j) {
            ASSERT_EQ(
                std::memcmp(result.data() + (i * dst_stride + j) * size,
                            source.data() + (j * src_stride + i) * size, size),
                0)
                << size << " bytes, " << rows << " x " << columns;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace tensord
