// Casts between any two dtypes: packed, strided and streamed.
//
// PyTorch's rules for every pair, stated once in cast_rules.h. Every path gives
// the same bits for the same value, whatever its position. Functions;
// thread-safe on distinct destinations. Pointers need no alignment. Bool
// sources of any byte value but 0 are true.
#ifndef TENSORD_CORE_CAST_CAST_H_
#define TENSORD_CORE_CAST_CAST_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/cast/overflow.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace tensord {

// What did not fit, in a cast under Overflow::kError.
struct CastFailures {
  std::uint64_t count = 0;
  // Position of the first, in the order of elements of the source; and its
  // value, as Python prints it.
  std::uint64_t first_index = 0;
  std::string first_value;

  // Adds what was found in other elements, whose positions count from
  // `index_offset`. In any order.
  void Merge(const CastFailures& other, std::uint64_t index_offset);
};

// OK if nothing failed, else OUT_OF_RANGE (CAST_VALUE_OUT_OF_RANGE) with index,
// value and count, in the message and as the metadata `firstIndex`,
// `firstValue`, `count`.
absl::Status CastFailuresStatus(const CastFailures& failures, DType from,
                                DType to);

// Casts `count` packed elements in native byte order. `failures` is replaced
// under Overflow::kError, and otherwise not touched and may be null. `src` and
// `dst` may be the same address if the item sizes are equal; otherwise they
// must not overlap.
void CastPacked(DType from, const std::byte* src, DType to, std::byte* dst,
                std::size_t count, Overflow overflow, CastFailures* failures);

// Copies `count` packed elements with the bytes of each reversed (complex: of
// each part). In place is allowed.
void SwapBytes(DType dtype, const std::byte* src, std::byte* dst,
               std::size_t count);

// Casts elements [begin, begin + count) of a layout, counted in C order, to
// packed elements. `base` is the address of the storage, to which layout.offset
// is relative. `failures` as for CastPacked; indices count from `begin`.
// REQUIRES: begin + count is at most the number of elements.
void CastStrided(DType from, const std::byte* base, const Layout& layout,
                 std::int64_t begin, std::int64_t count, DType to,
                 ByteOrder to_order, std::byte* dst, Overflow overflow,
                 CastFailures* failures);

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CAST_H_
