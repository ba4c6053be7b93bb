// The loops of all casts, one entry per pair of dtypes, once per instruction
// set. Thread-safe, but for ScopedCastTable.
#ifndef TENSORD_CORE_CAST_CAST_TABLE_H_
#define TENSORD_CORE_CAST_CAST_TABLE_H_

#include <array>
#include <bit>
#include <cstddef>
#include <string_view>

#include "absl/types/span.h"
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

// Copies `count` units with the bytes of each reversed. `src` and `dst` may be
// the same address.
using SwapLoop = CastLoop;

// Packs `count` elements that lie `stride` elements apart.
using GatherLoop = void (*)(const std::byte* src, std::ptrdiff_t stride,
                            std::size_t count, std::byte* dst);

// Makes `rows` rows of `columns` packed elements, `dst_stride` elements apart,
// of columns whose elements are packed and that lie `src_stride` elements
// apart.
using TransposeLoop = void (*)(const std::byte* src, std::ptrdiff_t src_stride,
                               std::size_t rows, std::size_t columns,
                               std::byte* dst, std::ptrdiff_t dst_stride);

// Copies lines of 64 bytes past the caches, where the processor can. REQUIRES:
// both addresses are aligned to lines, and `bytes` is a multiple.
using StreamLoop = void (*)(const std::byte* src, std::byte* dst,
                            std::size_t bytes);

// Loops that do not depend on what elements mean; by the binary logarithm of
// their size in bytes. None overlaps its source but SwapLoop.
struct LayoutLoops {
  // Of the loops for a size.
  static constexpr std::size_t Index(std::size_t size) {
    return static_cast<std::size_t>(std::countr_zero(size));
  }

  std::array<SwapLoop, 4> swap;
  std::array<GatherLoop, 5> gather;
  std::array<TransposeLoop, 5> transpose;
  StreamLoop stream_lines;
};

struct CastTable {
  // The instruction set: "baseline" runs wherever the program does.
  std::string_view target;
  // By source, then destination.
  std::array<std::array<CastEntry, kDTypeCount>, kDTypeCount> entries;
  LayoutLoops layout;

  const CastEntry& Find(DType from, DType to) const {
    return entries[static_cast<std::size_t>(from)]
                  [static_cast<std::size_t>(to)];
  }
};

// The tables that this machine can run, best first. All give the same bits.
absl::Span<const CastTable* const> RunnableCastTables();

// The table that every cast uses: the best, unless a ScopedCastTable says
// otherwise.
const CastTable& ActiveCastTable();

// Lets every cast of the process use `table` while it lives. For tests and
// benchmarks: others must not cast when it comes or goes.
class ScopedCastTable {
 public:
  explicit ScopedCastTable(const CastTable& table);
  ~ScopedCastTable();
  ScopedCastTable(const ScopedCastTable&) = delete;
  ScopedCastTable& operator=(const ScopedCastTable&) = delete;

 private:
  const CastTable* previous_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CAST_TABLE_H_
