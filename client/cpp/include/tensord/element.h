// Which dtype the elements of a C++ type are, known when a program is compiled.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ELEMENT_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ELEMENT_H_

#include <complex>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "core/dtype.h"
#include "core/scalar_types.h"
#if defined(__STDCPP_BFLOAT16_T__)
#include <stdfloat>
#endif

// What a compiler says of std::vector<bool>.
#define TENSORD_NO_BOOLS                                                     \
  "tensord: std::vector<bool> has no memory of bools: use a std::vector of " \
  "std::uint8_t, or an array of bool"

namespace tensord {

namespace internal {

template <class T, class List>
inline constexpr bool kIsIn = false;
template <class T, class... Types>
inline constexpr bool kIsIn<T, TypeList<Types...>> = (std::same_as<T, Types> ||
                                                      ...);

// Characters are text.
template <class T>
concept Integer = std::integral<T> &&
    !kIsIn<T, TypeList<bool, char, wchar_t, char8_t, char16_t, char32_t>>;

// Of integers of 1, 2, 4 or 8 bytes.
constexpr DType IntegerDType(std::size_t size_bytes, bool is_signed) {
  constexpr DType kUnsigned[] = {DType::kUInt8, DType::kUInt16, DType::kUInt32,
                                 DType::kUInt64};
  constexpr DType kSigned[] = {DType::kInt8, DType::kInt16, DType::kInt32,
                               DType::kInt64};
  std::size_t i = 0;
  while (size_bytes > std::size_t{1} << i) ++i;
  return is_signed ? kSigned[i] : kUnsigned[i];
}

}  // namespace internal

// A dtype for ElementTraits.
template <DType dtype>
struct HasDType {
  static constexpr DType kDType = dtype;
};

// The dtype of the elements that are a T: bool, integers, float, double,
// std::complex of these, std::byte (uint8), and Float16, BFloat16, Float8E4M3FN
// and Float8E5M2 of tensord, which carry the bits of types that C++ has not
// everywhere. Also _Float16, std::float16_t and std::bfloat16_t where the
// compiler has them. To be specialised for other types with the bits of one:
//
//   template <>
//   struct tensord::ElementTraits<my::Half>
//       : tensord::HasDType<tensord::DType::kFloat16> {};
template <class T>
struct ElementTraits {};

template <internal::Integer T>
requires(sizeof(T) <= 8 &&
         !internal::kIsIn<T, ScalarTypes>) struct ElementTraits<T>
    : HasDType<internal::IntegerDType(sizeof(T), std::is_signed_v<T>)> {
};
template <class T>
requires internal::kIsIn<T, ScalarTypes>
struct ElementTraits<T> : HasDType<kDTypeOf<T>> {
};
template <>
struct ElementTraits<bool> : HasDType<DType::kBool> {};
template <>
struct ElementTraits<std::byte> : HasDType<DType::kUInt8> {};
template <>
struct ElementTraits<std::complex<float>> : HasDType<DType::kComplex64> {};
template <>
struct ElementTraits<std::complex<double>> : HasDType<DType::kComplex128> {};
#if defined(__FLT16_MANT_DIG__) && (defined(__clang__) || __GNUC__ >= 13)
template <>
struct ElementTraits<_Float16> : HasDType<DType::kFloat16> {};
#endif
#if defined(__STDCPP_BFLOAT16_T__)
template <>
struct ElementTraits<std::bfloat16_t> : HasDType<DType::kBFloat16> {};
#endif

// A type whose objects are elements of arrays.
template <class T>
concept Element = requires {
  { ElementTraits<std::remove_cv_t<T>>::kDType } -> std::convertible_to<DType>;
};

namespace internal {

// ElementTraits<T>::kDType, or a compiler's error that can be read.
template <class T>
constexpr DType DTypeOfElement() {
  static_assert(
      Element<T>,
      "tensord: this C++ type is no dtype. Elements are bool, integers of 8 to "
      "64 bits (no characters), float, double, std::complex of these, and "
      "tensord::Float16, BFloat16, Float8E4M3FN, Float8E5M2; for another type "
      "with the bits of one of these, specialise tensord::ElementTraits");
  if constexpr (Element<T>) {
    return ElementTraits<std::remove_cv_t<T>>::kDType;
  } else {
    return DType::kUInt8;
  }
}

}  // namespace internal

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ELEMENT_H_
