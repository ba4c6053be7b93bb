// Arrays of random elements in every kind of layout, and what a reader of them
// has to see.
#ifndef TENSORD_TESTS_CLIENT_CPP_TEST_ARRAYS_H_
#define TENSORD_TESTS_CLIENT_CPP_TEST_ARRAYS_H_

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <random>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/array.h"

namespace tensord {

using Random = std::mt19937_64;
using Bytes = std::vector<std::byte>;

// A number in [low, high].
std::int64_t Between(Random& random, std::int64_t low, std::int64_t high);

Bytes RandomBytes(Random& random, std::size_t size_bytes);

// How an array lies in its memory.
enum class Lie {
  kC,
  kF,
  kPermuted,
  // Steps over elements, forwards or backwards.
  kStepped,
  // Repeats elements with strides of 0.
  kBroadcast,
};
inline constexpr Lie kAllLies[] = {Lie::kC, Lie::kF, Lie::kPermuted,
                                   Lie::kStepped, Lie::kBroadcast};
std::ostream& operator<<(std::ostream& out, Lie lie);

// An array and the memory it refers to. Movable: the memory stays in place.
struct TestArray {
  Bytes memory;
  ArrayView view;

  // The elements one after the other in C order, little-endian.
  Bytes Packed() const;
};

// Random elements (bools are 0 or 1).
TestArray MakeArray(Random& random, DType dtype, Dims shape, Lie lie,
                    ByteOrder byte_order = ByteOrder::kLittle);

// A shape of up to `max_dimensions` dimensions and `max_elements` elements,
// with dimensions of 0 and 1 now and then.
Dims RandomShape(Random& random, int max_dimensions, std::int64_t max_elements);

// The elements of a read result one after the other in C order.
Bytes Packed(const ArrayLayout& layout, const std::byte* data);

}  // namespace tensord

#endif  // TENSORD_TESTS_CLIENT_CPP_TEST_ARRAYS_H_
