#include "tests/core/cast/table_checker.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "absl/types/span.h"
#include "core/cast/cast_table.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_oracle.h"
#include "tests/core/cast/every_cast_table.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TENSORD_SANITIZED 1
#else
#define TENSORD_SANITIZED 0
#endif

namespace tensord::testing {
namespace {

constexpr std::size_t kMaxItemSize = 16;
constexpr std::size_t kShifts = 64;

std::size_t FirstDifference(const std::byte* a, const std::byte* b,
                            std::size_t item_size) {
  std::size_t i = 0;
  while (std::memcmp(a + i * item_size, b + i * item_size, item_size) == 0) ++i;
  return i;
}

}  // namespace

TableChecker::TableChecker(DType from)
    : from_(from),
      oracle_(from),
      torch_(kBlock * kMaxItemSize),
      saturate_(kBlock * kMaxItemSize),
      actual_(kBlock * kMaxItemSize + kShifts),
      misfits_(kBlock) {}

bool TableChecker::Check(const std::byte* elements, std::size_t count,
                         absl::Span<const DType> destinations) {
  oracle_.Take(elements, count);
  for (const DType to : destinations) {
    if (!CheckPair(elements, count, to)) return false;
  }
  return true;
}

bool TableChecker::CheckLoop(const CastTable& table, CastLoop loop,
                             const std::byte* elements, std::size_t count,
                             DType to, const std::vector<std::byte>& expected,
                             const char* policy) {
  shift_ = (shift_ + 1) % kShifts;
  std::byte* const results = actual_.data() + shift_;
  const std::size_t size = ItemSize(to);
  loop(elements, results, count);
  if (std::memcmp(results, expected.data(), count * size) == 0) return true;
  const std::size_t i = FirstDifference(results, expected.data(), size);
  ADD_FAILURE() << table.target << ": " << Name(from_) << " "
                << Hex(elements + i * ItemSize(from_), ItemSize(from_))
                << " to " << Name(to) << " (" << policy << ") is "
                << Hex(results + i * size, size) << ", not "
                << Hex(expected.data() + i * size, size) << "; element " << i
                << " of " << count;
  return false;
}

bool TableChecker::CheckPair(const std::byte* elements, std::size_t count,
                             DType to) {
  oracle_.Expect(to, torch_.data(), saturate_.data(), misfits_.data());
  const auto misfits = std::accumulate(
      misfits_.begin(), misfits_.begin() + static_cast<std::ptrdiff_t>(count),
      std::size_t{0});
  for (const CastTable* const table : TestedCastTables()) {
    const CastEntry& entry = table->Find(from_, to);
    if (!CheckLoop(*table, entry.torch, elements, count, to, torch_, "torch")) {
      return false;
    }
    const bool same =
        !FastOracle::MayMisfit(from_, to) && entry.saturate == entry.torch;
    if (!same && !CheckLoop(*table, entry.saturate, elements, count, to,
                            saturate_, "saturate")) {
      return false;
    }
    const std::size_t counted = entry.count_misfits == nullptr
                                    ? 0
                                    : entry.count_misfits(elements, count);
    if (counted == misfits) continue;
    ADD_FAILURE() << table->target << ": " << Name(from_) << " to " << Name(to)
                  << " counts " << counted << " misfits, not " << misfits;
    return false;
  }
  return true;
}

std::uint64_t CheckedCount(std::uint64_t full) {
  if (const char* const divisor = std::getenv("TENSORD_CHECK_ONE_IN")) {
    full /= std::max(1ul, std::strtoul(divisor, nullptr, 10));
    return std::max(full, std::uint64_t{1});
  }
  return TENSORD_SANITIZED ? full / 100 : full;
}

bool IsExhaustive() { return std::getenv("TENSORD_EXHAUSTIVE") != nullptr; }

}  // namespace tensord::testing
