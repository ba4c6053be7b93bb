#include "core/cast/cast_table.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "core/cast/cast_rules.h"
#include "core/dtype.h"
#include "core/scalar_types.h"

namespace tensord {
namespace {

template <class T>
T Load(const std::byte* src, std::size_t index) {
  T element;
  std::memcpy(&element, src + index * sizeof(T), sizeof(T));
  return element;
}

template <class T>
void Store(T element, std::byte* dst, std::size_t index) {
  std::memcpy(dst + index * sizeof(T), &element, sizeof(T));
}

template <class T>
void CopyElements(const std::byte* src, std::byte* dst, std::size_t count) {
  if (src != dst && count > 0) std::memcpy(dst, src, count * sizeof(T));
}

template <class From, class To>
void CastElements(const std::byte* src, std::byte* dst, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Store(cast_rules::Cast<To>(Load<From>(src, i)), dst, i);
  }
}

template <class From, class To>
void CastElementsNearest(const std::byte* src, std::byte* dst,
                         std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Store(cast_rules::CastNearest<To>(Load<From>(src, i)), dst, i);
  }
}

template <class From, class To>
std::size_t CountMisfits(const std::byte* src, std::size_t count) {
  std::size_t misfits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    misfits += cast_rules::Fits<To>(Load<From>(src, i)) ? 0 : 1;
  }
  return misfits;
}

template <class From, class To>
constexpr CastEntry MakeEntry() {
  static_assert(cast_rules::HasRule<From> && cast_rules::HasRule<To>,
                "a type of ScalarTypes has no Rule in cast_rules.h");
  if constexpr (cast_rules::kIsCopy<To, From>) {
    return {&CopyElements<To>, &CopyElements<To>, nullptr};
  } else if constexpr (cast_rules::kMayMisfit<To, From>) {
    return {&CastElements<From, To>, &CastElementsNearest<From, To>,
            &CountMisfits<From, To>};
  } else {
    return {&CastElements<From, To>, &CastElements<From, To>, nullptr};
  }
}

template <class From, class... To>
constexpr auto MakeRow(TypeList<To...>) {
  return std::array{MakeEntry<From, To>()...};
}

template <class... From>
constexpr auto MakeTable(TypeList<From...> types) {
  return std::array{MakeRow<From>(types)...};
}

constexpr CastTable kBaseline = {"baseline", MakeTable(ScalarTypes{})};

std::atomic<const CastTable*>& Active() {
  static std::atomic<const CastTable*> active = RunnableCastTables().front();
  return active;
}

}  // namespace

absl::Span<const CastTable* const> RunnableCastTables() {
  static const auto* const tables =
      new std::vector<const CastTable*>{&kBaseline};
  return *tables;
}

const CastTable& ActiveCastTable() {
  return *Active().load(std::memory_order_relaxed);
}

ScopedCastTable::ScopedCastTable(const CastTable& table)
    : previous_(Active().exchange(&table)) {}

ScopedCastTable::~ScopedCastTable() { Active().store(previous_); }

}  // namespace tensord
