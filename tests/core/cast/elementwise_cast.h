// What casts of many elements are checked against: as many casts of one, which
// cast_rules_test.cc checks.
#ifndef TENSORD_TESTS_CORE_CAST_ELEMENTWISE_CAST_H_
#define TENSORD_TESTS_CORE_CAST_ELEMENTWISE_CAST_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "core/cast/cast.h"
#include "core/dtype.h"

namespace tensord::testing {

inline constexpr Overflow kPolicies[] = {Overflow::kTorch, Overflow::kSaturate,
                                         Overflow::kError};

// Casts elements as they come. Not thread-safe.
class ElementwiseCast {
 public:
  ElementwiseCast(DType from, DType to, Overflow overflow)
      : from_(from), to_(to), overflow_(overflow) {}

  // Casts one element in native byte order.
  void Take(const std::byte* element, ByteOrder to_order = ByteOrder::kLittle);

  const std::vector<std::byte>& results() const { return results_; }
  const CastFailures& failures() const { return failures_; }

 private:
  DType from_;
  DType to_;
  Overflow overflow_;
  std::vector<std::byte> results_;
  CastFailures failures_;
  std::uint64_t count_ = 0;
};

// Fails the test where they differ.
void ExpectSameFailures(const CastFailures& actual,
                        const CastFailures& expected);

// Reverses the bytes of every unit of packed elements, one by one.
void ReverseUnits(DType dtype, std::byte* elements, std::size_t count);

// Elements that mostly do not look like each other, and misfits among them.
std::vector<std::byte> SomeElements(DType dtype, std::size_t count,
                                    std::mt19937_64& random);

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_ELEMENTWISE_CAST_H_
