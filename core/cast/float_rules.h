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
  static constexpr std::uint32_t kLargest =
      ((1u << (kTotalBits - 1)) - 1) -
      (kHasInfinity ? 1u << kMantissaBits : 1u);
  // What follows the largest finite number: infinity, or NaN without one.
  static constexpr std::uint32_t kOverflow = kLargest + 1;

  // What makes an exponent the power of two that RoundMagnitude adds: as many
  // places more as the format has fewer, and in the lowest bits what has to be
  // subtracted from the sum. Even, as ties need it.
  static constexpr std::uint32_t kToPower =
      (std::uint32_t{kShift} << 23) +
      ((0 - (kMinNormal >> kShift)) & (2 * kSignMask - 1));
  static_assert(kToPower % 2 == 0);

  // Bits of the float that a normal number is; of kOverflow, those of the power
  // of two, or the number, that would come next.
  TENSORD_HOST_DEVICE static constexpr std::uint32_t FloatBits(
      std::uint32_t code) {
    return (code << kShift) + kRebias;
  }
};
using Float16Format = NarrowFormat<5, 10, true>;
using Float8E4M3FNFormat = NarrowFormat<4, 3, false>;
using Float8E5M2Format = NarrowFormat<5, 2, true>;

inline constexpr std::uint32_t kFloatMagnitude = 0x7fffffff;
inline constexpr std::uint32_t kFloatInfinity = 0x7f800000;
inline constexpr std::uint32_t kFloatQuietBit = 0x00400000;

// Rounds the float whose bits are `magnitude`, at most those of kOverflow. The
// result, without sign, is in as many of the lowest bits as the format has;
// others are noise.
//
// Adding the power of two whose ulp is the distance of the format's numbers
// there leaves the rounded significand in the lowest bits; below the normal
// numbers that distance does not shrink further. The exponents above the first
// normal one are added to that; the power's own bits are higher. What there is
// to subtract for this comes with the power.
template <class Format>
TENSORD_HOST_DEVICE constexpr std::uint32_t RoundMagnitude(
    std::uint32_t magnitude) {
  const std::uint32_t own = magnitude & kFloatInfinity;
  const std::uint32_t exponent =
      own < Format::kMinNormal ? Format::kMinNormal : own;
  const std::uint32_t power = exponent + Format::kToPower;
  const float sum = Bits<float>(magnitude) + Bits<float>(power);
  return Bits<std::uint32_t>(sum) + (exponent >> Format::kShift);
}

// In the lowest bits; others are noise. `kMost` stands for what rounds to more,
// infinity included, and `kNaN` for NaN.
template <class Format, std::uint32_t kMost, std::uint32_t kNaN>
TENSORD_HOST_DEVICE constexpr std::uint32_t Narrow(float value) {
  const auto bits = Bits<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & kFloatMagnitude;
  const std::uint32_t sign =
      (bits >> (32 - Format::kTotalBits)) & Format::kSignMask;
  constexpr std::uint32_t kBound = Format::FloatBits(kMost);
  const std::uint32_t number =
      RoundMagnitude<Format>(magnitude < kBound ? magnitude : kBound);
  return (kMost == kNaN ? number
                        : Choose(magnitude > kFloatInfinity, kNaN, number)) |
         sign;
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

// Whether rounding to the format gives at most kLargest. Infinity fits a format
// that has it, and NaN fits both.
template <class Format>
TENSORD_HOST_DEVICE constexpr bool FitsNarrow(float value, bool infinity_fits) {
  const std::uint32_t magnitude = Bits<std::uint32_t>(value) & kFloatMagnitude;
  // Halfway to what follows the largest, to which an odd largest rounds.
  constexpr std::uint32_t kMiddle =
      Format::FloatBits(Format::kLargest) + (1u << (Format::kShift - 1));
  constexpr std::uint32_t kEnd = kMiddle + (Format::kLargest % 2 == 0 ? 1 : 0);
  // Not ||, which would be a branch.
  return (magnitude < kEnd) | (magnitude > kFloatInfinity) |
         (infinity_fits & (magnitude == kFloatInfinity));
}

// ---- float and double -------------------------------------------------------

// Hosts keep the sign of NaN, as much of its payload as fits, and set the quiet
// bit. Devices do not agree about payloads.
TENSORD_HOST_DEVICE constexpr double FloatToDouble(float value) {
#ifdef TENSORD_DEVICE_CODE
  const std::uint64_t bits = Bits<std::uint32_t>(value);
  const std::uint64_t nan = (bits & 0x80000000) << 32 | 0x7ff8000000000000 |
                            (bits & 0x007fffff) << 29;
  return value != value ? Bits<double>(nan) : static_cast<double>(value);
#else
  return static_cast<double>(value);
#endif
}

TENSORD_HOST_DEVICE constexpr float DoubleToFloat(double value) {
#ifdef TENSORD_DEVICE_CODE
  const auto bits = Bits<std::uint64_t>(value);
  const auto nan = static_cast<std::uint32_t>(
      (bits >> 32 & 0x80000000) | 0x7fc00000 | (bits >> 29 & 0x007fffff));
  return value != value ? Bits<float>(nan) : static_cast<float>(value);
#else
  return static_cast<float>(value);
#endif
}

}  // namespace tensord::cast_rules

#endif  // TENSORD_CORE_CAST_FLOAT_RULES_H_
