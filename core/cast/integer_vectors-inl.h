// Casts of integers that compilers do not do well on AVX2: those that widen or
// saturate.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_INTEGER_VECTORS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_INTEGER_VECTORS_INL_H_
#undef TENSORD_CORE_CAST_INTEGER_VECTORS_INL_H_
#else
#define TENSORD_CORE_CAST_INTEGER_VECTORS_INL_H_
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_rules.h"
#include "core/cast/vector_body-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX2

// ---- Integers that widen
// -----------------------------------------------------

template <class From, class To>
concept WidensIntegers = std::integral<From> && sizeof(From) < sizeof(To) &&
                         sizeof(To) >= 4 &&
                         (std::integral<To> ||
                          (std::same_as<To, double> && SmallInteger<From>));

template <class From, class To>
requires WidensIntegers<From, To>
struct VectorBody<From, To, Overflow::kTorch> {
  using Results = hn::ScalableTag<To>;
  static constexpr std::size_t kLanes = hn::MaxLanes(Results());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    for (std::size_t i = 0; i < kGroup; ++i) {
      Store(LoadLanes<From>(Results(), src + i * kLanes * sizeof(From)),
            dst + i * kLanes * sizeof(To));
    }
  }

 private:
  using Middle = hn::Rebind<std::int32_t, Results>;

  static HWY_INLINE void Store(hn::Vec<hn::Rebind<From, Results>> narrow,
                               std::byte* dst) {
    if constexpr (std::integral<To>) {
      // Extended by the sign of what is widened, whatever the result's.
      using Result =
          std::conditional_t<std::is_signed_v<From>, std::make_signed_t<To>,
                             std::make_unsigned_t<To>>;
      const hn::Rebind<Result, Results> results;
      if constexpr (sizeof(To) == 8 && sizeof(From) < 4) {
        const hn::Rebind<std::conditional_t<std::is_signed_v<From>,
                                            std::int32_t, std::uint32_t>,
                         Results>
            middle;
        hn::StoreU(hn::PromoteTo(results, hn::PromoteTo(middle, narrow)),
                   results, TypedPointer<Result>(dst));
      } else {
        hn::StoreU(hn::PromoteTo(results, narrow), results,
                   TypedPointer<Result>(dst));
      }
    } else {
      hn::StoreU(hn::PromoteTo(Results(), hn::PromoteTo(Middle(), narrow)),
                 Results(), TypedPointer<To>(dst));
    }
  }
};

// ---- Wide integers that saturate --------------------------------------------

// IntegerToNearestInteger of cast_rules.h, of a vector of From.
template <class From, class To, class D>
HWY_INLINE hn::Vec<D> ClampIntegers(D lanes, hn::Vec<D> values) {
  using Limits = cast_rules::IntegerLimits<To, From>;
  if constexpr (Limits::kBoundedBelow) {
    values = hn::Max(
        values, hn::Set(lanes, static_cast<From>(cast_rules::kLowest<To>)));
  }
  if constexpr (Limits::kBoundedAbove) {
    values = hn::Min(
        values, hn::Set(lanes, static_cast<From>(cast_rules::kHighest<To>)));
  }
  return values;
}

template <class From, class To>
concept Shrinks = std::integral<From> && std::integral<To> &&
                      sizeof(From) >= 4 &&
                  sizeof(To) <= 4 && sizeof(From) > sizeof(To);

template <class From, class To>
requires Shrinks<From, To>
struct VectorBody<From, To, Overflow::kSaturate> {
  using Lanes = hn::ScalableTag<std::uint32_t>;
  static constexpr std::size_t kLanes = hn::MaxLanes(Lanes());
  static constexpr std::size_t kElements = kGroup * kLanes;

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    Group<Lanes> integers;
    for (std::size_t i = 0; i < kGroup; ++i) {
      integers[i] = Clamp(src + i * kLanes * sizeof(From));
    }
    StoreGroup<To, /*kNoisy=*/true>(Lanes(), integers, dst);
  }

 private:
  static HWY_INLINE hn::Vec<Lanes> Clamp(const std::byte* src) {
    const hn::ScalableTag<From> lanes;
    const From* const from = TypedPointer<From>(src);
    const auto first = ClampIntegers<From, To>(lanes, hn::LoadU(lanes, from));
    if constexpr (sizeof(From) == 4) {
      return hn::BitCast(Lanes(), first);
    } else {
      const auto second = ClampIntegers<From, To>(
          lanes, hn::LoadU(lanes, from + hn::MaxLanes(lanes)));
      return hn::ConcatEven(Lanes(), hn::BitCast(Lanes(), second),
                            hn::BitCast(Lanes(), first));
    }
  }
};

#endif  // HWY_AVX2

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_INTEGER_VECTORS_INL_H_
