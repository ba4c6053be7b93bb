#include "core/cast/cast_table.h"

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/cast_rules.h"
#include "core/dtype.h"
#include "core/scalar_types.h"

// This file is compiled once per instruction set: those of processors with
// AVX2, with AVX-512, with AVX-512 that permutes bytes, and what every
// processor of the architecture has.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cast/cast_table.cc"
// The order of these matters.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/byte_tables-inl.h"
#include "core/cast/complex_vectors-inl.h"
#include "core/cast/float_vectors-inl.h"
#include "core/cast/integer_vectors-inl.h"
#include "core/cast/wide_vectors-inl.h"
#include "core/cast/layout_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {
namespace {

template <class T>
using PartOf = decltype(cast_rules::RealPart(T{}));

// What is quick to become a float, or to be made of one.
template <class T>
concept DecodesToFloat = std::same_as<T, Float16> || Float8<T> ||
    (HWY_TARGET == HWY_AVX2 && std::same_as<T, BFloat16>);
template <class T>
concept EncodesFromFloat = std::same_as<T, Float16> ||
    (HWY_TARGET == HWY_AVX2 && (std::same_as<T, BFloat16> || Float8<T>));

// What a cast goes through in two steps because each step is a quick loop; void
// for none. The rules allow it: the first step is exact, or it is the one to
// float that they prescribe.
template <class From, class To>
auto ThroughType() {
  constexpr bool kFromComplex = cast_rules::ComplexValue<From>;
  constexpr bool kToComplex = cast_rules::ComplexValue<To>;
  if constexpr (kFromComplex && !kToComplex) {
    if constexpr (!std::same_as<To, PartOf<From>>) return PartOf<From>{};
  } else if constexpr (std::same_as<From, Bool> &&
                       (!std::integral<To> ||
                        (HWY_TARGET == HWY_AVX2 && sizeof(To) >= 4))) {
    return std::uint8_t{};
  } else if constexpr (kToComplex && !kFromComplex &&
                       !std::same_as<From, PartOf<To>>) {
    return PartOf<To>{};
  } else if constexpr (DecodesToFloat<From> && !std::same_as<To, Bool> &&
                       !std::same_as<To, float>) {
    return float{};
  } else if constexpr (EncodesFromFloat<To> && !std::same_as<From, float>) {
    return float{};
  }
}
template <class From, class To>
using Through = decltype(ThroughType<From, To>());

template <class From, class To, Overflow kOverflow>
constexpr CastLoop SelectLoop();

template <class From, class To, Overflow kOverflow>
constexpr CastLoop SelectComplexLoop() {
  using Part = PartOf<From>;
  if constexpr (std::same_as<To, Bool>) {
    return &CastComplexToBool<From, SelectLoop<Part, Bool, kOverflow>(),
                              SelectLoop<std::uint16_t, Bool, kOverflow>()>;
  } else {
    return &CastParts<SelectLoop<Part, PartOf<To>, kOverflow>()>;
  }
}

template <class From, class To, Overflow kOverflow>
constexpr CastLoop SelectLoop() {
  constexpr bool kMayMisfit = cast_rules::kMayMisfit<To, From>;
  using Mid = Through<From, To>;
  if constexpr (cast_rules::kIsCopy<To, From>) {
    return &CopyElements<To>;
  } else if constexpr (kOverflow != Overflow::kTorch && !kMayMisfit) {
    return SelectLoop<From, To, Overflow::kTorch>();
  } else if constexpr (VectorBody<From, To, kOverflow>::kElements > 0) {
    return &RunBody<VectorBody<From, To, kOverflow>, From, To>;
  } else if constexpr (cast_rules::ComplexValue<From> &&
                       (cast_rules::ComplexValue<To> ||
                        std::same_as<To, Bool>)) {
    return SelectComplexLoop<From, To, kOverflow>();
  } else if constexpr (std::same_as<From, Complex64> &&
                       std::same_as<To, float>) {
    // The real part is the lower half.
    return &CastElements<std::uint64_t, std::uint32_t>;
  } else if constexpr (std::same_as<From, float> &&
                       std::same_as<To, Complex64>) {
    return &CastElements<std::uint32_t, std::uint64_t>;
  } else if constexpr (!std::is_void_v<Mid>) {
    return &CastThrough<From, Mid, To,
                        SelectLoop<From, Mid, Overflow::kTorch>(),
                        SelectLoop<Mid, To, kOverflow>()>;
  } else if constexpr (kOverflow == Overflow::kSaturate) {
    return &CastElementsNearest<From, To>;
  } else {
    return &CastElements<From, To>;
  }
}

template <class From, class To>
constexpr MisfitLoop SelectCount() {
  using Mid = Through<From, To>;
  if constexpr (!cast_rules::kMayMisfit<To, From>) {
    return nullptr;
  } else if constexpr (!std::is_void_v<Mid>) {
    return &CountThrough<From, Mid, SelectLoop<From, Mid, Overflow::kTorch>(),
                         SelectCount<Mid, To>()>;
  } else {
    return &CountMisfits<From, To>;
  }
}

template <class From, class To>
constexpr CastEntry MakeEntry() {
  static_assert(cast_rules::HasRule<From> && cast_rules::HasRule<To>,
                "a type of ScalarTypes has no Rule in cast_rules.h");
  return {SelectLoop<From, To, Overflow::kTorch>(),
          SelectLoop<From, To, Overflow::kSaturate>(), SelectCount<From, To>()};
}

template <class From, class... To>
constexpr auto MakeRow(TypeList<To...>) {
  return std::array{MakeEntry<From, To>()...};
}

template <class... From>
constexpr auto MakeTable(TypeList<From...> types) {
  return std::array{MakeRow<From>(types)...};
}

constexpr const char* TargetName() {
  switch (HWY_TARGET) {
    case HWY_STATIC_TARGET:
      return "baseline";
    case HWY_AVX2:
      return "AVX2";
    case HWY_AVX3:
      return "AVX-512";
    case HWY_AVX3_DL:
      return "AVX-512 VBMI";
    default:
      return "other";
  }
}

}  // namespace

extern const CastTable kTable;
constexpr CastTable kTable = {TargetName(), MakeTable(ScalarTypes{}),
                              kLayoutLoops};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace tensord {
namespace {

// Best first, as in Highway's numbers of targets.
std::vector<const CastTable*> FindRunnableTables() {
  std::vector<const CastTable*> tables;
  [[maybe_unused]] const auto runnable = hwy::SupportedTargets();
#if HWY_TARGETS & HWY_AVX3_DL & ~HWY_STATIC_TARGET
  if (runnable & HWY_AVX3_DL) tables.push_back(&N_AVX3_DL::kTable);
#endif
#if HWY_TARGETS & HWY_AVX3 & ~HWY_STATIC_TARGET
  if (runnable & HWY_AVX3) tables.push_back(&N_AVX3::kTable);
#endif
#if HWY_TARGETS & HWY_AVX2 & ~HWY_STATIC_TARGET
  if (runnable & HWY_AVX2) tables.push_back(&N_AVX2::kTable);
#endif
  tables.push_back(&HWY_NAMESPACE::kTable);
  return tables;
}

std::atomic<const CastTable*>& Active() {
  static std::atomic<const CastTable*> active = RunnableCastTables().front();
  return active;
}

}  // namespace

absl::Span<const CastTable* const> RunnableCastTables() {
  static const auto* const tables =
      new std::vector<const CastTable*>(FindRunnableTables());
  return *tables;
}

const CastTable& ActiveCastTable() {
  return *Active().load(std::memory_order_relaxed);
}

ScopedCastTable::ScopedCastTable(const CastTable& table)
    : previous_(Active().exchange(&table)) {}

ScopedCastTable::~ScopedCastTable() { Active().store(previous_); }

}  // namespace tensord

#endif  // HWY_ONCE
