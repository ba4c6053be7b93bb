// Finds out what casts did to the values of elements; conversion_report.h says
// what is counted.
#ifndef TENSORD_CORE_CAST_CONVERSION_COMPARISON_H_
#define TENSORD_CORE_CAST_CONVERSION_COMPARISON_H_

#include <cstddef>

#include "core/cast/conversion_report.h"
#include "core/dtype.h"

namespace tensord {

// Compares packed results of one kind of cast with their sources, in either
// byte order. Immutable and thread-safe.
class ConversionComparison {
 public:
  ConversionComparison(DType from, ByteOrder from_order, DType to,
                       ByteOrder to_order);

  // Elements to cast and compare at a time, so that both stay in the
  // first-level cache.
  static constexpr std::size_t kBlockElements = 512;

  // Merges what a cast did to `count` elements at `src`, which became those at
  // `dst`, to `report`. Pointers need no alignment.
  void Compare(const std::byte* src, const std::byte* dst, std::size_t count,
               ConversionReport* report) const;

 private:
  // Of at most kBlockElements in native byte order.
  void CompareBlock(const std::byte* src, const std::byte* dst,
                    std::size_t count, ConversionReport* report) const;

  DType from_;
  ByteOrder from_order_;
  DType to_;
  ByteOrder to_order_;
  // Whether an element may change at all.
  bool changes_;
  // Bounds of the open interval of the numbers that fit.
  double below_;
  double end_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CONVERSION_COMPARISON_H_
