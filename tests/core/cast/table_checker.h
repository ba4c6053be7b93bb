// Blocks of elements, cast by every table that is to be tested, against the
// fast oracle.
#ifndef TENSORD_TESTS_CORE_CAST_TABLE_CHECKER_H_
#define TENSORD_TESTS_CORE_CAST_TABLE_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/cast/cast_table.h"
#include "core/dtype.h"
#include "tests/core/cast/fast_oracle.h"

namespace tensord::testing {

// Not thread-safe.
class TableChecker {
 public:
  // Elements of a block: what belongs to it stays in the second-level cache.
  static constexpr std::size_t kBlock = 4096;

  explicit TableChecker(DType from);

  // Casts `count` packed elements to each of `destinations` under both policies
  // and counts what does not fit. The first difference from the oracle fails
  // the test, and returns false. REQUIRES: count <= kBlock.
  bool Check(const std::byte* elements, std::size_t count,
             absl::Span<const DType> destinations);

 private:
  bool CheckPair(const std::byte* elements, std::size_t count, DType to);
  bool CheckLoop(const CastTable& table, CastLoop loop,
                 const std::byte* elements, std::size_t count, DType to,
                 const std::vector<std::byte>& expected, const char* policy);

  const DType from_;
  FastOracle oracle_;
  std::vector<std::byte> torch_;
  std::vector<std::byte> saturate_;
  std::vector<std::byte> actual_;
  std::vector<std::uint8_t> misfits_;
  // Where results start: another byte of a vector register each time.
  std::size_t shift_ = 0;
};

// `full` elements or whatever else takes time to check; a hundredth under a
// sanitizer, and one in TENSORD_CHECK_ONE_IN where that environment variable is
// set.
std::uint64_t CheckedCount(std::uint64_t full);

// Whether tests/run.sh was asked to check all that can be checked, by the
// environment variable TENSORD_EXHAUSTIVE.
bool IsExhaustive();

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_TABLE_CHECKER_H_
