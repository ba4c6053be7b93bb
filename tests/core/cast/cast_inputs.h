// Elements to cast: every one of the small dtypes, and of the large ones those
// at the edges of every destination, and random ones.
#ifndef TENSORD_TESTS_CORE_CAST_CAST_INPUTS_H_
#define TENSORD_TESTS_CORE_CAST_CAST_INPUTS_H_

#include <cstddef>
#include <vector>

#include "core/dtype.h"

namespace tensord::testing {

// Packed elements. All 2^8 or 2^16 for dtypes of 1 or 2 bytes, else the edges
// and about `random_count` random ones, always the same.
std::vector<std::byte> CastInputs(DType dtype, std::size_t random_count);

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_CAST_INPUTS_H_
