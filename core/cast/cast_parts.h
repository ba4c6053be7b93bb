// Casts that threads share.
#ifndef TENSORD_CORE_CAST_CAST_PARTS_H_
#define TENSORD_CORE_CAST_CAST_PARTS_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/cast/cast.h"
#include "core/parallel_for.h"

namespace tensord {

// Calls cast(begin, count, failures) for parts of `count` elements that make
// them up, about `part_count` of them, side by side. Each part has failures of
// its own, whose positions count from its beginning; they are merged into
// `failures` if there are any. Parts begin at multiples of 64 elements: whole
// lines of results that begin at a line.
void CastInParts(const ParallelFor& parallel_for, std::int64_t count,
                 std::size_t part_count,
                 absl::FunctionRef<void(std::int64_t begin, std::int64_t count,
                                        CastFailures* failures)>
                     cast,
                 CastFailures* failures);

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CAST_PARTS_H_
