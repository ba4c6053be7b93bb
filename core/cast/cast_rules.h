// What a cast makes of one element: the rule of every pair of dtypes.
//
// An element is decoded to a value (an integer, a float, a double or two of
// them) and the value is encoded as the destination. Bool decodes to 0 or 1.
// The 16- and 8-bit floats decode to float, exactly, and everything that
// becomes one of them goes through float, as in PyTorch: a double or a large
// integer is rounded twice.
//
// Rounding is to nearest, ties to even. Float to integer truncates. NaN becomes
// the quiet NaN 0x7e00, 0x7fc0 or 0x7f with its sign in the 16- and 8-bit
// floats; float and double keep as much of its payload as they hold, and set
// the quiet bit.
//
// All functions are pure and branch-light, work in the default floating-point
// environment, and have the same result on every host and device: no conversion
// of a value out of range is left to the machine.
#ifndef TENSORD_CORE_CAST_CAST_RULES_H_
#define TENSORD_CORE_CAST_CAST_RULES_H_

#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/cast/float_rules.h"
#include "core/cast/host_device.h"
#include "core/scalar_types.h"

namespace tensord::cast_rules {

// ---- Integers ---------------------------------------------------------------

// As constants, because functions of the standard library may not run on
// devices.
template <class Int>
inline constexpr Int kLowest = std::numeric_limits<Int>::min();
template <class Int>
inline constexpr Int kHighest = std::numeric_limits<Int>::max();

// The open interval of the floating-point numbers of type Float that truncate
// to a value of type Int.
template <class Int, class Float>
struct IntegerRange {
  static constexpr Float kMin = static_cast<Float>(kLowest<Int>);
  // The maximum itself may not be a Float; what follows it is a power of two.
  static constexpr Float kEnd = static_cast<Float>(kHighest<Int> / 2 + 1) * 2;
  static constexpr Float kBelow =
      kMin - 1 < kMin ? kMin - 1
                      : kMin * (1 + std::numeric_limits<Float>::epsilon());
};

template <class Int, class Float>
TENSORD_HOST_DEVICE constexpr bool FitsInteger(Float value) {
  using Range = IntegerRange<Int, Float>;
  return value > Range::kBelow && value < Range::kEnd;
}

// The integer, or the minimum for what does not fit, which is what x86 gives.
template <std::signed_integral Int, class Float>
TENSORD_HOST_DEVICE constexpr Int Truncate(Float value) {
  using Range = IntegerRange<Int, Float>;
  return static_cast<Int>(FitsInteger<Int>(value) ? value : Range::kMin);
}

// PyTorch on x86-64: the lowest bits of the truncation to int64 for uint8 and
// uint32, to int32 for other integers of up to 32 bits. uint64 takes its upper
// half from the truncation to int64 of what exceeds 2^63.
template <class Int, class Float>
TENSORD_HOST_DEVICE constexpr Int FloatToInteger(Float value) {
  // A float beyond int32 is a multiple of 2^8, so uint8 can not tell.
  constexpr bool kThroughInt32 =
      std::same_as<Int, std::uint8_t>
          ? std::same_as<Float, float>
          : sizeof(Int) <= 4 && !std::same_as<Int, std::uint32_t>;
  if constexpr (kThroughInt32) {
    return static_cast<Int>(Truncate<std::int32_t>(value));
  } else if constexpr (std::same_as<Int, std::uint64_t>) {
    constexpr Float kHalf = IntegerRange<std::int64_t, Float>::kEnd;
    const bool upper = value >= kHalf;
    const auto low = Truncate<std::int64_t>(upper ? value - kHalf : value);
    return static_cast<std::uint64_t>(low) ^ std::uint64_t{upper} << 63;
  } else {
    return static_cast<Int>(Truncate<std::int64_t>(value));
  }
}

// The nearest Int; 0 for NaN.
template <class Int, class Float>
TENSORD_HOST_DEVICE constexpr Int FloatToNearestInteger(Float value) {
  using Range = IntegerRange<Int, Float>;
  if constexpr (sizeof(Int) < sizeof(Float)) {
    // Both limits are a Float.
    constexpr Float kMax = static_cast<Float>(kHighest<Int>);
    const Float number = value == value ? value : Float{0};
    const Float raised = number > Range::kMin ? number : Range::kMin;
    return FloatToInteger<Int>(raised < kMax ? raised : kMax);
  } else {
    const Int inside = FloatToInteger<Int>(value);
    const Int bounded = value >= Range::kEnd ? kHighest<Int> : inside;
    const Int result = value <= Range::kBelow ? kLowest<Int> : bounded;
    return value != value ? Int{0} : result;
  }
}

// Whether a limit of Int lies within the values of From, which can then be
// compared with it.
template <class Int, class From>
struct IntegerLimits {
  static constexpr bool kBoundedAbove =
      static_cast<std::uint64_t>(kHighest<From>) >
      static_cast<std::uint64_t>(kHighest<Int>);
  static constexpr bool kBoundedBelow =
      std::is_signed_v<From> &&
      (!std::is_signed_v<Int> || sizeof(From) > sizeof(Int));
};

template <class Int, class From>
TENSORD_HOST_DEVICE constexpr bool FitsAbove(From value) {
  if constexpr (IntegerLimits<Int, From>::kBoundedAbove) {
    return value <= static_cast<From>(kHighest<Int>);
  } else {
    return true;
  }
}

template <class Int, class From>
TENSORD_HOST_DEVICE constexpr bool FitsBelow(From value) {
  if constexpr (IntegerLimits<Int, From>::kBoundedBelow) {
    return value >= static_cast<From>(kLowest<Int>);
  } else {
    return true;
  }
}

template <class Int, class From>
TENSORD_HOST_DEVICE constexpr Int IntegerToNearestInteger(From value) {
  const Int bounded =
      FitsAbove<Int>(value) ? static_cast<Int>(value) : kHighest<Int>;
  return FitsBelow<Int>(value) ? bounded : kLowest<Int>;
}

// ---- Values -----------------------------------------------------------------

template <class Value>
TENSORD_HOST_DEVICE constexpr float ToFloat(Value value) {
  if constexpr (std::same_as<Value, double>) {
    return DoubleToFloat(value);
  } else {
    return static_cast<float>(value);
  }
}

template <class Value>
TENSORD_HOST_DEVICE constexpr double ToDouble(Value value) {
  if constexpr (std::same_as<Value, float>) {
    return FloatToDouble(value);
  } else {
    return static_cast<double>(value);
  }
}

template <class Value>
concept ComplexValue = requires(Value value) {
  value.imag;
};

// The part of a value that a real destination takes.
template <class Value>
TENSORD_HOST_DEVICE constexpr auto RealPart(Value value) {
  if constexpr (ComplexValue<Value>) {
    return value.real;
  } else {
    return value;
  }
}

template <class Value>
TENSORD_HOST_DEVICE constexpr auto ImaginaryPart(Value value) {
  if constexpr (ComplexValue<Value>) {
    return value.imag;
  } else {
    return 0.0f;
  }
}

// ---- Dtypes -----------------------------------------------------------------

// How the elements of a dtype are read and made. A rule has
//   static Value Decode(T): the value of an element;
//   static T Encode(Value): the element that stands for a real value, by
//     PyTorch's rules. Encode of Bool and complex numbers takes complex ones.
// and, where that is quicker to see on the element than on its value,
//   static bool IsNonZero(T);
// and, if there are values that do not fit,
//   static T EncodeNearest(Value): the element that comes nearest;
//   static bool Fits(Value).
template <class T>
struct Rule;

template <>
struct Rule<Bool> {
  TENSORD_HOST_DEVICE static constexpr std::uint8_t Decode(Bool from) {
    return from.bits != 0 ? 1 : 0;
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr Bool Encode(Value value) {
    if constexpr (ComplexValue<Value>) {
      // Not ||, which would be a branch.
      return {std::uint8_t{
          static_cast<bool>((value.real != 0) | (value.imag != 0))}};
    } else {
      return {std::uint8_t{value != 0}};
    }
  }
};

template <std::integral T>
struct Rule<T> {
  TENSORD_HOST_DEVICE static constexpr T Decode(T from) { return from; }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr T Encode(Value value) {
    if constexpr (std::integral<Value>) {
      return static_cast<T>(value);
    } else {
      return FloatToInteger<T>(value);
    }
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr T EncodeNearest(Value value) {
    if constexpr (std::integral<Value>) {
      return IntegerToNearestInteger<T>(value);
    } else {
      return FloatToNearestInteger<T>(value);
    }
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr bool Fits(Value value) {
    if constexpr (std::integral<Value>) {
      return FitsAbove<T>(value) && FitsBelow<T>(value);
    } else {
      return FitsInteger<T>(value);
    }
  }
};

template <>
struct Rule<Float16> {
  using Format = Float16Format;
  TENSORD_HOST_DEVICE static constexpr bool IsNonZero(Float16 from) {
    return (from.bits & 0x7fff) != 0;
  }
  TENSORD_HOST_DEVICE static constexpr float Decode(Float16 from) {
    return Widen<Format>(from.bits);
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr Float16 Encode(Value value) {
    return {static_cast<std::uint16_t>(
        Narrow<Format, Format::kOverflow, 0x7e00>(ToFloat(value)))};
  }
};

template <>
struct Rule<BFloat16> {
  TENSORD_HOST_DEVICE static constexpr bool IsNonZero(BFloat16 from) {
    return (from.bits & 0x7fff) != 0;
  }
  TENSORD_HOST_DEVICE static constexpr float Decode(BFloat16 from) {
    return Bits<float>(std::uint32_t{from.bits} << 16);
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr BFloat16 Encode(Value value) {
    return {static_cast<std::uint16_t>(NarrowToBFloat16(ToFloat(value)))};
  }
};

template <>
struct Rule<float> {
  TENSORD_HOST_DEVICE static constexpr float Decode(float from) { return from; }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr float Encode(Value value) {
    return ToFloat(value);
  }
};

template <>
struct Rule<double> {
  TENSORD_HOST_DEVICE static constexpr double Decode(double from) {
    return from;
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr double Encode(Value value) {
    return ToDouble(value);
  }
};

template <>
struct Rule<Complex64> {
  TENSORD_HOST_DEVICE static constexpr Complex64 Decode(Complex64 from) {
    return from;
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr Complex64 Encode(Value value) {
    return {ToFloat(RealPart(value)), ToFloat(ImaginaryPart(value))};
  }
};

template <>
struct Rule<Complex128> {
  TENSORD_HOST_DEVICE static constexpr Complex128 Decode(Complex128 from) {
    return from;
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr Complex128 Encode(Value value) {
    return {ToDouble(RealPart(value)), ToDouble(ImaginaryPart(value))};
  }
};

// The 8-bit floats. Infinity fits where the format has one, though the nearest
// finite number stands for it under EncodeNearest.
template <class T, class FormatOfT, bool kHasInfinity>
struct Float8Rule {
  using Format = FormatOfT;
  TENSORD_HOST_DEVICE static constexpr bool IsNonZero(T from) {
    return (from.bits & 0x7f) != 0;
  }
  TENSORD_HOST_DEVICE static constexpr float Decode(T from) {
    return Widen<Format>(from.bits);
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr T Encode(Value value) {
    return {static_cast<std::uint8_t>(
        Narrow<Format, Format::kOverflow, 0x7f>(ToFloat(value)))};
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr T EncodeNearest(Value value) {
    return {static_cast<std::uint8_t>(
        Narrow<Format, Format::kLargest, 0x7f>(ToFloat(value)))};
  }
  template <class Value>
  TENSORD_HOST_DEVICE static constexpr bool Fits(Value value) {
    return FitsNarrow<Format>(ToFloat(value), kHasInfinity);
  }
};
template <>
struct Rule<Float8E4M3FN>
    : Float8Rule<Float8E4M3FN, Float8E4M3FNFormat, false> {};
template <>
struct Rule<Float8E5M2> : Float8Rule<Float8E5M2, Float8E5M2Format, true> {};

// ---- Pairs ------------------------------------------------------------------

template <class T>
concept HasRule = requires(T element) {
  Rule<T>::Decode(element);
  Rule<T>::Encode(Rule<T>::Decode(element));
};

// The value of an element that a destination To is made of.
template <class To, class From>
TENSORD_HOST_DEVICE constexpr auto SourceValue(From from) {
  const auto value = Rule<From>::Decode(from);
  if constexpr (std::same_as<To, Bool> || ComplexValue<To>) {
    return value;
  } else {
    return RealPart(value);
  }
}

template <class To, class From>
using SourceValueOf = decltype(SourceValue<To>(From{}));

// Whether the elements keep their bits.
template <class To, class From>
inline constexpr bool kIsCopy =
    std::same_as<To, From> && !std::same_as<To, Bool>;

// Whether a cast may meet a value that does not fit.
template <class To, class From>
inline constexpr bool kMayMisfit = [] {
  if constexpr (kIsCopy<To, From> ||
                !requires(SourceValueOf<To, From> v) { Rule<To>::Fits(v); }) {
    return false;
  } else if constexpr (std::integral<To> &&
                       std::integral<SourceValueOf<To, From>>) {
    using Limits = IntegerLimits<To, SourceValueOf<To, From>>;
    return !std::same_as<From, Bool> &&
           (Limits::kBoundedAbove || Limits::kBoundedBelow);
  } else {
    return !std::same_as<From, Bool>;
  }
}();

// Overflow::kTorch.
template <class To, class From>
TENSORD_HOST_DEVICE constexpr To Cast(From from) {
  if constexpr (kIsCopy<To, From>) {
    return from;
  } else if constexpr (std::same_as<To, Bool> &&
                       requires { Rule<From>::IsNonZero(from); }) {
    return {std::uint8_t{Rule<From>::IsNonZero(from)}};
  } else {
    return Rule<To>::Encode(SourceValue<To>(from));
  }
}

// Overflow::kSaturate.
template <class To, class From>
TENSORD_HOST_DEVICE constexpr To CastNearest(From from) {
  if constexpr (kMayMisfit<To, From>) {
    return Rule<To>::EncodeNearest(SourceValue<To>(from));
  } else {
    return Cast<To>(from);
  }
}

// Whether Overflow::kError has nothing to report.
template <class To, class From>
TENSORD_HOST_DEVICE constexpr bool Fits(From from) {
  if constexpr (kMayMisfit<To, From>) {
    return Rule<To>::Fits(SourceValue<To>(from));
  } else {
    return true;
  }
}

}  // namespace tensord::cast_rules

#endif  // TENSORD_CORE_CAST_CAST_RULES_H_
