// What bodies of casts are written in: elements loaded into Highway's vectors,
// lanes stored as narrower elements, and the loop around a body. Bodies are for
// what compilers do not make of the rules by themselves, and give what
// cast_rules.h says, bit by bit.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_VECTOR_BODY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_VECTOR_BODY_INL_H_
#undef TENSORD_CORE_CAST_VECTOR_BODY_INL_H_
#else
#define TENSORD_CORE_CAST_VECTOR_BODY_INL_H_
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
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
  if (i > 0 && src != dst) {
    // Some twice rather than fewer by another way.
    const std::size_t last = count - kStep;
    return Body::Cast(src + last * sizeof(From), dst + last * sizeof(To));
  }
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
HWY_INLINE hn::Vec<hn::Rebind<T, D>> LoadLanes(D /*lanes*/,
                                               const std::byte* src) {
  return hn::LoadU(hn::Rebind<T, D>(), TypedPointer<T>(src));
}

// Lanes of 32 bits are cast by several vectors at a time: what is narrower
// comes together to whole vectors.
inline constexpr std::size_t kGroup = 4;

// Not std::array: what is not declared here is compiled without the target's
// instructions, constructors included.
template <class D>
struct Group {
  using Vector = hn::Vec<D>;
  Vector vectors[kGroup];

  HWY_INLINE Group() {}
  HWY_INLINE Vector& operator[](std::size_t i) { return vectors[i]; }
  HWY_INLINE const Vector& operator[](std::size_t i) const {
    return vectors[i];
  }
  HWY_INLINE Vector* begin() { return vectors; }
  HWY_INLINE Vector* end() { return vectors + kGroup; }
  HWY_INLINE const Vector* begin() const { return vectors; }
  HWY_INLINE const Vector* end() const { return vectors + kGroup; }
};

// Stores the lowest bytes of lanes of 32 bits.
template <class T, class D>
HWY_INLINE void StoreLowest(D wide, hn::Vec<D> lanes, std::byte* dst) {
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

// The same of a group; `kNoisy` says whether other bytes may be set.
#if HWY_TARGET == HWY_AVX2

// Packing saturates, and works on halves of vectors, which are put in order
// once everything is packed.
template <class T, bool kNoisy, class D>
HWY_INLINE void StoreLowest(D wide, Group<D> lanes, std::byte* dst) {
  if constexpr (kNoisy) {
    const auto mask = hn::Set(wide, sizeof(T) == 1 ? 0xff : 0xffff);
    for (auto& vector : lanes) vector = hn::And(vector, mask);
  }
  const __m256i first = _mm256_packus_epi32(lanes[0].raw, lanes[1].raw);
  const __m256i second = _mm256_packus_epi32(lanes[2].raw, lanes[3].raw);
  __m256i* const to = TypedPointer<__m256i>(dst);
  if constexpr (sizeof(T) == 1) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(to, _mm256_permutevar8x32_epi32(
                                _mm256_packus_epi16(first, second), order));
  } else {
    constexpr int kOrder = 0xd8;
    _mm256_storeu_si256(to, _mm256_permute4x64_epi64(first, kOrder));
    _mm256_storeu_si256(to + 1, _mm256_permute4x64_epi64(second, kOrder));
  }
}

#else

template <class T, bool kNoisy, class D>
HWY_INLINE void StoreLowest(D wide, const Group<D>& lanes, std::byte* dst) {
  for (const auto& vector : lanes) {
    StoreLowest<T>(wide, vector, dst);
    dst += hn::MaxLanes(wide) * sizeof(T);
  }
}

#endif  // HWY_AVX2

// Stores the lowest bytes of lanes of 32 bits as elements.
template <class To, bool kNoisy, class D>
HWY_INLINE void StoreGroup(D lanes, const Group<D>& elements, std::byte* dst) {
  if constexpr (sizeof(To) == sizeof(std::uint32_t)) {
    for (std::size_t i = 0; i < kGroup; ++i) {
      hn::StoreU(elements[i], lanes,
                 TypedPointer<hn::TFromD<D>>(dst) + i * hn::MaxLanes(lanes));
    }
  } else {
    using Lowest =
        std::conditional_t<sizeof(To) == 1, std::uint8_t, std::uint16_t>;
    StoreLowest<Lowest, kNoisy>(lanes, elements, dst);
  }
}

// Stores complex numbers whose imaginary parts are 0. As integers: GCC 12 may
// turn the interleaving of doubles with zeros into one that repeats the
// doubles.
template <class Bits, class D>
HWY_INLINE void StoreReal(D parts, hn::Vec<D> values, std::byte* dst) {
  const hn::Rebind<Bits, D> bits;
  hn::StoreInterleaved2(hn::BitCast(bits, values), hn::Zero(bits), bits,
                        TypedPointer<Bits>(dst));
}

#endif  // vectors

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_VECTOR_BODY_INL_H_
