// float32 to every narrower float, around every boundary between two results;
// and, where TENSORD_EXHAUSTIVE is set, all 2^32 floats.
//
// The oracle is the list of the floats at which results change: halfway between
// neighbours of the destination, as exact numbers.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/cast/cast.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_oracle.h"
#include "tests/core/cast/every_cast_table.h"
#include "tests/core/cast/table_checker.h"

namespace tensord {
namespace {

using testing::DecodeElement;
using testing::IsExhaustive;
using testing::WithEveryCastTable;

constexpr std::uint32_t kSign = 0x80000000;
constexpr std::uint32_t kInfinity = 0x7f800000;

// What a narrow float makes of floats.
class Boundaries {
 public:
  explicit Boundaries(DType to) : to_(to) {
    const std::uint32_t codes = 1u << (8 * ItemSize(to) - 1);
    for (std::uint32_t code = 0; code + 1 < codes; ++code) {
      const long double next = Value(code + 1);
      const bool last = !std::isfinite(next);
      // The largest is followed by what would come next.
      const long double middle =
          last ? Value(code) + (Value(code) - Value(code - 1)) / 2
               : (Value(code) + next) / 2;
      const auto boundary = static_cast<float>(middle);
      EXPECT_EQ(boundary, middle);
      std::uint32_t bits = 0;
      std::memcpy(&bits, &boundary, sizeof(bits));
      // A tie goes to the even one.
      begins_.push_back(bits + (code % 2 == 0 ? 1 : 0));
      if (last) break;
    }
  }

  // The first float, as bits, that becomes more than the code that is its
  // index.
  const std::vector<std::uint32_t>& begins() const { return begins_; }

  // The code of a float without sign, given how many boundaries it reaches.
  std::uint32_t Code(std::uint32_t magnitude, std::size_t reached,
                     Overflow overflow) const {
    const auto largest = static_cast<std::uint32_t>(begins_.size() - 1);
    if (magnitude > kInfinity) return NaN();
    if (reached <= largest) return static_cast<std::uint32_t>(reached);
    const bool saturates =
        overflow == Overflow::kSaturate && ItemSize(to_) == 1;
    return saturates ? largest : largest + 1;
  }

 private:
  // Infinity for what is no number.
  long double Value(std::uint32_t code) const {
    std::byte bytes[sizeof(code)];
    std::memcpy(bytes, &code, sizeof(code));
    const auto number = DecodeElement(to_, bytes).real;
    return number.is_nan ? std::numeric_limits<long double>::infinity()
                         : number.value;
  }

  std::uint32_t NaN() const {
    if (to_ == DType::kFloat16) return 0x7e00;
    if (to_ == DType::kBFloat16) return 0x7fc0;
    return 0x7f;
  }

  DType to_;
  std::vector<std::uint32_t> begins_;
};

class NarrowFloatTest : public ::testing::TestWithParam<DType> {
 protected:
  // Casts floats, which `magnitudes` has without sign and in order, with either
  // sign.
  void Check(const std::vector<std::uint32_t>& magnitudes) {
    for (const Overflow overflow : {Overflow::kTorch, Overflow::kSaturate}) {
      if (overflow == Overflow::kSaturate && ItemSize(to_) > 1) continue;
      const std::vector<std::byte> expected = Expect(magnitudes, overflow);
      for (const std::uint32_t sign : {std::uint32_t{0}, kSign}) {
        std::vector<std::uint32_t> source = magnitudes;
        for (std::uint32_t& bits : source) bits |= sign;
        std::vector<std::byte> signed_expected = expected;
        if (sign != 0) AddSigns(signed_expected);
        WithEveryCastTable(
            [&] { CheckResults(source, signed_expected, overflow); });
      }
    }
  }

  const DType to_ = GetParam();
  const Boundaries boundaries_{to_};

 private:
  std::vector<std::byte> Expect(const std::vector<std::uint32_t>& magnitudes,
                                Overflow overflow) const {
    const std::vector<std::uint32_t>& begins = boundaries_.begins();
    const std::size_t size = ItemSize(to_);
    std::vector<std::byte> expected(magnitudes.size() * size);
    auto reached = static_cast<std::size_t>(
        std::upper_bound(begins.begin(), begins.end(), magnitudes.front()) -
        begins.begin());
    for (std::size_t i = 0; i < magnitudes.size(); ++i) {
      while (reached < begins.size() && begins[reached] <= magnitudes[i]) {
        ++reached;
      }
      const std::uint32_t code =
          boundaries_.Code(magnitudes[i], reached, overflow);
      std::memcpy(expected.data() + i * size, &code, size);
    }
    return expected;
  }

  void AddSigns(std::vector<std::byte>& codes) const {
    const std::size_t size = ItemSize(to_);
    for (std::size_t i = size - 1; i < codes.size(); i += size) {
      codes[i] |= std::byte{0x80};
    }
  }

  void CheckResults(const std::vector<std::uint32_t>& source,
                    const std::vector<std::byte>& expected,
                    Overflow overflow) const {
    std::vector<std::byte> results(expected.size());
    CastPacked(DType::kFloat32,
               reinterpret_cast<const std::byte*>(source.data()), to_,
               results.data(), source.size(), overflow, nullptr);
    if (results == expected) return;
    const auto where =
        std::mismatch(results.begin(), results.end(), expected.begin());
    const auto index =
        static_cast<std::size_t>(where.first - results.begin()) / ItemSize(to_);
    ADD_FAILURE() << "float32 with bits " << source[index] << " to "
                  << Name(to_);
  }
};

TEST_P(NarrowFloatTest, RoundsAroundEveryBoundary) {
  std::vector<std::uint32_t> magnitudes;
  for (const std::uint32_t begin : boundaries_.begins()) {
    for (std::uint32_t bits = begin < 3 ? 0 : begin - 3; bits < begin + 3;
         ++bits) {
      if (magnitudes.empty() || bits > magnitudes.back()) {
        magnitudes.push_back(bits);
      }
    }
  }
  for (const std::uint32_t bits :
       {kInfinity - 1, kInfinity, kInfinity + 1, 0x7fc00000u, 0x7fffffffu}) {
    magnitudes.push_back(bits);
  }
  std::sort(magnitudes.begin(), magnitudes.end());
  Check(magnitudes);
}

TEST_P(NarrowFloatTest, RoundsEveryFloat) {
  constexpr std::uint32_t kBlock = 1 << 16;
  // A prime number of blocks, where not all are wanted.
  const std::uint32_t step = IsExhaustive() ? kBlock : kBlock * 251;
  std::vector<std::uint32_t> magnitudes(kBlock);
  for (std::uint64_t begin = 0; begin < kSign; begin += step) {
    for (std::uint32_t i = 0; i < kBlock; ++i) {
      magnitudes[i] = static_cast<std::uint32_t>(begin) + i;
    }
    Check(magnitudes);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(To, NarrowFloatTest,
                         ::testing::Values(DType::kFloat16, DType::kBFloat16,
                                           DType::kFloat8E4M3FN,
                                           DType::kFloat8E5M2),
                         [](const ::testing::TestParamInfo<DType>& param) {
                           return std::string(Name(param.param));
                         });

}  // namespace
}  // namespace tensord
