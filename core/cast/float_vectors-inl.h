// Casts whose elements meet as floats in vectors: the conversions of float16
// that processors have, 8-bit floats, and what compilers do not pack well.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_FLOAT_VECTORS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_FLOAT_VECTORS_INL_H_
#undef TENSORD_CORE_CAST_FLOAT_VECTORS_INL_H_
#else
#define TENSORD_CORE_CAST_FLOAT_VECTORS_INL_H_
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/cast/byte_tables-inl.h"
#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_rules.h"
#include "core/cast/float_rules.h"
#include "core/cast/vector_body-inl.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

#if TENSORD_HAS_VECTORS

// ---- Elements as floats -----------------------------------------------------

template <std::integral From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::RebindToSigned<D> integers;
  return hn::ConvertTo(floats,
                       hn::PromoteTo(integers, LoadLanes<From>(floats, src)));
}

template <std::same_as<float> From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  return LoadLanes<float>(floats, src);
}

template <std::same_as<Float16> From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  return hn::PromoteTo(floats, LoadLanes<hwy::float16_t>(floats, src));
}

template <std::same_as<BFloat16> From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(floats, hn::ShiftLeft<16>(hn::PromoteTo(
                                 bits, LoadLanes<std::uint16_t>(floats, src))));
}

// float8_e5m2 is the upper half of float16.
template <std::same_as<Float8E5M2> From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::Rebind<std::uint16_t, D> bits;
  const auto upper = hn::ShiftLeft<8>(
      hn::PromoteTo(bits, LoadLanes<std::uint8_t>(floats, src)));
  return hn::PromoteTo(floats,
                       hn::BitCast(hn::Rebind<hwy::float16_t, D>(), upper));
}

// What LoadFloats makes of the codes of NaN.
inline constexpr float kCodeOfNaN = 480;

// As float16, whose exponents have another bias. NaN is left to LoadGroup.
template <std::same_as<Float8E4M3FN> From, class D>
HWY_INLINE hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::Rebind<std::int16_t, D> bits;
  constexpr float kBiases = 0x1p8f;
  const auto code = hn::PromoteTo(bits, LoadLanes<std::int8_t>(floats, src));
  const auto half = hn::And(hn::ShiftLeft<7>(code),
                            hn::Set(bits, static_cast<std::int16_t>(0xbf80)));
  return hn::Mul(
      hn::PromoteTo(floats, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half)),
      hn::Set(floats, kBiases));
}

template <class From, class D>
HWY_INLINE Group<D> LoadGroup(D floats, const std::byte* src) {
  Group<D> values;
  for (std::size_t i = 0; i < kGroup; ++i) {
    values[i] =
        LoadFloats<From>(floats, src + i * hn::MaxLanes(floats) * sizeof(From));
  }
  return values;
}

// NaN is rare enough to be looked for in all at once.
template <std::same_as<Float8E4M3FN> From, class D>
HWY_INLINE Group<D> LoadGroup(D floats, const std::byte* src) {
  const hn::ScalableTag<std::uint8_t> bytes;
  static_assert(hn::MaxLanes(bytes) == kGroup * hn::MaxLanes(D()));
  Group<D> values;
  for (std::size_t i = 0; i < kGroup; ++i) {
    values[i] = LoadFloats<From>(floats, src + i * hn::MaxLanes(floats));
  }
  const auto magnitude = hn::Set(bytes, 0x7f);
  const auto codes = hn::LoadU(bytes, TypedPointer<std::uint8_t>(src));
  if (!hn::AllFalse(bytes, hn::Eq(hn::And(codes, magnitude), magnitude))) {
    const auto nan_bits =
        hn::BitCast(floats, hn::Set(hn::RebindToUnsigned<D>(), 0x7ff00000));
    for (auto& value : values) {
      const auto is_nan = hn::Eq(hn::Abs(value), hn::Set(floats, kCodeOfNaN));
      value = hn::IfThenElse(is_nan, hn::Or(value, nan_bits), value);
    }
  }
  return values;
}

// ---- Floats as elements -----------------------------------------------------

// Elements that floats become, in the lowest bits of lanes; others are noise,
// but for BFloat16. What becomes of NaN is left to StoreFloats, where kHidesNaN
// says so.
template <class From, std::same_as<BFloat16> To, Overflow /*overflow*/, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> EncodeFloats(D /*floats*/,
                                                         hn::Vec<D> values) {
  const hn::RebindToUnsigned<D> wide;
  const auto bits = hn::BitCast(wide, values);
  const auto upper = hn::ShiftRight<16>(bits);
  // What an element of one byte is has room in the significand.
  if constexpr (sizeof(From) == 1) return upper;
  const auto odd = hn::And(upper, hn::Set(wide, 1));
  return hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(wide, 0x7fff)), odd));
}

// RoundMagnitude of float_rules.h.
template <class Format, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> RoundMagnitudes(
    D floats, hn::Vec<hn::RebindToUnsigned<D>> magnitudes) {
  const hn::RebindToUnsigned<D> bits;
  const auto exponents =
      hn::Max(hn::And(magnitudes, hn::Set(bits, cast_rules::kFloatInfinity)),
              hn::Set(bits, Format::kMinNormal));
  const auto powers = hn::Add(exponents, hn::Set(bits, Format::kToPower));
  const auto sums =
      hn::Add(hn::BitCast(floats, magnitudes), hn::BitCast(floats, powers));
  return hn::Add(hn::BitCast(bits, sums),
                 hn::ShiftRight<Format::kShift>(exponents));
}

// Narrow of float_rules.h.
template <class From, Float8 To, Overflow kOverflow, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> EncodeFloats(D floats,
                                                         hn::Vec<D> values) {
  using Format = typename cast_rules::Rule<To>::Format;
  constexpr std::uint32_t kMost =
      kOverflow == Overflow::kSaturate ? Format::kLargest : Format::kOverflow;
  const hn::RebindToUnsigned<D> bits;
  const auto magnitudes = hn::BitCast(bits, hn::Abs(values));
  const auto rounded = RoundMagnitudes<Format>(
      floats, hn::Min(magnitudes, hn::Set(bits, Format::FloatBits(kMost))));
  if constexpr (std::unsigned_integral<From>) return rounded;
  const auto sign = hn::ShiftRight<24>(hn::BitCast(bits, values));
  return hn::OrAnd(rounded, sign, hn::Set(bits, 0x80));
}

// The integers that floats truncate to; -2^31, or 0, where there is none.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> TruncateFloats(D floats,
                                                         hn::Vec<D> values) {
  const hn::RebindToSigned<D> integers;
#if HWY_TARGET == HWY_AVX2
  (void)floats, (void)integers;
  return hn::Vec<hn::RebindToSigned<D>>{_mm256_cvttps_epi32(values.raw)};
#elif HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  (void)floats, (void)integers;
  return hn::Vec<hn::RebindToSigned<D>>{_mm512_cvttps_epi32(values.raw)};
#else
  return hn::ConvertTo(
      integers, hn::IfThenElseZero(
                    hn::Lt(hn::Abs(values), hn::Set(floats, 0x1p31f)), values));
#endif
}

// FloatToNearestInteger of cast_rules.h before it truncates: for integers whose
// limits are floats.
template <class To, class D>
HWY_INLINE hn::Vec<D> ClampFloats(D floats, hn::Vec<D> values) {
  using Limits = std::numeric_limits<To>;
  const auto number = hn::IfThenElseZero(hn::Eq(values, values), values);
  return hn::Min(
      hn::Max(number, hn::Set(floats, static_cast<float>(Limits::min()))),
      hn::Set(floats, static_cast<float>(Limits::max())));
}

template <class From, SmallInteger To, Overflow kOverflow, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> EncodeFloats(D floats,
                                                         hn::Vec<D> values) {
  if constexpr (kOverflow == Overflow::kSaturate) {
    values = ClampFloats<To>(floats, values);
  }
  // The lowest bits of -2^31 are 0.
  return hn::BitCast(hn::RebindToUnsigned<D>(), TruncateFloats(floats, values));
}

#if HWY_TARGET == HWY_AVX2

template <class From, std::same_as<std::int32_t> To, Overflow kOverflow,
          class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> EncodeFloats(D floats,
                                                         hn::Vec<D> values) {
  const hn::RebindToUnsigned<D> wide;
  auto truncated = hn::BitCast(wide, TruncateFloats(floats, values));
  if constexpr (kOverflow == Overflow::kSaturate) {
    // What is too large truncates to -2^31, whose complement is the maximum.
    const auto above = hn::Ge(values, hn::Set(floats, 0x1p31f));
    truncated =
        hn::Xor(truncated, hn::VecFromMask(wide, hn::RebindMask(wide, above)));
    const auto number = hn::Eq(values, values);
    truncated = hn::IfThenElseZero(hn::RebindMask(wide, number), truncated);
  }
  return truncated;
}

// The significand is shifted to where its exponent says, left or right: by a
// count that is too large, negative ones included, processors shift everything
// out. So 2^32 does, and what is too large for int64 or no number is a multiple
// of that here.
template <class From, std::same_as<std::uint32_t> To, Overflow kOverflow,
          class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> EncodeFloats(D floats,
                                                         hn::Vec<D> values) {
  const hn::RebindToUnsigned<D> wide;
  if constexpr (kOverflow == Overflow::kSaturate) {
    const auto number = hn::IfThenElseZero(hn::Eq(values, values), values);
    values = hn::Max(number, hn::Zero(floats));
  }
  const auto bits = hn::BitCast(wide, values);
  const auto exponent = hn::And(hn::ShiftRight<23>(bits), hn::Set(wide, 0xff));
  const auto left = hn::Sub(exponent, hn::Set(wide, 150));
  const auto significand = hn::Or(hn::And(bits, hn::Set(wide, 0x007fffff)),
                                  hn::Set(wide, 0x00800000));
  const auto magnitude = hn::Or(
      hn::Vec<decltype(wide)>{_mm256_sllv_epi32(significand.raw, left.raw)},
      hn::Vec<decltype(wide)>{_mm256_srlv_epi32(
          significand.raw, hn::Sub(hn::Zero(wide), left).raw)});
  if constexpr (kOverflow == Overflow::kSaturate) {
    const auto above = hn::Ge(values, hn::Set(floats, 0x1p32f));
    return hn::Or(magnitude,
                  hn::VecFromMask(wide, hn::RebindMask(wide, above)));
  }
  const auto sign = hn::BitCast(
      wide, hn::ShiftRight<31>(hn::BitCast(hn::RebindToSigned<D>(), values)));
  return hn::Sub(hn::Xor(magnitude, sign), sign);
}

#endif  // HWY_AVX2

// Whether EncodeFloats gives something else than NaN for it: for what is larger
// than all numbers, where there is no infinity.
template <class From, class To, Overflow kOverflow>
inline constexpr bool kHidesNaN =
    !std::integral<From> && (std::same_as<To, BFloat16> ||
                             (Float8<To> && !(std::same_as<To, Float8E4M3FN> &&
                                              kOverflow == Overflow::kTorch)));

template <class D>
HWY_INLINE hn::Mask<D> EitherIsNaN(hn::Vec<D> a, hn::Vec<D> b) {
#if HWY_TARGET == HWY_AVX2
  return hn::Mask<D>{_mm256_cmp_ps(a.raw, b.raw, _CMP_UNORD_Q)};
#else
  return hn::Or(hn::IsNaN(a), hn::IsNaN(b));
#endif
}

template <class To, class D>
HWY_INLINE void PutNaNs(D floats, const Group<D>& values,
                        Group<hn::RebindToUnsigned<D>>& elements) {
  constexpr int kSignShift = sizeof(To) == 1 ? 24 : 16;
  constexpr std::uint32_t kSign = sizeof(To) == 1 ? 0x80 : 0x8000;
  constexpr std::uint32_t kNaN = sizeof(To) == 1 ? 0x7f : 0x7fc0;
  const hn::RebindToUnsigned<D> wide;
  static_assert(kGroup == 4);
  if (hn::AllFalse(floats, hn::Or(EitherIsNaN<D>(values[0], values[1]),
                                  EitherIsNaN<D>(values[2], values[3])))) {
    return;
  }
  for (std::size_t i = 0; i < kGroup; ++i) {
    const auto sign =
        hn::And(hn::ShiftRight<kSignShift>(hn::BitCast(wide, values[i])),
                hn::Set(wide, kSign));
    elements[i] =
        hn::IfThenElse(hn::RebindMask(wide, hn::IsNaN(values[i])),
                       hn::Or(sign, hn::Set(wide, kNaN)), elements[i]);
  }
}

template <class From, class To, Overflow kOverflow, class D>
HWY_INLINE void StoreFloats(D floats, const Group<D>& values, std::byte* dst) {
  const hn::RebindToUnsigned<D> wide;
  Group<hn::RebindToUnsigned<D>> elements;
  for (std::size_t i = 0; i < kGroup; ++i) {
    elements[i] = EncodeFloats<From, To, kOverflow>(floats, values[i]);
  }
  if constexpr (kHidesNaN<From, To, kOverflow>) {
    PutNaNs<To>(floats, values, elements);
  }
  StoreGroup<To, !std::same_as<To, BFloat16>>(wide, elements, dst);
}

#if HWY_TARGET == HWY_AVX2

// Most floats are small, and truncate to an int32 that has the same bits.
template <class From, std::same_as<std::uint32_t> To, Overflow kOverflow,
          class D>
HWY_INLINE void StoreFloats(D floats, const Group<D>& values, std::byte* dst) {
  const hn::RebindToUnsigned<D> wide;
  Group<hn::RebindToUnsigned<D>> elements;
  auto large = hn::Zero(wide);
  for (std::size_t i = 0; i < kGroup; ++i) {
    elements[i] = hn::BitCast(wide, TruncateFloats(floats, values[i]));
    large = hn::Or(
        large, kOverflow == Overflow::kSaturate
                   ? hn::ShiftRight<31>(elements[i])
                   : hn::VecFromMask(
                         wide, hn::Eq(elements[i], hn::Set(wide, 0x80000000))));
  }
  const bool none_is_large = hn::AllTrue(wide, hn::Eq(large, hn::Zero(wide)));
  for (std::size_t i = 0; i < kGroup; ++i) {
    hn::StoreU(none_is_large
                   ? elements[i]
                   : EncodeFloats<From, To, kOverflow>(floats, values[i]),
               wide, TypedPointer<std::uint32_t>(dst) + i * hn::MaxLanes(wide));
  }
}

#endif  // HWY_AVX2

template <class From, std::same_as<float> To, Overflow /*overflow*/, class D>
HWY_INLINE void StoreFloats(D floats, const Group<D>& values, std::byte* dst) {
  for (std::size_t i = 0; i < kGroup; ++i) {
    hn::StoreU(values[i], floats,
               TypedPointer<float>(dst) + i * hn::MaxLanes(floats));
  }
}

template <class From, std::same_as<Float16> To, Overflow /*overflow*/, class D>
HWY_INLINE void StoreFloats(D floats, const Group<D>& values, std::byte* dst) {
  const hn::RebindToUnsigned<D> bits;
  const hn::Rebind<hwy::float16_t, D> halves;
  const auto quiet = hn::BitCast(floats, hn::Set(bits, 0x7fc00000));
  for (std::size_t i = 0; i < kGroup; ++i) {
    auto canonical = values[i];
    if constexpr (!std::integral<From>) {
      const auto nan = hn::Or(quiet, hn::And(canonical, hn::SignBit(floats)));
      canonical = hn::IfThenElse(hn::IsNaN(canonical), nan, canonical);
    }
    hn::StoreU(hn::DemoteTo(halves, canonical), halves,
               TypedPointer<hwy::float16_t>(dst) + i * hn::MaxLanes(floats));
  }
}

// ---- Pairs that meet as floats ----------------------------------------------

template <class T>
concept FloatLanes = SmallInteger<T> || std::same_as<T, Float16> ||
    std::same_as<T, BFloat16> || std::same_as<T, float> || Float8<T>;

// Where one side needs instructions that compilers do not find in the rules.
template <class To, class From>
concept NeedsFloats = std::same_as<From, Float16> ||
    std::same_as<To, Float16> || Float8<From> || Float8<To> ||
    (std::same_as<From, BFloat16> && sizeof(To) == 1);

// What only AVX2 needs: its compilers pack poorly, and know no conversion of
// floats to uint32.
template <class To, class From>
concept NeedsFloatsOnAvx2 =
    HWY_TARGET == HWY_AVX2 &&
    (std::same_as<To, BFloat16> || std::same_as<To, std::uint32_t> ||
     (!std::integral<From> &&
      (SmallInteger<To> || std::same_as<To, std::int32_t>)));

template <class To, class From>
concept MeetsAsFloats =
    FloatLanes<From> && !std::same_as<From, To> && !ByteTableOf<To, From> &&
    ((FloatLanes<To> && NeedsFloats<To, From>) ||
     (NeedsFloatsOnAvx2<To, From> &&
      !(std::integral<From> && std::integral<To>)));

template <class From, MeetsAsFloats<From> To, Overflow kOverflow>
struct VectorBody<From, To, kOverflow> {
  using Floats = hn::ScalableTag<float>;
  static constexpr std::size_t kElements = kGroup * hn::MaxLanes(Floats());

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Floats floats;
    StoreFloats<From, To, kOverflow>(floats, LoadGroup<From>(floats, src), dst);
  }
};

// ---- Floats that widen ------------------------------------------------------

template <class From, class To>
concept WidensFromFloats = FloatLanes<From> &&
    ((!std::integral<From> && !std::same_as<From, float> &&
      std::same_as<To, double>) ||
     (!std::same_as<From, float> && std::same_as<To, Complex64>) ||
     std::same_as<To, Complex128>);

// In one pass, because what is written is many times what is read.
template <class From, class To, Overflow kOverflow>
requires WidensFromFloats<From, To>
struct VectorBody<From, To, kOverflow> {
  using Floats = hn::ScalableTag<float>;
  using Doubles = hn::ScalableTag<double>;
  static constexpr std::size_t kLanes = hn::MaxLanes(Floats());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Floats floats;
    const Group<Floats> values = LoadGroup<From>(floats, src);
    for (std::size_t i = 0; i < kGroup; ++i) {
      std::byte* const to = dst + i * kLanes * sizeof(To);
      if constexpr (std::same_as<To, Complex64>) {
        StoreReal<std::uint32_t>(floats, values[i], to);
      } else {
        const hn::Half<Floats> half;
        StoreDoubles(hn::LowerHalf(half, values[i]), to);
        StoreDoubles(hn::UpperHalf(half, values[i]),
                     to + kLanes / 2 * sizeof(To));
      }
    }
  }

 private:
  static HWY_INLINE void StoreDoubles(hn::Vec<hn::Half<Floats>> values,
                                      std::byte* dst) {
    const Doubles doubles;
    const auto wide = hn::PromoteTo(doubles, values);
    if constexpr (std::same_as<To, double>) {
      hn::StoreU(wide, doubles, TypedPointer<double>(dst));
    } else {
      StoreReal<std::uint64_t>(doubles, wide, dst);
    }
  }
};

#endif  // vectors

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_FLOAT_VECTORS_INL_H_
