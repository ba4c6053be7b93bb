// A stretch of an array's bytes.
#ifndef TENSORD_CORE_BYTE_RANGE_H_
#define TENSORD_CORE_BYTE_RANGE_H_

#include <cstdint>

namespace tensord {

// Bytes [begin, end) of an array as it travels.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

}  // namespace tensord

#endif  // TENSORD_CORE_BYTE_RANGE_H_
