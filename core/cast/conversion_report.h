// What casts did to the values of elements, for callers who ask.
//
// The numbers that source and result stand for are compared; how a result came
// about does not matter. Of each element:
// - It overflowed if it did not fit, whatever Overflow made of it: a number
//   that truncates to none of the destination's integers, infinity included; a
//   finite number that rounds beyond a float's finite ones, and infinity where
//   the result is not infinite.
// - Else it was rounded if the result is another number: rounded to a float,
//   perhaps to 0, or truncated to an integer.
// - NaN that became an integer is counted apart. NaN stays NaN in floats: its
//   bits are no value.
// - The error is |result - source| where both are finite.
// A cast to bool asks whether a value is other than 0, and changes none. Where
// only the source is complex, its imaginary part is dropped and no change.
// Where both are, an element overflowed if a part did, else was rounded if a
// part was, and its error is the modulus.
#ifndef TENSORD_CORE_CAST_CONVERSION_REPORT_H_
#define TENSORD_CORE_CAST_CONVERSION_REPORT_H_

#include <algorithm>
#include <cstdint>

namespace tensord {

// Counts of elements, each of which is in at most one.
struct ConversionReport {
  std::int64_t rounded = 0;
  std::int64_t overflowed = 0;
  std::int64_t nan_to_integer = 0;
  // 0 if no element has an error; to within a few units in the last place.
  double max_absolute_error = 0;

  // Adds what was found in other elements: the sum of the counts and the larger
  // of the errors.
  void Merge(const ConversionReport& other) {
    rounded += other.rounded;
    overflowed += other.overflowed;
    nan_to_integer += other.nan_to_integer;
    max_absolute_error = std::max(max_absolute_error, other.max_absolute_error);
  }

  friend bool operator==(const ConversionReport&,
                         const ConversionReport&) = default;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CONVERSION_REPORT_H_
