// Casts that AVX2 has no instruction for: between floats and integers of 64
// bits, and of floats to whatever goes through those.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_WIDE_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_WIDE_VECTORS_INL_H_
#undef TENSORD_CORE_CAST_WIDE_VECTORS_INL_H_
#else
#define TENSORD_CORE_CAST_WIDE_VECTORS_INL_H_
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_rules.h"
#include "core/cast/float_vectors-inl.h"
#include "core/cast/vector_body-inl.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX2

using Wide = hn::ScalableTag<std::uint64_t>;
using SignedWide = hn::ScalableTag<std::int64_t>;
using Doubles = hn::ScalableTag<double>;
using Int32s = hn::ScalableTag<std::int32_t>;
using WideVector = hn::Vec<Wide>;
using DoubleVector = hn::Vec<Doubles>;

template <class T>
concept WideInteger =
    std::same_as<T, std::int64_t> || std::same_as<T, std::uint64_t>;

// Both halves of 32 bits become doubles by the bits that make them the lowest
// of a significand; the sum of the two is rounded once. The upper half of a
// signed integer is moved up by 2^63 and back.
template <WideInteger From>
HWY_INLINE DoubleVector WideToDoubles(WideVector integers) {
  constexpr std::uint64_t kBits2To52 = 0x4330000000000000;
  constexpr std::uint64_t kBits2To84 = 0x4530000000000000;
  constexpr std::uint64_t kOffset = std::is_signed_v<From> ? 0x80000000 : 0;
  constexpr double kToSubtract =
      0x1p84 + 0x1p52 + (std::is_signed_v<From> ? 0x1p63 : 0);
  const Wide wide;
  const Doubles doubles;
  constexpr int kUpperHalves = 0xaa;
  const WideVector lower{_mm256_blend_epi32(
      integers.raw, hn::Set(wide, kBits2To52).raw, kUpperHalves)};
  const auto upper = hn::Xor(hn::ShiftRight<32>(integers),
                             hn::Set(wide, kBits2To84 ^ kOffset));
  return hn::Add(
      hn::Sub(hn::BitCast(doubles, upper), hn::Set(doubles, kToSubtract)),
      hn::BitCast(doubles, lower));
}

// Integers that a double may not hold lose their lowest bits to one that says
// whether any was set: then rounding twice gives what rounding once does
// (S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums:
// proved algorithms using rounding to odd", 2008).
template <WideInteger From>
HWY_INLINE WideVector RoundWideToOdd(WideVector integers) {
  const Wide wide;
  constexpr std::uint64_t kLost = 0x7ff;
  const auto lost = hn::Set(wide, kLost);
  const auto any = hn::AndNot(lost, hn::Add(hn::And(integers, lost), lost));
  const auto odd = hn::Or(hn::AndNot(lost, integers), any);
  // Of signed ones, those from -2^53 on come to lie below 2^54.
  constexpr int kHeldBits = std::is_signed_v<From> ? 54 : 53;
  const auto moved =
      std::is_signed_v<From>
          ? hn::Add(integers, hn::Set(wide, std::uint64_t{1} << 53))
          : integers;
  const auto held = hn::Eq(hn::ShiftRight<kHeldBits>(moved), hn::Zero(wide));
  return hn::IfThenElse(held, integers, odd);
}

// A double as an integer, without its sign. Processors shift everything out by
// a count that is too large, negative ones included: what is 2^64 or more, or
// no number, has only its exponent.
struct Magnitude {
  WideVector integer;
  WideVector exponent;
};

HWY_INLINE Magnitude TruncateMagnitude(DoubleVector values) {
  const Wide wide;
  const auto bits = hn::BitCast(wide, values);
  const auto exponent = hn::And(hn::ShiftRight<52>(bits), hn::Set(wide, 0x7ff));
  const auto left = hn::Sub(exponent, hn::Set(wide, 1023 + 52));
  const auto right = hn::Sub(hn::Set(wide, 1023 + 52), exponent);
  constexpr std::uint64_t kImplicit = std::uint64_t{1} << 52;
  const auto significand = hn::Or(hn::And(bits, hn::Set(wide, kImplicit - 1)),
                                  hn::Set(wide, kImplicit));
  return {.integer =
              hn::Or(WideVector{_mm256_sllv_epi64(significand.raw, left.raw)},
                     WideVector{_mm256_srlv_epi64(significand.raw, right.raw)}),
          .exponent = exponent};
}

// Where numbers are below 2^bits in magnitude: neither NaN nor infinity is.
HWY_INLINE hn::Mask<Wide> IsBelow(WideVector exponent, WideVector bits) {
  const SignedWide lanes;
  const auto end = hn::Add(bits, hn::Set(Wide(), 1023));
  return hn::RebindMask(
      Wide(), hn::Lt(hn::BitCast(lanes, exponent), hn::BitCast(lanes, end)));
}

HWY_INLINE WideVector AsVector(hn::Mask<Doubles> mask) {
  return hn::VecFromMask(Wide(), hn::RebindMask(Wide(), mask));
}

// All bits of a lane are its sign.
HWY_INLINE WideVector Signs(DoubleVector values) {
  return hn::BitCast(
      Wide(),
      hn::VecFromMask(SignedWide(), hn::Lt(hn::BitCast(SignedWide(), values),
                                           hn::Zero(SignedWide()))));
}

// FloatToInteger of cast_rules.h.
template <WideInteger To>
HWY_INLINE WideVector DoublesToWide(DoubleVector values) {
  const Wide wide;
  const auto sign = Signs(values);
  const Magnitude magnitude = TruncateMagnitude(values);
  const auto integers = hn::Sub(hn::Xor(magnitude.integer, sign), sign);
  const auto lowest = hn::Set(wide, std::uint64_t{1} << 63);
  if constexpr (std::is_signed_v<To>) {
    return hn::IfThenElse(IsBelow(magnitude.exponent, hn::Set(wide, 63)),
                          integers, lowest);
  } else {
    // Less one, of negative numbers.
    const auto bits = hn::Add(hn::Set(wide, 64), sign);
    const auto above = AsVector(hn::Gt(values, hn::Zero(Doubles())));
    return hn::IfThenElse(IsBelow(magnitude.exponent, bits), integers,
                          hn::AndNot(above, lowest));
  }
}

// FloatToNearestInteger of cast_rules.h.
template <WideInteger To>
HWY_INLINE WideVector DoublesToNearestWide(DoubleVector values) {
  const Wide wide;
  const Doubles doubles;
  const auto number = hn::Eq(values, values);
  if constexpr (std::is_signed_v<To>) {
    // What is too large truncates to -2^63, whose complement is the maximum.
    const auto above = AsVector(hn::Ge(values, hn::Set(doubles, 0x1p63)));
    return hn::And(hn::Xor(DoublesToWide<To>(values), above), AsVector(number));
  } else {
    const auto positive =
        hn::Max(hn::IfThenElseZero(number, values), hn::Zero(doubles));
    const Magnitude magnitude = TruncateMagnitude(positive);
    return hn::IfThenElse(IsBelow(magnitude.exponent, hn::Set(wide, 64)),
                          magnitude.integer, hn::Set(wide, ~std::uint64_t{0}));
  }
}

// The doubles that FloatToNearestInteger truncates, where the limits of To are
// doubles.
template <class To>
HWY_INLINE DoubleVector ClampDoubles(DoubleVector values) {
  using Limits = std::numeric_limits<To>;
  const Doubles doubles;
  const auto number = hn::IfThenElseZero(hn::Eq(values, values), values);
  return hn::Min(hn::Max(number, hn::Set(doubles, Limits::min())),
                 hn::Set(doubles, Limits::max()));
}

template <WideInteger From, Overflow kOverflow>
struct VectorBody<From, double, kOverflow> {
  static constexpr std::size_t kElements = hn::MaxLanes(Wide());

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    hn::StoreU(WideToDoubles<From>(LoadLanes<std::uint64_t>(Wide(), src)),
               Doubles(), TypedPointer<double>(dst));
  }
};

// Most integers are small: a group whose integers are all int32 is converted as
// such.
template <WideInteger From, Overflow kOverflow>
struct VectorBody<From, float, kOverflow> {
  static constexpr std::size_t kLanes = hn::MaxLanes(Int32s());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Wide wide;
    const hn::Rebind<float, Int32s> floats;
    const auto offset =
        hn::Set(wide, std::is_signed_v<From> ? std::uint64_t{1} << 31 : 0);
    auto beyond = hn::Zero(wide);
    Group<Int32s> lower;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const std::byte* const from = src + i * kLanes * sizeof(From);
      const auto first = LoadLanes<std::uint64_t>(wide, from);
      const auto second = LoadLanes<std::uint64_t>(wide, from + sizeof(first));
      lower[i] = hn::ConcatEven(Int32s(), hn::BitCast(Int32s(), second),
                                hn::BitCast(Int32s(), first));
      beyond = hn::Or(beyond,
                      hn::Or(hn::Add(first, offset), hn::Add(second, offset)));
    }
    constexpr int kHeldBits = std::is_signed_v<From> ? 32 : 31;
    if (hn::AllTrue(
            wide, hn::Eq(hn::ShiftRight<kHeldBits>(beyond), hn::Zero(wide)))) {
      for (std::size_t i = 0; i < kGroup; ++i) {
        hn::StoreU(hn::ConvertTo(floats, lower[i]), floats,
                   TypedPointer<float>(dst) + i * kLanes);
      }
    } else {
      CastAny(src, dst);
    }
  }

 private:
  static HWY_INLINE void CastAny(const std::byte* src, std::byte* dst) {
    const hn::Rebind<float, Doubles> floats;
    constexpr std::size_t kStep = hn::MaxLanes(Wide());
    for (std::size_t i = 0; i < kElements; i += kStep) {
      const auto integers =
          LoadLanes<std::uint64_t>(Wide(), src + i * sizeof(From));
      const auto doubles = WideToDoubles<From>(RoundWideToOdd<From>(integers));
      hn::StoreU(hn::DemoteTo(floats, doubles), floats,
                 TypedPointer<float>(dst) + i);
    }
  }
};

template <class From>
HWY_INLINE DoubleVector LoadDoubles(const std::byte* src) {
  if constexpr (std::same_as<From, float>) {
    return hn::PromoteTo(Doubles(), LoadLanes<float>(Doubles(), src));
  } else {
    return LoadLanes<double>(Doubles(), src);
  }
}

HWY_INLINE hn::Vec<Int32s> TruncateToInt32(DoubleVector first,
                                           DoubleVector second) {
  return hn::Vec<Int32s>{_mm256_setr_m128i(_mm256_cvttpd_epi32(first.raw),
                                           _mm256_cvttpd_epi32(second.raw))};
}

// What floats truncate to as int32; -2^31, where there is none.
template <class From>
HWY_INLINE hn::Vec<Int32s> LoadAsInt32(const std::byte* src) {
  if constexpr (std::same_as<From, float>) {
    return TruncateFloats(hn::Rebind<float, Int32s>(),
                          LoadLanes<float>(Int32s(), src));
  } else {
    return TruncateToInt32(LoadDoubles<double>(src),
                           LoadDoubles<double>(src + sizeof(DoubleVector)));
  }
}

template <class From, class To, Overflow kOverflow>
concept TruncatesBeyondInt32 =
    (std::same_as<From, double> &&
     (WideInteger<To> || std::same_as<To, std::uint32_t> ||
      (std::same_as<To, std::uint8_t> && kOverflow == Overflow::kTorch))) ||
    (std::same_as<From, float> && WideInteger<To>);

// Most floats are small: where a group truncates to int32, that is extended or
// cut to what is asked for.
template <class From, class To, Overflow kOverflow>
requires TruncatesBeyondInt32<From, To, kOverflow>
struct VectorBody<From, To, kOverflow> {
  static constexpr std::size_t kLanes = hn::MaxLanes(Int32s());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    Group<Int32s> integers;
    for (std::size_t i = 0; i < kGroup; ++i) {
      integers[i] = LoadAsInt32<From>(src + i * kLanes * sizeof(From));
    }
    if (AllAreResults(integers)) {
      Store(integers, dst);
    } else {
      constexpr std::size_t kStep = hn::MaxLanes(Wide());
      for (std::size_t i = 0; i < kElements; i += kStep) {
        CastAny(LoadDoubles<From>(src + i * sizeof(From)),
                dst + i * sizeof(To));
      }
    }
  }

 private:
  static constexpr bool kSaturates = kOverflow == Overflow::kSaturate;

  static HWY_INLINE bool AllAreResults(const Group<Int32s>& integers) {
    static_assert(kGroup == 4);
    const Int32s lanes;
    if constexpr (kSaturates && std::is_unsigned_v<To>) {
      const auto any = hn::Or(hn::Or(integers[0], integers[1]),
                              hn::Or(integers[2], integers[3]));
      return hn::AllFalse(lanes, hn::Lt(any, hn::Zero(lanes)));
    } else {
      const auto none = hn::Set(lanes, cast_rules::kLowest<std::int32_t>);
      return hn::AllFalse(
          lanes,
          hn::Or(hn::Or(hn::Eq(integers[0], none), hn::Eq(integers[1], none)),
                 hn::Or(hn::Eq(integers[2], none), hn::Eq(integers[3], none))));
    }
  }

  static HWY_INLINE void Store(const Group<Int32s>& integers, std::byte* dst) {
    if constexpr (sizeof(To) < sizeof(std::int64_t)) {
      return StoreGroup<To, /*kNoisy=*/true>(Int32s(), integers, dst);
    }
    const hn::Half<Int32s> half;
    std::int64_t* to = TypedPointer<std::int64_t>(dst);
    for (const auto& vector : integers) {
      hn::StoreU(hn::PromoteTo(SignedWide(), hn::LowerHalf(half, vector)),
                 SignedWide(), to);
      hn::StoreU(hn::PromoteTo(SignedWide(), hn::UpperHalf(half, vector)),
                 SignedWide(), to + kLanes / 2);
      to += kLanes;
    }
  }

  static HWY_INLINE void CastAny(DoubleVector values, std::byte* dst) {
    if constexpr (WideInteger<To>) {
      hn::StoreU(kSaturates ? DoublesToNearestWide<To>(values)
                            : DoublesToWide<To>(values),
                 Wide(), TypedPointer<std::uint64_t>(dst));
    } else {
      const hn::Rebind<To, Wide> narrow;
      if constexpr (kSaturates) values = ClampDoubles<To>(values);
      hn::StoreU(hn::TruncateTo(narrow, DoublesToWide<std::int64_t>(values)),
                 narrow, TypedPointer<To>(dst));
    }
  }
};

// Integers whose bits are all among those of an int32, or that saturate to one.
template <class To, Overflow kOverflow>
concept LiesInInt32 =
    (SmallInteger<To> ||
     std::same_as<To, std::int32_t>)&&!TruncatesBeyondInt32<double, To,
                                                            kOverflow>;

template <class To, Overflow kOverflow>
requires LiesInInt32<To, kOverflow>
struct VectorBody<double, To, kOverflow> {
  static constexpr std::size_t kLanes = hn::MaxLanes(Int32s());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    Group<Int32s> integers;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const std::byte* const from = src + i * kLanes * sizeof(double);
      integers[i] =
          TruncateToInt32(Load(from), Load(from + sizeof(DoubleVector)));
    }
    StoreGroup<To, /*kNoisy=*/true>(Int32s(), integers, dst);
  }

 private:
  static HWY_INLINE DoubleVector Load(const std::byte* src) {
    const auto values = LoadDoubles<double>(src);
    if constexpr (kOverflow == Overflow::kSaturate) {
      return ClampDoubles<To>(values);
    }
    return values;
  }
};

#endif  // HWY_AVX2

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_WIDE_VECTORS_INL_H_
