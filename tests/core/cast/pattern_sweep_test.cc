// A hundred million elements of one dtype, TENSORD_SWEPT_DTYPE, cast to every
// dtype by every table. Of complex numbers, whose parts are cast as those of
// other dtypes, a tenth, but where TENSORD_EXHAUSTIVE is set.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_patterns.h"
#include "tests/core/cast/table_checker.h"

namespace tensord::testing {
namespace {

constexpr DType kFrom = DType::TENSORD_SWEPT_DTYPE;
std::uint64_t WantedElements() {
  const bool all = Kind(kFrom) != DTypeKind::kComplex || IsExhaustive();
  return all ? 100'000'000 : 10'000'000;
}

TEST(PatternSweepTest, EveryTableAgreesWithTheOracle) {
  const std::uint64_t elements = CheckedCount(WantedElements());
  const std::array<DType, kDTypeCount> destinations = AllDTypes();
  CastPatterns patterns(kFrom, 1);
  TableChecker checker(kFrom);
  std::vector<std::byte> block(TableChecker::kBlock * ItemSize(kFrom) + 64);
  std::size_t shift = 0;
  for (std::uint64_t done = 0; done < elements;) {
    // Ends of every length, and elements at every byte.
    const std::size_t count = TableChecker::kBlock - shift;
    std::byte* const start = block.data() + shift;
    patterns.Fill(start, count);
    ASSERT_TRUE(checker.Check(start, count, destinations)) << "after " << done;
    done += count;
    shift = (shift + 1) % 64;
  }
}

}  // namespace
}  // namespace tensord::testing
