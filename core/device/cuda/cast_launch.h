// What the kernels are told, as their parameters.
#ifndef TENSORD_CORE_DEVICE_CUDA_CAST_LAUNCH_H_
#define TENSORD_CORE_DEVICE_CUDA_CAST_LAUNCH_H_

#include <cstddef>
#include <cstdint>

#include "core/cast/cast.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace tensord {

// What did not fit, on the device. All zero where nothing failed, so that
// clearing memory makes one.
struct CastFailureRecord {
  // Elements; an unsigned 64-bit integer as CUDA's atomics take it.
  unsigned long long count;  // NOLINT(google-runtime-int)
  // The bitwise complement of the first one's position.
  unsigned long long inverted_first;  // NOLINT(google-runtime-int)
};

// Casts packed elements. Pointers are aligned to an element; source and result
// do not overlap.
struct CastLaunch {
  DType from;
  DType to;
  Overflow overflow;
  const std::byte* src;
  std::byte* dst;
  std::uint64_t count;
  // Of the first element, for the record.
  std::uint64_t first_position;
  // Null unless overflow is kError.
  CastFailureRecord* failures;
};

// Packs elements of `item_size` bytes that lie in a layout. Pointers are
// aligned to an element.
struct GatherLaunch {
  std::uint32_t item_size;
  std::uint32_t rank;
  // The element with all indices 0.
  const std::byte* src;
  std::byte* dst;
  // Which of the layout's `total` elements, in C order.
  std::uint64_t begin;
  std::uint64_t count;
  std::uint64_t total;
  std::int64_t shape[kMaxDimensions];
  // In elements.
  std::int64_t strides[kMaxDimensions];
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CAST_LAUNCH_H_
