// The loops of all casts, one entry per pair of dtypes. Thread-safe.
#ifndef TENSORD_CORE_CAST_CAST_TABLE_H_
#define TENSORD_CORE_CAST_CAST_TABLE_H_

#include <cstddef>

#include "core/dtype.h"

namespace tensord {

// Casts `count` packed elements in native byte order, at any alignment. `src`
// and `dst` may be the same address if the item sizes are equal; otherwise they
// must not overlap.
using CastLoop = void (*)(const std::byte* src, std::byte* dst,
                          std::size_t count);

// Counts those of `count` packed elements that do not fit the destination.
using MisfitLoop = std::size_t (*)(const std::byte* src, std::size_t count);

struct CastEntry {
  // Overflow::kTorch, also for the results of kError.
  CastLoop torch;
  // Overflow::kSaturate.
  CastLoop saturate;
  // What Overflow::kError reports. Null where every value fits.
  MisfitLoop count_misfits;
};

const CastEntry& FindCast(DType from, DType to);

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CAST_TABLE_H_
