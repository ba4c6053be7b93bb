// One array over several connections.
#ifndef TENSORD_CLIENT_CPP_SRC_PARTS_H_
#define TENSORD_CLIENT_CPP_SRC_PARTS_H_

#include <cstdint>
#include <vector>

#include "core/byte_range.h"

namespace tensord::client {

// Arrays are cut into parts that are not smaller: with less, another connection
// gains nothing (tests/bench/README.md).
inline constexpr std::int64_t kMinPartBytes = std::int64_t{4} << 20;

// Cuts an array into parts of about the same size, one at least and `max_parts`
// at most. Cuts lie between chunks of `chunk_bytes`, and never inside of an
// element. REQUIRES: total_bytes >= 0, chunk_bytes > 0.
std::vector<ByteRange> CutIntoParts(std::int64_t total_bytes,
                                    std::int64_t chunk_bytes, int max_parts);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_PARTS_H_
