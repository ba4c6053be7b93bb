#include "core/cast/element_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/cast/cast_rules.h"
#include "core/dtype.h"
#include "core/scalar_types.h"

namespace tensord {
namespace {

// The shortest decimal that reads back as the same double: 0.d1d2d3... times
// ten to the `point`.
struct Decimal {
  std::string digits;
  int point = 0;
};

Decimal ShortestDecimal(double magnitude) {
  std::array<char, 32> text;
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), magnitude,
                    std::chars_format::scientific);
  const std::string_view written(text.data(),
                                 static_cast<std::size_t>(end - text.data()));
  const std::size_t e = written.find('e');
  Decimal decimal;
  for (const char c : written.substr(0, e)) {
    if (c != '.') decimal.digits.push_back(c);
  }
  // from_chars takes no plus.
  const bool negative = written[e + 1] == '-';
  int exponent = 0;
  std::from_chars(text.data() + e + 2, end, exponent);
  decimal.point = (negative ? -exponent : exponent) + 1;
  return decimal;
}

std::string ExponentText(const Decimal& decimal) {
  std::string text = decimal.digits.substr(0, 1);
  if (decimal.digits.size() > 1) {
    absl::StrAppend(&text, ".", decimal.digits.substr(1));
  }
  const int exponent = decimal.point - 1;
  absl::StrAppend(&text, exponent < 0 ? "e-" : "e+",
                  absl::Dec(std::abs(exponent), absl::kZeroPad2));
  return text;
}

std::string MagnitudeText(double magnitude, const char* whole_suffix) {
  if (std::isnan(magnitude)) return "nan";
  if (std::isinf(magnitude)) return "inf";
  const Decimal decimal = ShortestDecimal(magnitude);
  const int size = static_cast<int>(decimal.digits.size());
  // Python's limits for plain notation.
  if (decimal.point < -3 || decimal.point > 16) return ExponentText(decimal);
  if (decimal.point <= 0) {
    return absl::StrCat(
        "0.", std::string(static_cast<std::size_t>(-decimal.point), '0'),
        decimal.digits);
  }
  if (decimal.point >= size) {
    return absl::StrCat(
        decimal.digits,
        std::string(static_cast<std::size_t>(decimal.point - size), '0'),
        whole_suffix);
  }
  const auto point = static_cast<std::size_t>(decimal.point);
  return absl::StrCat(decimal.digits.substr(0, point), ".",
                      decimal.digits.substr(point));
}

// Python prints no sign of a NaN.
bool PrintsMinus(double value) {
  return std::signbit(value) && !std::isnan(value);
}

std::string DoubleText(double value, const char* whole_suffix) {
  return absl::StrCat(PrintsMinus(value) ? "-" : "",
                      MagnitudeText(std::fabs(value), whole_suffix));
}

std::string ComplexText(double real, double imag) {
  const std::string imag_text = DoubleText(imag, "");
  if (real == 0 && !std::signbit(real)) return absl::StrCat(imag_text, "j");
  return absl::StrCat("(", DoubleText(real, ""), PrintsMinus(imag) ? "" : "+",
                      imag_text, "j)");
}

template <class T>
std::string TextOf(const std::byte* element) {
  T scalar;
  std::memcpy(&scalar, element, sizeof(T));
  const auto value = cast_rules::Rule<T>::Decode(scalar);
  if constexpr (std::same_as<T, Bool>) {
    return value != 0 ? "True" : "False";
  } else if constexpr (std::integral<T>) {
    return absl::StrCat(value);
  } else if constexpr (cast_rules::ComplexValue<T>) {
    return ComplexText(value.real, value.imag);
  } else {
    return DoubleText(value, ".0");
  }
}

template <class... T>
constexpr auto MakeTable(TypeList<T...>) {
  return std::array{&TextOf<T>...};
}
constexpr auto kTextOf = MakeTable(ScalarTypes{});

}  // namespace

std::string ElementText(DType dtype, const std::byte* element) {
  return kTextOf[static_cast<std::size_t>(dtype)](element);
}

}  // namespace tensord
