#include <array>
#include <cstddef>
#include <cstring>

// By the same names the linker would take what another compiler made of them,
// which is why the loops below are not those of cast_loops-inl.h either.
#define cast_rules cast_rules_of_nvcc
#include "core/cast/cast_rules.h"
#include "core/scalar_types.h"
#include "tests/core/cast/nvcc_table.h"

namespace tensord::testing {
namespace {

template <class T>
T LoadElement(const std::byte* src, std::size_t index) {
  T element;
  std::memcpy(&element, src + index * sizeof(T), sizeof(T));
  return element;
}

template <class From, class To>
void Cast(const std::byte* src, std::byte* dst, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const To result = cast_rules::Cast<To>(LoadElement<From>(src, i));
    std::memcpy(dst + i * sizeof(To), &result, sizeof(To));
  }
}

template <class From, class To>
void CastNearest(const std::byte* src, std::byte* dst, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const To result = cast_rules::CastNearest<To>(LoadElement<From>(src, i));
    std::memcpy(dst + i * sizeof(To), &result, sizeof(To));
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

template <class From, class To>
CastEntry Entry() {
  return {&Cast<From, To>, &CastNearest<From, To>,
          cast_rules::kMayMisfit<To, From> ? &CountMisfits<From, To> : nullptr};
}

template <class From, class... To>
std::array<CastEntry, kDTypeCount> Row(TypeList<To...>) {
  return {Entry<From, To>()...};
}

template <class... From>
CastTable Table(TypeList<From...> types) {
  // What does not depend on the rules is anybody's.
  return {"nvcc", {Row<From>(types)...}, RunnableCastTables().back()->layout};
}

}  // namespace

const CastTable& NvccCastTable() {
  static const CastTable table = Table(ScalarTypes{});
  return table;
}

}  // namespace tensord::testing
