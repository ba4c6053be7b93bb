// The C++ types that hold one element of each dtype, and the one list that
// tables are stamped from.
//
// Float16, BFloat16 and the 8-bit floats are bits without arithmetic:
// cast/cast_rules.h says what their values are. Complex numbers are two parts
// without arithmetic, laid out as std::complex; std::complex itself has no
// device functions.
#ifndef TENSORD_CORE_SCALAR_TYPES_H_
#define TENSORD_CORE_SCALAR_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

namespace tensord {

// IEEE 754 binary16.
struct Float16 {
  std::uint16_t bits;
};
// The upper half of a binary32.
struct BFloat16 {
  std::uint16_t bits;
};
// OCP OFP8 E4M3: no infinities, NaN is 0x7f and 0xff.
struct Float8E4M3FN {
  std::uint8_t bits;
};
// OCP OFP8 E5M2: infinities and NaNs as in IEEE 754.
struct Float8E5M2 {
  std::uint8_t bits;
};
// A bool as it lies in memory: bytes other than 0 and 1 arrive from clients and
// mean true.
struct Bool {
  std::uint8_t bits;
};
struct Complex64 {
  float real;
  float imag;
};
struct Complex128 {
  double real;
  double imag;
};

template <class... T>
struct TypeList {
  static constexpr std::size_t kSize = sizeof...(T);
};

// One type per DType, in its order. Adding a dtype starts here and in dtype.h.
using ScalarTypes =
    TypeList<Bool, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t,
             std::int8_t, std::int16_t, std::int32_t, std::int64_t, Float16,
             BFloat16, float, double, Complex64, Complex128, Float8E4M3FN,
             Float8E5M2>;
static_assert(ScalarTypes::kSize == kDTypeCount);

template <class T, class List>
struct IndexIn;
template <class T, class... Rest>
struct IndexIn<T, TypeList<T, Rest...>>
    : std::integral_constant<std::size_t, 0> {};
template <class T, class First, class... Rest>
struct IndexIn<T, TypeList<First, Rest...>>
    : std::integral_constant<std::size_t,
                             1 + IndexIn<T, TypeList<Rest...>>::value> {};

// The dtype that T holds.
template <class T>
inline constexpr DType kDTypeOf =
    static_cast<DType>(IndexIn<T, ScalarTypes>::value);

static_assert(kDTypeOf<Bool> == DType::kBool);
static_assert(kDTypeOf<std::int64_t> == DType::kInt64);
static_assert(kDTypeOf<float> == DType::kFloat32);
static_assert(kDTypeOf<Complex128> == DType::kComplex128);
static_assert(kDTypeOf<Float8E5M2> == DType::kFloat8E5M2);

}  // namespace tensord

#endif  // TENSORD_CORE_SCALAR_TYPES_H_
