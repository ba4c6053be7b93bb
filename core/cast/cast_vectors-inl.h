// Bodies of casts in Highway's vectors, for what compilers do not make of the
// rules by themselves: the conversions of float16 that processors have, and
// 8-bit floats. They give what cast_rules.h says, bit by bit.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_CAST_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_CAST_VECTORS_INL_H_
#undef TENSORD_CORE_CAST_CAST_VECTORS_INL_H_
#else
#define TENSORD_CORE_CAST_CAST_VECTORS_INL_H_
#endif

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_rules.h"
#include "core/cast/float_rules.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

template <class T>
concept Float8 = std::same_as<T, Float8E4M3FN> || std::same_as<T, Float8E5M2>;

template <class T>
concept SmallInteger = std::integral<T> && sizeof(T) <= 2;

// A body casts kElements elements from any address to any address.
//   static void Cast(const std::byte* src, std::byte* dst);
template <class Body, class From, class To>
void RunBody(const std::byte* src, std::byte* dst, std::size_t count) {
  constexpr std::size_t kStep = Body::kElements;
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    Body::Cast(src + i * sizeof(From), dst + i * sizeof(To));
  }
  if (i == count) return;
  // The same code as for all others, so that no element is cast another way.
  alignas(64) std::byte in[kStep * sizeof(From)] = {};
  alignas(64) std::byte out[kStep * sizeof(To)];
  std::memcpy(in, src + i * sizeof(From), (count - i) * sizeof(From));
  Body::Cast(in, out);
  std::memcpy(dst + i * sizeof(To), out, (count - i) * sizeof(To));
}

// Which pairs have a body: none, where there are no vectors.
template <class From, class To, Overflow kOverflow>
struct VectorBody {
  static constexpr std::size_t kElements = 0;
};

#if TENSORD_HAS_VECTORS

template <class T, class D>
hn::Vec<hn::Rebind<T, D>> LoadLanes(D /*lanes*/, const std::byte* src) {
  return hn::LoadU(hn::Rebind<T, D>(), TypedPointer<T>(src));
}

// Stores the lowest bytes of lanes of 32 bits.
template <class T, class D>
void StoreLowest(D wide, hn::Vec<D> lanes, std::byte* dst) {
  const hn::Rebind<T, D> narrow;
#if HWY_TARGET == HWY_AVX3_DL
  // Highway 1.0.3 permutes words instead of bytes here.
  if constexpr (sizeof(T) == 1) {
    const __m512i bytes = _mm512_permutexvar_epi8(
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 16, 20, 24, 28, 32,
                                             36, 40, 44, 48, 52, 56, 60)),
        lanes.raw);
    return _mm_storeu_si128(TypedPointer<__m128i>(dst),
                            _mm512_castsi512_si128(bytes));
  }
#endif
  hn::StoreU(hn::TruncateTo(narrow, lanes), narrow, TypedPointer<T>(dst));
}

// ---- Elements as floats -----------------------------------------------------

template <std::integral From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::RebindToSigned<D> integers;
  return hn::ConvertTo(floats,
                       hn::PromoteTo(integers, LoadLanes<From>(floats, src)));
}

template <std::same_as<float> From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  return LoadLanes<float>(floats, src);
}

template <std::same_as<Float16> From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  return hn::PromoteTo(floats, LoadLanes<hwy::float16_t>(floats, src));
}

template <std::same_as<BFloat16> From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(floats, hn::ShiftLeft<16>(hn::PromoteTo(
                                 bits, LoadLanes<std::uint16_t>(floats, src))));
}

// float8_e5m2 is the upper half of float16.
template <std::same_as<Float8E5M2> From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::Rebind<std::uint16_t, D> bits;
  const auto upper = hn::ShiftLeft<8>(
      hn::PromoteTo(bits, LoadLanes<std::uint8_t>(floats, src)));
  return hn::PromoteTo(floats,
                       hn::BitCast(hn::Rebind<hwy::float16_t, D>(), upper));
}

// As float16, whose exponents have another bias.
template <std::same_as<Float8E4M3FN> From, class D>
hn::Vec<D> LoadFloats(D floats, const std::byte* src) {
  const hn::Rebind<std::uint16_t, D> bits;
  const hn::RebindToUnsigned<D> wide_bits;
  constexpr float kBiases = 0x1p8f;
  // What the code of NaN would be as a number.
  constexpr float kNaN = 480;
  const auto code = hn::PromoteTo(bits, LoadLanes<std::uint8_t>(floats, src));
  const auto half =
      hn::Or(hn::ShiftLeft<7>(hn::And(code, hn::Set(bits, 0x7f))),
             hn::ShiftLeft<8>(hn::And(code, hn::Set(bits, 0x80))));
  const auto number = hn::Mul(
      hn::PromoteTo(floats, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half)),
      hn::Set(floats, kBiases));
  const auto nan =
      hn::Or(number, hn::BitCast(floats, hn::Set(wide_bits, 0x7ff00000)));
  return hn::IfThenElse(hn::Eq(hn::Abs(number), hn::Set(floats, kNaN)), nan,
                        number);
}

// ---- Floats as elements -----------------------------------------------------

template <std::same_as<float> To, Overflow /*overflow*/, class D>
void StoreFloats(D floats, hn::Vec<D> values, std::byte* dst) {
  hn::StoreU(values, floats, TypedPointer<float>(dst));
}

template <std::same_as<Float16> To, Overflow /*overflow*/, class D>
void StoreFloats(D floats, hn::Vec<D> values, std::byte* dst) {
  const hn::RebindToUnsigned<D> bits;
  const hn::Rebind<hwy::float16_t, D> halves;
  const auto quiet = hn::BitCast(floats, hn::Set(bits, 0x7fc00000));
  const auto nan = hn::Or(quiet, hn::And(values, hn::SignBit(floats)));
  const auto canonical = hn::IfThenElse(hn::IsNaN(values), nan, values);
  hn::StoreU(hn::DemoteTo(halves, canonical), halves,
             TypedPointer<hwy::float16_t>(dst));
}

template <std::same_as<BFloat16> To, Overflow /*overflow*/, class D>
void StoreFloats(D floats, hn::Vec<D> values, std::byte* dst) {
  const hn::RebindToUnsigned<D> wide;
  const auto bits = hn::BitCast(wide, values);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(wide, 1));
  const auto rounded =
      hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(wide, 0x7fff)), odd));
  const auto nan =
      hn::Or(hn::And(upper, hn::Set(wide, 0x8000)), hn::Set(wide, 0x7fc0));
  const auto is_nan = hn::RebindMask(wide, hn::IsNaN(values));
  StoreLowest<std::uint16_t>(wide, hn::IfThenElse(is_nan, nan, rounded), dst);
}

// RoundMagnitude of float_rules.h.
template <class Format, class D>
hn::Vec<hn::RebindToUnsigned<D>> RoundMagnitudes(
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
template <Float8 To, Overflow kOverflow, class D>
void StoreFloats(D floats, hn::Vec<D> values, std::byte* dst) {
  using Format = typename cast_rules::Rule<To>::Format;
  constexpr std::uint32_t kMost =
      kOverflow == Overflow::kSaturate ? Format::kLargest : Format::kOverflow;
  constexpr std::uint32_t kNaN = 0x7f;
  const hn::RebindToUnsigned<D> bits;
  const auto magnitudes = hn::BitCast(bits, hn::Abs(values));
  auto rounded = RoundMagnitudes<Format>(
      floats, hn::Min(magnitudes, hn::Set(bits, Format::FloatBits(kMost))));
  if constexpr (kMost != kNaN) {
    rounded = hn::IfThenElse(hn::RebindMask(bits, hn::IsNaN(values)),
                             hn::Set(bits, kNaN), rounded);
  }
  const auto sign = hn::ShiftRight<24>(hn::BitCast(bits, values));
  rounded = hn::OrAnd(rounded, sign, hn::Set(bits, 0x80));
  StoreLowest<std::uint8_t>(bits, rounded, dst);
}

// The integers that floats truncate to; -2^31, or 0, where there is none.
template <class D>
hn::Vec<hn::RebindToSigned<D>> TruncateFloats(D floats, hn::Vec<D> values) {
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

template <SmallInteger To, Overflow kOverflow, class D>
void StoreFloats(D floats, hn::Vec<D> values, std::byte* dst) {
  using Limits = std::numeric_limits<To>;
  const hn::RebindToUnsigned<D> wide;
  if constexpr (kOverflow == Overflow::kSaturate) {
    const auto number = hn::IfThenElseZero(hn::Eq(values, values), values);
    values = hn::Min(
        hn::Max(number, hn::Set(floats, static_cast<float>(Limits::min()))),
        hn::Set(floats, static_cast<float>(Limits::max())));
  }
  // The lowest bits of -2^31 are 0.
  const auto truncated = hn::BitCast(wide, TruncateFloats(floats, values));
  StoreLowest<std::make_unsigned_t<To>>(wide, truncated, dst);
}

// ---- Real and complex -------------------------------------------------------

// As integers: GCC 12 may turn the interleaving of doubles with zeros into one
// that repeats the doubles.
template <>
struct VectorBody<double, Complex128, Overflow::kTorch> {
  using Parts = hn::ScalableTag<std::uint64_t>;
  static constexpr std::size_t kElements = hn::MaxLanes(Parts());

  static void Cast(const std::byte* src, std::byte* dst) {
    const Parts parts;
    hn::StoreInterleaved2(LoadLanes<std::uint64_t>(parts, src), hn::Zero(parts),
                          parts, TypedPointer<std::uint64_t>(dst));
  }
};

template <>
struct VectorBody<Complex128, double, Overflow::kTorch> {
  using Parts = hn::ScalableTag<std::uint64_t>;
  static constexpr std::size_t kElements = hn::MaxLanes(Parts());

  static void Cast(const std::byte* src, std::byte* dst) {
    const Parts parts;
    const auto lower = LoadLanes<std::uint64_t>(parts, src);
    const auto upper = LoadLanes<std::uint64_t>(parts, src + sizeof(lower));
    hn::StoreU(hn::ConcatEven(parts, upper, lower), parts,
               TypedPointer<std::uint64_t>(dst));
  }
};

// ---- Elements of one byte, by table -----------------------------------------

// A destination of one or two bytes is looked up, where processors permute
// bytes: 64 at a time.
template <class To, class From>
concept ByteTableOf = HWY_TARGET == HWY_AVX3_DL && sizeof(From) == 1 &&
                      sizeof(To) <= 2 &&
                      (Float8<From> ||
                       !std::integral<To>)&&!std::same_as<To, Bool> &&
                      !std::same_as<From, To>;

#if HWY_TARGET == HWY_AVX3_DL

using ByteVector = hn::Vec<hn::ScalableTag<std::uint8_t>>;

// What every byte becomes: the lowest bytes of all results, then the next.
template <class From, class To, Overflow kOverflow>
struct ByteTable {
  alignas(64) static constexpr auto kBytes = [] {
    std::array<std::array<std::uint8_t, 256>, sizeof(To)> bytes{};
    for (std::size_t i = 0; i < 256; ++i) {
      const From from = __builtin_bit_cast(From, static_cast<std::uint8_t>(i));
      const To to = kOverflow == Overflow::kSaturate
                        ? cast_rules::CastNearest<To>(from)
                        : cast_rules::Cast<To>(from);
      const auto parts =
          __builtin_bit_cast(std::array<std::uint8_t, sizeof(To)>, to);
      for (std::size_t j = 0; j < sizeof(To); ++j) bytes[j][i] = parts[j];
    }
    return bytes;
  }();

  static ByteVector LookUp(std::size_t part, ByteVector indices) {
    const std::uint8_t* const table = kBytes[part].data();
    const __m512i lower = _mm512_permutex2var_epi8(
        _mm512_load_si512(table), indices.raw, _mm512_load_si512(table + 64));
    const __m512i upper =
        _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), indices.raw,
                                 _mm512_load_si512(table + 192));
    return ByteVector{
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices.raw), lower, upper)};
  }
};

template <class From, ByteTableOf<From> To, Overflow kOverflow>
struct VectorBody<From, To, kOverflow> {
  using Bytes = hn::ScalableTag<std::uint8_t>;
  using Table = ByteTable<From, To, kOverflow>;
  static constexpr std::size_t kElements = hn::MaxLanes(Bytes());

  static void Cast(const std::byte* src, std::byte* dst) {
    const Bytes bytes;
    std::uint8_t* const to = TypedPointer<std::uint8_t>(dst);
    auto indices = hn::LoadU(bytes, TypedPointer<std::uint8_t>(src));
    if constexpr (sizeof(To) == 1) {
      hn::StoreU(Table::LookUp(0, indices), bytes, to);
    } else {
      // So that blocks of 16 bytes, which are interleaved by themselves, end up
      // in order.
      indices = ByteVector{_mm512_permutexvar_epi64(
          _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), indices.raw)};
      const auto low = Table::LookUp(0, indices);
      const auto high = Table::LookUp(1, indices);
      hn::StoreU(hn::InterleaveLower(bytes, low, high), bytes, to);
      hn::StoreU(hn::InterleaveUpper(bytes, low, high), bytes, to + kElements);
    }
  }
};

#endif  // HWY_AVX3_DL

// ---- Pairs that meet as floats ----------------------------------------------

template <class T>
concept FloatLanes = SmallInteger<T> || std::same_as<T, Float16> ||
    std::same_as<T, BFloat16> || std::same_as<T, float> || Float8<T>;

// Where one side needs instructions that compilers do not find in the rules.
template <class To, class From>
concept MeetsAsFloats =
    FloatLanes<From> && FloatLanes<To> && !std::same_as<From, To> &&
    !ByteTableOf<To, From> &&
    (std::same_as<From, Float16> || std::same_as<To, Float16> || Float8<From> ||
     Float8<To> || (std::same_as<From, BFloat16> && sizeof(To) == 1));

template <class From, MeetsAsFloats<From> To, Overflow kOverflow>
struct VectorBody<From, To, kOverflow> {
  using Floats = hn::ScalableTag<float>;
  static constexpr std::size_t kLanes = hn::MaxLanes(Floats());
  static constexpr std::size_t kVectors = 4;
  static constexpr std::size_t kElements = kVectors * kLanes;

  static void Cast(const std::byte* src, std::byte* dst) {
    const Floats floats;
    for (std::size_t i = 0; i < kVectors; ++i) {
      StoreFloats<To, kOverflow>(
          floats, LoadFloats<From>(floats, src + i * kLanes * sizeof(From)),
          dst + i * kLanes * sizeof(To));
    }
  }
};

#endif  // vectors

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_CAST_VECTORS_INL_H_
