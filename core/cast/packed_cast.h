// Casts of packed elements with what may have to happen around a loop of
// cast_table.h: byte swaps, a search for what does not fit, and stores that
// pass the caches by.
#ifndef TENSORD_CORE_CAST_PACKED_CAST_H_
#define TENSORD_CORE_CAST_PACKED_CAST_H_

#include <cstddef>

#include "core/cast/cast.h"
#include "core/cast/cast_table.h"
#include "core/dtype.h"

namespace tensord {

// Results of this many bytes in all are better stored past the caches: they
// would not stay there, and a line that is written whole need not be read
// first.
inline constexpr std::size_t kMinStreamedBytes = std::size_t{4} << 20;

// Orders streamed stores before what the thread does next.
void FinishStreaming();

// One kind of cast. Immutable; thread-safe on distinct destinations.
class PackedCast {
 public:
  PackedCast(DType from, ByteOrder from_order, DType to, ByteOrder to_order,
             Overflow overflow);

  // Casts `count` elements. `src` and `dst` may be the same address if the item
  // sizes are equal and `streamed` is false; otherwise they must not overlap.
  // `streamed` asks for stores that pass the caches by, where that is possible;
  // the caller orders them with FinishStreaming. `failures` is replaced under
  // Overflow::kError, and otherwise not touched and may be null.
  void Run(const std::byte* src, std::byte* dst, std::size_t count,
           bool streamed, CastFailures* failures) const;

  // Whether elements keep their bytes.
  bool copies() const { return copies_; }

 private:
  // Casts elements of which a block has room.
  void CastBlock(const std::byte* src, std::byte* dst, std::size_t count,
                 CastFailures* failures) const;
  void AddMisfits(const std::byte* src, std::size_t count,
                  CastFailures* failures) const;
  // One block after the other.
  void RunCached(const std::byte* src, std::byte* dst, std::size_t count,
                 CastFailures* failures) const;
  // REQUIRES: nothing has to be counted, and `dst` is aligned to an element.
  void RunStreamed(const std::byte* src, std::byte* dst,
                   std::size_t count) const;
  // How many elements a streamed cast makes lines of at a time.
  std::size_t VisitElements() const;

  DType from_;
  std::size_t from_size_;
  std::size_t to_size_;
  CastLoop loop_;
  // Null where nothing has to be counted.
  MisfitLoop count_misfits_ = nullptr;
  // Null where bytes are in order, and the units of an element.
  SwapLoop swap_source_ = nullptr;
  std::size_t source_units_ = 1;
  SwapLoop swap_result_ = nullptr;
  std::size_t result_units_ = 1;
  StreamLoop stream_lines_;
  bool reports_;
  bool copies_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_PACKED_CAST_H_
