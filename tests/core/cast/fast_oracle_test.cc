// The fast oracle says what the slow one says.
#include "tests/core/cast/fast_oracle.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_oracle.h"

namespace tensord::testing {
namespace {

constexpr std::size_t kRandomElements = 20000;

class FastOracleTest : public ::testing::TestWithParam<DType> {};

TEST_P(FastOracleTest, AgreesWithTheSlowOne) {
  const DType from = GetParam();
  const std::vector<std::byte> inputs = CastInputs(from, kRandomElements);
  const std::size_t count = inputs.size() / ItemSize(from);
  FastOracle oracle(from);
  oracle.Take(inputs.data(), count);
  for (const DType to : AllDTypes()) {
    const std::size_t size = ItemSize(to);
    std::vector<std::byte> torch(count * size);
    std::vector<std::byte> saturate(count * size);
    std::vector<std::uint8_t> misfits(count);
    oracle.Expect(to, torch.data(), saturate.data(), misfits.data());
    for (std::size_t i = 0; i < count; ++i) {
      const Element element =
          DecodeElement(from, inputs.data() + i * ItemSize(from));
      const ExpectedCast slow = ExpectCast(element, to);
      ASSERT_EQ(std::memcmp(torch.data() + i * size, slow.torch.data(), size),
                0)
          << Name(to) << " element " << i;
      ASSERT_EQ(
          std::memcmp(saturate.data() + i * size, slow.saturate.data(), size),
          0)
          << Name(to) << " element " << i;
      ASSERT_EQ(misfits[i], slow.fits ? 0 : 1) << Name(to) << " element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(From, FastOracleTest, ::testing::ValuesIn(AllDTypes()),
                         [](const ::testing::TestParamInfo<DType>& param) {
                           return std::string(Name(param.param));
                         });

}  // namespace
}  // namespace tensord::testing
