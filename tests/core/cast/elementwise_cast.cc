#include "tests/core/cast/elementwise_cast.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

#include "core/cast/cast.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"

namespace tensord::testing {

void ElementwiseCast::Take(const std::byte* element, ByteOrder to_order) {
  const std::size_t begin = results_.size();
  results_.resize(begin + ItemSize(to_));
  std::byte* const result = results_.data() + begin;
  CastFailures found;
  CastPacked(from_, element, to_, result, 1, overflow_, &found);
  if (to_order == ByteOrder::kBig) ReverseUnits(to_, result, 1);
  failures_.Merge(found, count_++);
}

void ExpectSameFailures(const CastFailures& actual,
                        const CastFailures& expected) {
  EXPECT_EQ(actual.count, expected.count);
  EXPECT_EQ(actual.first_index, expected.first_index);
  EXPECT_EQ(actual.first_value, expected.first_value);
}

void ReverseUnits(DType dtype, std::byte* elements, std::size_t count) {
  const std::size_t unit = SwapUnit(dtype);
  for (std::size_t i = 0; i < count * ItemSize(dtype); i += unit) {
    std::reverse(elements + i, elements + i + unit);
  }
}

std::vector<std::byte> SomeElements(DType dtype, std::size_t count,
                                    std::mt19937_64& random) {
  const std::vector<std::byte> inputs = CastInputs(dtype, 1000);
  const std::size_t size = ItemSize(dtype);
  std::vector<std::byte> elements(count * size);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(elements.data() + i * size,
                inputs.data() + random() % (inputs.size() / size) * size, size);
  }
  return elements;
}

}  // namespace tensord::testing
