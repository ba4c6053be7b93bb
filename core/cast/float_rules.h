// Conversions between floats of 8 to 64 bits, as integer arithmetic on their
// bits: what cast_rules.h makes the rules of the floating dtypes of.
//
// Pure functions, branch-light, for hosts and devices.
#ifndef TENSORD_CORE_CAST_FLOAT_RULES_H_
#define TENSORD_CORE_CAST_FLOAT_RULES_H_

#include <cstdint>

#include "core/cast/host_device.h"

namespace tensord::cast_rules {

template <class To, class From>
TENSORD_HOST_DEVICE constexpr To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

// condition ? chosen : other, written so that compilers do not turn it into a
// branch around the floating-point operation that made an operand: branches
// keep loops from being vectorised.
template <class Unsigned>
TENSORD_HOST_DEVICE constexpr Unsigned Choose(bool condition, Unsigned chosen,
                                              Unsigned other) {
  const Unsigned mask = Unsigned{0} - Unsigned{condition};
  return other ^ ((other ^ chosen) & mask);
}

// ---- The 16- and 8-bit floats and float -------------------------------------

// A binary float of 16 or 8 bits with fewer exponent bits than float.
template <int kExponentBits, int kMantissaBits, bool kHasInfinity>
struct NarrowFormat {
  static constexpr int kShift = 23 - kMantissaBits;
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr int kTotalBits = 1 + kExponentBits + kMantissaBits;
  static constexpr std::uint32_t kSignMask = 1u << (kTotalBits - 1);
  // What a float's exponent field has to lose.
  static constexpr std::uint32_t kRebias = std::uint32_t(127 - kBias) << 23;
  // Bits of the float that is the smallest normal number.
  static constexpr std::uint32_t kMinNormal = std::uint32_t(128 - kBias) << 23;
  // Bits of the power of two whose ulp as a float is the smallest subnormal.
  // Adding it leaves a subnormal, rounded, in the lowest bits.
  static constexpr std::uint32_t kSubnormalMagic =
      std::uint32_t(127 + 1 - kBias + kShift) << 23;
  static constexpr std::uint32_t kLargest =
      ((1u << (kTotalBits - 1)) - 1) -
      (kHasInfinity ? 1u << kMantissaBits : 1u);
  // What follows the largest finite number: infinity, or NaN without one.
  static constexpr std::uint32_t kOverflow = kLargest + 1;
};
using Float16Format = NarrowFormat<5, 10, true>;
using Float8E4M3FNFormat = NarrowFormat<4, 3, false>;
using Float8E5M2Format = NarrowFormat<5, 2, true>;

// Rounds the float whose bits without sign are `magnitude`. The result exceeds
// kLargest if that does not fit: exponents go on, through infinity and NaN.
template <class Format>
TENSORD_HOST_DEVICE constexpr std::uint32_t RoundMagnitude(
    std::uint32_t magnitude) {
  constexpr std::uint32_t kHalfDown = (1u << (Format::kShift - 1)) - 1;
  const std::uint32_t odd = (magnitude >> Format::kShift) & 1;
  const std::uint32_t normal =
      (magnitude - Format::kRebias + kHalfDown + odd) >> Format::kShift;
  const float sum =
      Bits<float>(magnitude) + Bits<float>(Format::kSubnormalMagic);
  const std::uint32_t subnormal =
      Bits<std::uint32_t>(sum) - Format::kSubnormalMagic;
  return Choose(magnitude < Format::kMinNormal, subnormal, normal);
}

inline constexpr std::uint32_t kFloatMagnitude = 0x7fffffff;
inline constexpr std::uint32_t kFloatInfinity = 0x7f800000;
inline constexpr std::uint32_t kFloatQuietBit = 0x00400000;

// `kMost` stands for what rounds to more, infinity included, and `kNaN` for
// NaN.
template <class Format, std::uint32_t kMost, std::uint32_t kNaN>
TENSORD_HOST_DEVICE constexpr std::uint32_t Narrow(float value) {
  const auto bits = Bits<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & kFloatMagnitude;
  const std::uint32_t sign =
      (bits >> (32 - Format::kTotalBits)) & Format::kSignMask;
  const std::uint32_t rounded = RoundMagnitude<Format>(magnitude);
  const std::uint32_t number = rounded < kMost ? rounded : kMost;
  return Choose(magnitude > kFloatInfinity, kNaN, number) | sign;
}

template <class Format>
TENSORD_HOST_DEVICE constexpr float Widen(std::uint32_t bits) {
  const std::uint32_t sign = (bits & Format::kSignMask)
                             << (32 - Format::kTotalBits);
  const std::uint32_t code = bits & (Format::kSignMask - 1);
  const std::uint32_t shifted = code << Format::kShift;
  const std::uint32_t normal = shifted + Format::kRebias;
  const float scaled = Bits<float>(shifted + Format::kMinNormal) -
                       Bits<float>(Format::kMinNormal);
  const std::uint32_t number =
      Choose(normal < Format::kMinNormal, Bits<std::uint32_t>(scaled), normal);
  // Beyond the largest lie infinity, which has no mantissa, and NaN.
  const std::uint32_t special = shifted | kFloatInfinity;
  const std::uint32_t quiet =
      std::uint32_t{special > kFloatInfinity} * kFloatQuietBit;
  return Bits<float>(Choose(code > Format::kLargest, special | quiet, number) |
                     sign);
}

TENSORD_HOST_DEVICE constexpr std::uint32_t NarrowToBFloat16(float value) {
  const auto bits = Bits<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t nan = 0x7fc0 | ((bits >> 16) & 0x8000);
  return (bits & kFloatMagnitude) > kFloatInfinity ? nan : rounded;
}

// Whether rounding to the format stays below what overflows. Infinity fits a
// format that has it, and NaN fits both.
template <class Format>
TENSORD_HOST_DEVICE constexpr bool FitsNarrow(float value, bool infinity_fits) {
  const std::uint32_t magnitude = Bits<std::uint32_t>(value) & kFloatMagnitude;
  return RoundMagnitude<Format>(magnitude) <= Format::kLargest ||
         magnitude > kFloatInfinity ||
         (infinity_fits && magnitude == kFloatInfinity);
}

// ---- float and double -------------------------------------------------------

// NaN is spelled out because devices do not agree about payloads.
TENSORD_HOST_DEVICE constexpr double FloatToDouble(float value) {
  const std::uint64_t bits = Bits<std::uint32_t>(value);
  const std::uint64_t nan = (bits & 0x80000000) << 32 | 0x7ff8000000000000 |
                            (bits & 0x007fffff) << 29;
  return value != value ? Bits<double>(nan) : static_cast<double>(value);
}

TENSORD_HOST_DEVICE constexpr float DoubleToFloat(double value) {
  const auto bits = Bits<std::uint64_t>(value);
  const auto nan = static_cast<std::uint32_t>(
      (bits >> 32 & 0x80000000) | 0x7fc00000 | (bits >> 29 & 0x007fffff));
  return value != value ? Bits<float>(nan) : static_cast<float>(value);
}

}  // namespace tensord::cast_rules

#endif  // TENSORD_CORE_CAST_FLOAT_RULES_H_
