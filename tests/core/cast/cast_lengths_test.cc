// Casts of few elements, enumerated: no result depends on where it lies in a
// line of the caches, where its source does or how many there are; nothing but
// results is written; and nothing but elements is read, behind which, or before
// which, a page faults.
//
// Each table, pair of dtypes and policy; under a sanitizer, one in a hundred of
// what is checked of each. That an element has the right result by itself is
// for other tests.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "core/cast/cast.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "gtest/gtest.h"
#include "tests/core/cast/elementwise_cast.h"
#include "tests/core/cast/every_cast_table.h"
#include "tests/core/cast/table_checker.h"

namespace tensord::testing {
namespace {

// Beyond the elements that vectors of 64 bytes take at a time.
constexpr std::size_t kLongest = 70;
constexpr std::size_t kLine = 64;
constexpr std::size_t kMaxItemSize = 16;
// What streamed casts take in turns, of 8 pages of 4096 elements.
constexpr std::size_t kTurn = 8 * 4096;
constexpr std::array<std::size_t, 7> kStreamedLengths = {
    0, 1, kLine - 1, kLine, kLine + 1, kTurn - 1, kTurn + kLine + 1};

// Says which of many things to check: all, or under a sanitizer few, which are
// others each time around. Two levels leave one in a hundred.
class Sampler {
 public:
  bool Next() { return ++asked_ % kStep_ == 0; }

 private:
  // A prime number.
  static constexpr std::uint64_t kFew = 11;
  const std::uint64_t kStep_ = CheckedCount(kFew) == kFew ? 1 : kFew;
  std::uint64_t asked_ = 0;
};

// Memory between two pages that fault.
class FencedMemory {
 public:
  explicit FencedMemory(std::size_t size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (size + page - 1) / page * page;
    mapped_ = inside + 2 * page;
    all_ =
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(all_, MAP_FAILED);
    begin_ = static_cast<std::byte*>(all_) + page;
    end_ = begin_ + inside;
    EXPECT_EQ(mprotect(begin_, inside, PROT_READ | PROT_WRITE), 0);
  }
  ~FencedMemory() { munmap(all_, mapped_); }
  FencedMemory(const FencedMemory&) = delete;
  FencedMemory& operator=(const FencedMemory&) = delete;

  std::byte* begin() const { return begin_; }
  std::byte* Last(std::size_t size) const { return end_ - size; }
  // The last place for `size` bytes that is `shift` bytes into a line.
  std::byte* Last(std::size_t size, std::size_t shift) const {
    std::byte* const last = Last(size);
    return last - (reinterpret_cast<std::uintptr_t>(last) - shift) % kLine;
  }

 private:
  std::size_t mapped_;
  void* all_;
  std::byte* begin_;
  std::byte* end_;
};

// Where results go, between bytes that have to stay.
class GuardedResults {
 public:
  explicit GuardedResults(std::size_t largest)
      : memory_(largest + 2 * kGuard + 2 * kLine), guard_(kGuard, kFill) {}

  // A place for `size` bytes, `shift` bytes into a line.
  std::byte* Prepare(std::size_t size, std::size_t shift) {
    std::byte* const first = memory_.data() + kGuard;
    const auto address = reinterpret_cast<std::uintptr_t>(first);
    results_ = first + (shift - address) % kLine;
    std::memset(results_ - kGuard, static_cast<int>(kFill), size + 2 * kGuard);
    return results_;
  }

  // Whether they are `expected`, and nothing around them was written.
  bool Are(const std::vector<std::byte>& expected) const {
    return AreBytes(results_, expected) &&
           AreBytes(results_ - kGuard, guard_) &&
           AreBytes(results_ + expected.size(), guard_);
  }

 private:
  static constexpr std::size_t kGuard = 128;
  static constexpr std::byte kFill{0xa5};

  static bool AreBytes(const std::byte* bytes,
                       const std::vector<std::byte>& expected) {
    return expected.empty() ||
           std::memcmp(bytes, expected.data(), expected.size()) == 0;
  }

  std::vector<std::byte> memory_;
  std::vector<std::byte> guard_;
  std::byte* results_ = nullptr;
};

// One kind of cast.
struct CastKind {
  DType from;
  ByteOrder from_order;
  DType to;
  ByteOrder to_order;
  Overflow overflow;

  std::string Text() const {
    const auto order = [](ByteOrder of) {
      return of == ByteOrder::kBig ? "big-endian " : "";
    };
    return order(from_order) + std::string(Name(from)) + " to " +
           order(to_order) + std::string(Name(to)) + ", policy " +
           std::to_string(static_cast<int>(overflow));
  }
};

// Elements in the byte order of their source, and what they become.
struct Case {
  std::vector<std::byte> source;
  std::vector<std::byte> results;
  CastFailures failures;
};

Case MakeCase(const CastKind& kind, const std::byte* elements,
              std::size_t count) {
  const std::size_t size = ItemSize(kind.from);
  Case made;
  made.source.assign(elements, elements + count * size);
  ElementwiseCast expected(kind.from, kind.to, kind.overflow);
  for (std::size_t i = 0; i < count; ++i) {
    expected.Take(elements + i * size, kind.to_order);
  }
  if (kind.from_order == ByteOrder::kBig) {
    ReverseUnits(kind.from, made.source.data(), count);
  }
  made.results = expected.results();
  made.failures = expected.failures();
  return made;
}

// The same bytes again and again, `size` in all.
std::vector<std::byte> Repeat(const std::vector<std::byte>& bytes,
                              std::size_t size) {
  std::vector<std::byte> repeated;
  repeated.reserve(size + bytes.size());
  while (repeated.size() < size) {
    repeated.insert(repeated.end(), bytes.begin(), bytes.end());
  }
  repeated.resize(size);
  return repeated;
}

// Calls `body` with every pair of dtypes.
template <class Body>
void WithEveryPair(const Body& body) {
  for (const DType from : AllDTypes()) {
    for (const DType to : AllDTypes()) body(from, to);
  }
}

// ---- Packed elements --------------------------------------------------------

class PackedChecker {
 public:
  PackedChecker(const CastKind& kind, GuardedResults& results)
      : kind_(kind),
        cast_(kind.from, kind.from_order, kind.to, kind.to_order,
              kind.overflow),
        results_(results) {}

  // Casts what is copied to `source`.
  void Check(const Case& expected, std::byte* source, std::size_t to_shift,
             bool streamed) {
    std::copy(expected.source.begin(), expected.source.end(), source);
    const std::size_t count = expected.source.size() / ItemSize(kind_.from);
    std::byte* const results =
        results_.Prepare(expected.results.size(), to_shift);
    CastFailures failures;
    cast_.Run(source, results, count, streamed, &failures);
    ASSERT_TRUE(results_.Are(expected.results))
        << kind_.Text() << ", " << count << " elements, source at "
        << reinterpret_cast<std::uintptr_t>(source) % kLine << ", results at "
        << to_shift;
    ExpectSameFailures(failures, expected.failures);
  }

 private:
  const CastKind& kind_;
  const PackedCast cast_;
  GuardedResults& results_;
};

using Orders = std::tuple<ByteOrder, ByteOrder>;

class CastLengthsTest : public ::testing::TestWithParam<Orders> {
 protected:
  // Calls `body` with every pair for which the orders are not as others.
  template <class Body>
  void WithEveryKind(const Body& body) {
    const auto [from_order, to_order] = GetParam();
    const auto has_order = [](DType dtype, ByteOrder order) {
      return order == ByteOrder::kLittle || SwapUnit(dtype) > 1;
    };
    WithEveryCastTable([&] {
      WithEveryPair([&](DType from, DType to) {
        if (!has_order(from, from_order) || !has_order(to, to_order)) return;
        for (const Overflow overflow : kPolicies) {
          body(CastKind{from, from_order, to, to_order, overflow});
          if (HasFailure()) return;
        }
      });
    });
  }

  Sampler cases_;
  Sampler places_;
  std::mt19937_64 random_{21};
};

// Any two of length, place of source and place of results, in all values of
// both: 64 places of one go with as many of the other, moved by the length.
TEST_P(CastLengthsTest, EveryLengthAtEveryPlace) {
  const FencedMemory memory(kLongest * kMaxItemSize + kLine);
  GuardedResults results(kLongest * kMaxItemSize);
  WithEveryKind([&](const CastKind& kind) {
    const std::size_t size = ItemSize(kind.from);
    const std::vector<std::byte> elements =
        SomeElements(kind.from, kLongest, random_);
    PackedChecker checker(kind, results);
    for (std::size_t length = 0; length <= kLongest; ++length) {
      if (!cases_.Next()) continue;
      const Case expected =
          MakeCase(kind, elements.data() + (kLongest - length) * size, length);
      for (std::size_t shift = 0; shift < kLine; ++shift) {
        if (!places_.Next()) continue;
        checker.Check(expected, memory.Last(length * size, shift),
                      (shift + length) % kLine, false);
      }
      checker.Check(expected, memory.begin(), length % kLine, false);
    }
  });
}

TEST_P(CastLengthsTest, FewElementsStreamedToEveryPlace) {
  const FencedMemory memory(kLongest * kMaxItemSize);
  GuardedResults results(kLongest * kMaxItemSize);
  WithEveryKind([&](const CastKind& kind) {
    const std::vector<std::byte> elements =
        SomeElements(kind.from, kLongest, random_);
    PackedChecker checker(kind, results);
    for (const std::size_t length : kStreamedLengths) {
      if (length > kLongest || !cases_.Next()) continue;
      const Case expected = MakeCase(kind, elements.data(), length);
      for (std::size_t shift = 0; shift < kLine; ++shift) {
        if (!places_.Next()) continue;
        checker.Check(expected, memory.Last(expected.source.size()), shift,
                      true);
      }
    }
  });
}

// Every pair at the start of a line, and every place with every two item sizes,
// whose pairs take turns.
TEST_P(CastLengthsTest, ManyElementsStreamedToEveryPlace) {
  constexpr std::size_t kPeriod = 509;
  const std::size_t longest = kStreamedLengths.back();
  const FencedMemory memory(longest * kMaxItemSize);
  GuardedResults results(longest * kMaxItemSize);
  std::array<std::array<std::size_t, kMaxItemSize + 1>, kMaxItemSize + 1> pairs;
  for (auto& row : pairs) row.fill(0);
  WithEveryPair(
      [&](DType from, DType to) { ++pairs[ItemSize(from)][ItemSize(to)]; });
  auto turns = pairs;
  WithEveryKind([&](const CastKind& kind) {
    if (kind.overflow == Overflow::kError) return;
    const std::size_t from_size = ItemSize(kind.from);
    const std::size_t to_size = ItemSize(kind.to);
    const std::size_t step = pairs[from_size][to_size];
    const std::size_t turn = turns[from_size][to_size]++ % step;
    const Case period = MakeCase(
        kind, SomeElements(kind.from, kPeriod, random_).data(), kPeriod);
    PackedChecker checker(kind, results);
    for (const std::size_t length : kStreamedLengths) {
      if (length <= kLongest || !cases_.Next()) continue;
      const Case expected{.source = Repeat(period.source, length * from_size),
                          .results = Repeat(period.results, length * to_size),
                          .failures = {}};
      for (std::size_t shift = 0; shift < kLine; ++shift) {
        if (shift != 0 && shift % step != turn) continue;
        if (!places_.Next()) continue;
        checker.Check(expected, memory.Last(expected.source.size()), shift,
                      true);
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Orders, CastLengthsTest,
    ::testing::Combine(::testing::Values(ByteOrder::kLittle, ByteOrder::kBig),
                       ::testing::Values(ByteOrder::kLittle, ByteOrder::kBig)),
    [](const ::testing::TestParamInfo<Orders>& param) {
      const auto name = [](ByteOrder order) {
        return std::string(order == ByteOrder::kBig ? "Big" : "Little");
      };
      return name(std::get<0>(param.param)) + "To" +
             name(std::get<1>(param.param));
    });

// ---- Elements that lie apart ------------------------------------------------

constexpr std::int64_t kStrides[] = {-2, -1, 0, 2, 3, 4};
constexpr std::size_t kMaxStride = 4;

// Casts a layout of what lies at `source`, to either order of bytes.
void CheckStrided(const CastKind& kind, const std::byte* source,
                  const Layout& layout, const std::vector<std::byte>& expected,
                  const CastFailures* expected_failures,
                  GuardedResults& results) {
  const std::int64_t count = ElementCount(layout.shape);
  std::byte* const dst =
      results.Prepare(expected.size(), static_cast<std::size_t>(count) % kLine);
  CastFailures failures;
  CastStrided(kind.from, source, layout, 0, count, kind.to, kind.to_order, dst,
              kind.overflow, &failures);
  ASSERT_TRUE(results.Are(expected))
      << kind.Text() << ", shape " << ShapeString(layout.shape) << ", strides "
      << ShapeString(layout.strides);
  if (expected_failures != nullptr) {
    ExpectSameFailures(failures, *expected_failures);
  }
}

// Puts packed elements where those of a layout of one dimension belong.
void Scatter(const std::vector<std::byte>& packed, std::size_t size,
             std::int64_t stride, std::byte* first) {
  for (std::size_t i = 0; i * size < packed.size(); ++i) {
    std::memcpy(first + static_cast<std::int64_t>(i * size) * stride,
                packed.data() + i * size, size);
  }
}

TEST(StridedLengthsTest, EveryLengthOfEveryStride) {
  const FencedMemory memory(kLongest * kMaxStride * kMaxItemSize);
  GuardedResults results(kLongest * kMaxItemSize);
  std::mt19937_64 random(22);
  Sampler cases;
  Sampler places;
  const auto check = [&](const CastKind& kind, const Case& expected,
                         std::int64_t stride) {
    const std::size_t size = ItemSize(kind.from);
    const auto length =
        static_cast<std::int64_t>(expected.source.size() / size);
    const std::int64_t reach = std::max<std::int64_t>(length - 1, 0) * stride;
    const auto span = static_cast<std::size_t>(std::abs(reach)) + 1;
    const Layout layout{.shape = {length},
                        .strides = {stride},
                        .offset = std::max<std::int64_t>(-reach, 0)};
    for (std::byte* const source : {memory.begin(), memory.Last(span * size)}) {
      if (!places.Next()) continue;
      Scatter(expected.source, size, stride,
              source + static_cast<std::size_t>(layout.offset) * size);
      CheckStrided(kind, source, layout, expected.results, &expected.failures,
                   results);
    }
  };
  WithEveryCastTable([&] {
    WithEveryPair([&](DType from, DType to) {
      const std::vector<std::byte> elements =
          SomeElements(from, kLongest, random);
      for (std::size_t length = 0; length <= kLongest; ++length) {
        for (const Overflow overflow : kPolicies) {
          if (!cases.Next()) continue;
          const CastKind kind{
              from, ByteOrder::kLittle, to,
              length % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig, overflow};
          const Case apart = MakeCase(kind, elements.data(), length);
          const Case same = MakeCase(
              kind,
              Repeat({elements.begin(), elements.begin() + ItemSize(from)},
                     elements.size())
                  .data(),
              length);
          for (const std::int64_t stride : kStrides) {
            check(kind, stride == 0 ? same : apart, stride);
          }
        }
      }
    });
  });
}

// What results of elements that lie in columns, `stride` elements apart, are in
// rows.
std::vector<std::byte> Transposed(const std::vector<std::byte>& results,
                                  std::size_t size, std::size_t rows,
                                  std::size_t columns, std::size_t stride) {
  std::vector<std::byte> transposed(rows * columns * size);
  std::byte* to = transposed.data();
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j, to += size) {
      std::memcpy(to, results.data() + (j * stride + i) * size, size);
    }
  }
  return transposed;
}

// Every shape from every item size, whose pairs take turns.
TEST(StridedLengthsTest, EveryTransposition) {
  constexpr std::size_t kMaxGap = 2;
  constexpr std::size_t kMost = kLongest * (kLongest + kMaxGap);
  const FencedMemory memory(kMost * kMaxItemSize);
  GuardedResults results(kLongest * kLongest * kMaxItemSize);
  std::mt19937_64 random(23);
  Sampler cases;
  Sampler places;
  std::array<std::size_t, kMaxItemSize + 1> pairs{};
  WithEveryPair([&](DType from, DType /*to*/) { ++pairs[ItemSize(from)]; });
  std::array<std::size_t, kMaxItemSize + 1> turns{};
  const auto check = [&](const CastKind& kind, const Case& stored,
                         std::size_t rows, std::size_t columns) {
    const std::size_t stride = rows + columns % (kMaxGap + 1);
    const std::size_t bytes =
        ((columns - 1) * stride + rows) * ItemSize(kind.from);
    std::byte* const source =
        (rows + columns) % 2 == 0 ? memory.begin() : memory.Last(bytes);
    std::memcpy(source, stored.source.data(), bytes);
    const auto signed_of = [](std::size_t number) {
      return static_cast<std::int64_t>(number);
    };
    CheckStrided(
        kind, source,
        {.shape = {signed_of(rows), signed_of(columns)},
         .strides = {1, signed_of(stride)},
         .offset = 0},
        Transposed(stored.results, ItemSize(kind.to), rows, columns, stride),
        nullptr, results);
  };
  WithEveryCastTable([&] {
    WithEveryPair([&](DType from, DType to) {
      const std::size_t step = pairs[ItemSize(from)];
      const std::size_t turn = turns[ItemSize(from)]++ % step;
      const CastKind kind{from, ByteOrder::kLittle, to,
                          turn % 2 == 0 ? ByteOrder::kLittle : ByteOrder::kBig,
                          kPolicies[turn % 3]};
      if (!cases.Next()) return;
      const Case stored =
          MakeCase(kind, SomeElements(from, kMost, random).data(), kMost);
      for (std::size_t shape = turn; shape < kLongest * kLongest;
           shape += step) {
        if (!places.Next()) continue;
        check(kind, stored, shape / kLongest + 1, shape % kLongest + 1);
      }
    });
  });
}

}  // namespace
}  // namespace tensord::testing
