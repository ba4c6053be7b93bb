// Loops over elements that are made of the rules of casts, for the compiler to
// vectorise: one set per instruction set, because this file is included once
// per target of Highway's.
//
// All loops here are CastLoop or MisfitLoop of cast_table.h.
#if defined(TENSORD_CORE_CAST_CAST_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_CAST_LOOPS_INL_H_
#undef TENSORD_CORE_CAST_CAST_LOOPS_INL_H_
#else
#define TENSORD_CORE_CAST_CAST_LOOPS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/cast/cast_rules.h"
#include "core/cast/cast_table.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

// Elements do not depend on each other: ranges are apart or the same.
#ifdef __clang__
#define TENSORD_INDEPENDENT_ELEMENTS \
  _Pragma("clang loop vectorize(assume_safety)")
#else
#define TENSORD_INDEPENDENT_ELEMENTS _Pragma("GCC ivdep")
#endif

// Whether the target is more than a loop over elements to Highway.
#undef TENSORD_HAS_VECTORS
#define TENSORD_HAS_VECTORS \
  (HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Highway's unaligned loads and stores take pointers to their lanes.
template <class T>
const T* TypedPointer(const std::byte* src) {
  return reinterpret_cast<const T*>(src);
}
template <class T>
T* TypedPointer(std::byte* dst) {
  return reinterpret_cast<T*>(dst);
}

template <class T>
T LoadElement(const std::byte* src, std::size_t index) {
  T element;
  std::memcpy(&element, src + index * sizeof(T), sizeof(T));
  return element;
}

template <class T>
void StoreElement(T element, std::byte* dst, std::size_t index) {
  std::memcpy(dst + index * sizeof(T), &element, sizeof(T));
}

template <class T>
void CopyElements(const std::byte* src, std::byte* dst, std::size_t count) {
  if (src != dst && count > 0) std::memcpy(dst, src, count * sizeof(T));
}

template <class From, class To>
void CastElements(const std::byte* src, std::byte* dst, std::size_t count) {
  TENSORD_INDEPENDENT_ELEMENTS
  for (std::size_t i = 0; i < count; ++i) {
    StoreElement(cast_rules::Cast<To>(LoadElement<From>(src, i)), dst, i);
  }
}

template <class From, class To>
void CastElementsNearest(const std::byte* src, std::byte* dst,
                         std::size_t count) {
  TENSORD_INDEPENDENT_ELEMENTS
  for (std::size_t i = 0; i < count; ++i) {
    StoreElement(cast_rules::CastNearest<To>(LoadElement<From>(src, i)), dst,
                 i);
  }
}

template <class From, class To>
std::size_t CountMisfits(const std::byte* src, std::size_t count) {
  std::size_t misfits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    misfits += cast_rules::Fits<To>(LoadElement<From>(src, i)) ? 0 : 1;
  }
  return misfits;
}

// ---- Casts in two steps -----------------------------------------------------

// Elements between two steps, which stay in the first-level cache.
inline constexpr std::size_t kThroughElements = 512;

// Casts From to Mid and Mid to To.
template <class From, class Mid, class To, CastLoop kFirst, CastLoop kSecond>
void CastThrough(const std::byte* src, std::byte* dst, std::size_t count) {
  alignas(64) std::byte block[kThroughElements * sizeof(Mid)];
  for (std::size_t i = 0; i < count; i += kThroughElements) {
    const std::size_t size = std::min(kThroughElements, count - i);
    kFirst(src + i * sizeof(From), block, size);
    kSecond(block, dst + i * sizeof(To), size);
  }
}

template <class From, class Mid, CastLoop kFirst, MisfitLoop kCount>
std::size_t CountThrough(const std::byte* src, std::size_t count) {
  alignas(64) std::byte block[kThroughElements * sizeof(Mid)];
  std::size_t misfits = 0;
  for (std::size_t i = 0; i < count; i += kThroughElements) {
    const std::size_t size = std::min(kThroughElements, count - i);
    kFirst(src + i * sizeof(From), block, size);
    misfits += kCount(block, size);
  }
  return misfits;
}

// ---- Complex numbers as their parts -----------------------------------------

// A complex number is true if the two bytes that say whether its parts are true
// make an integer that is.
template <class From, CastLoop kPartsToBool, CastLoop kUInt16ToBool>
void CastComplexToBool(const std::byte* src, std::byte* dst,
                       std::size_t count) {
  alignas(64) std::byte block[kThroughElements * 2];
  for (std::size_t i = 0; i < count; i += kThroughElements) {
    const std::size_t size = std::min(kThroughElements, count - i);
    kPartsToBool(src + i * sizeof(From), block, 2 * size);
    kUInt16ToBool(block, dst + i, size);
  }
}

// Casts both parts of every number.
template <CastLoop kParts>
void CastParts(const std::byte* src, std::byte* dst, std::size_t count) {
  kParts(src, dst, 2 * count);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_CAST_LOOPS_INL_H_
