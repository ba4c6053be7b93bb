// What a cast of one element has to give, found another way than the code under
// test does: elements become exact numbers, and a float is the nearest among
// all numbers that its format has.
#ifndef TENSORD_TESTS_CORE_CAST_CAST_ORACLE_H_
#define TENSORD_TESTS_CORE_CAST_CAST_ORACLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/dtype.h"

namespace tensord::testing {

// A real number, infinity or NaN.
struct Number {
  // Exact: long double holds every integer of 64 bits and every double.
  long double value = 0;
  bool is_nan = false;
  // Of NaN, whose value is 0.
  bool nan_negative = false;
  // The mantissa field of NaN, moved up to the 52 bits of a double's.
  std::uint64_t nan_payload = 0;
};

// An element as exact numbers.
struct Element {
  Number real;
  Number imag;
  // The source itself, and its dtype.
  DType dtype;
  std::array<std::byte, 16> bytes{};
};

Element DecodeElement(DType dtype, const std::byte* bytes);

// The verdict on one element for one destination.
struct ExpectedCast {
  std::array<std::byte, 16> torch{};
  std::array<std::byte, 16> saturate{};
  bool fits = true;
};

ExpectedCast ExpectCast(const Element& element, DType to);

// Bytes as the number that they are: the highest first.
std::string Hex(const std::byte* bytes, std::size_t size);

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_CAST_ORACLE_H_
