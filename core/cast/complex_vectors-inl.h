// Casts between double and complex128 in vectors.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_COMPLEX_VECTORS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_COMPLEX_VECTORS_INL_H_
#undef TENSORD_CORE_CAST_COMPLEX_VECTORS_INL_H_
#else
#define TENSORD_CORE_CAST_COMPLEX_VECTORS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/vector_body-inl.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

#if TENSORD_HAS_VECTORS

template <>
struct VectorBody<double, Complex128, Overflow::kTorch> {
  using Parts = hn::ScalableTag<std::uint64_t>;
  static constexpr std::size_t kElements = hn::MaxLanes(Parts());

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Parts parts;
    StoreReal<std::uint64_t>(parts, LoadLanes<std::uint64_t>(parts, src), dst);
  }
};

template <>
struct VectorBody<Complex128, double, Overflow::kTorch> {
  using Parts = hn::ScalableTag<std::uint64_t>;
  static constexpr std::size_t kElements = hn::MaxLanes(Parts());

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Parts parts;
    const auto lower = LoadLanes<std::uint64_t>(parts, src);
    const auto upper = LoadLanes<std::uint64_t>(parts, src + sizeof(lower));
    hn::StoreU(hn::ConcatEven(parts, upper, lower), parts,
               TypedPointer<std::uint64_t>(dst));
  }
};

#endif  // vectors

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_COMPLEX_VECTORS_INL_H_
