// Endless elements of 4 to 16 bytes to cast: random bits, mixed with those that
// are hard to round or hardly fit.
#ifndef TENSORD_TESTS_CORE_CAST_CAST_PATTERNS_H_
#define TENSORD_TESTS_CORE_CAST_CAST_PATTERNS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace tensord::testing {

// A sequence of random numbers that is fast and always the same (SplitMix64).
class FastRandom {
 public:
  explicit FastRandom(std::uint64_t seed) : state_(seed) {}

  std::uint64_t operator()() {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

 private:
  std::uint64_t state_;
};

class CastPatterns {
 public:
  // REQUIRES: the parts of the dtype's elements have 4 or 8 bytes.
  CastPatterns(DType dtype, std::uint64_t seed);

  // Makes the next `count` packed elements. Half of them, many in a row, are
  // random numbers whose magnitudes have no more than some bits before the
  // point, for loops that treat several small elements together. Of the rest a
  // quarter is random bits. The others are, in random order: a number at, or
  // half way between, those of a destination, and its neighbours near and far;
  // numbers whose lower bits are about half of a place; powers of two, and
  // their neighbours; numbers of all magnitudes; and of floats, NaNs,
  // infinities, zeros and subnormals.
  void Fill(std::byte* elements, std::size_t count);

 private:
  template <class Bits>
  void FillIntegers(std::byte* elements, std::size_t count);
  template <class Float, class Bits>
  void FillFloats(std::byte* elements, std::size_t count);

  const DType dtype_;
  FastRandom random_;
  // Numbers of destinations, and those half way between.
  std::vector<double> edges_;
};

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_CAST_PATTERNS_H_
