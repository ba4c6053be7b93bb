// What casts make of values that do not fit.
#ifndef TENSORD_CORE_CAST_OVERFLOW_H_
#define TENSORD_CORE_CAST_OVERFLOW_H_

#include <cstdint>

namespace tensord {

// What becomes of values that the destination can not hold; cast_rules.h has
// the details.
enum class Overflow : std::uint8_t {
  // What PyTorch's x86-64 CPU build gives, made deterministic.
  kTorch,
  // Integers: the nearest value that fits, 0 for NaN. 8-bit floats: the largest
  // finite value, with its sign.
  kSaturate,
  // As kTorch, and what did not fit an integer or 8-bit float is reported: NaN
  // and infinity included, but where the destination has them.
  kError,
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_OVERFLOW_H_
