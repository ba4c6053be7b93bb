// Work that may be shared among threads, whose ever they are.
#ifndef TENSORD_CORE_PARALLEL_FOR_H_
#define TENSORD_CORE_PARALLEL_FOR_H_

#include <cstddef>
#include <functional>

namespace tensord {

// Calls body(0) to body(count - 1), some of them at the same time, and returns
// when all have returned. Thread-safe; may be called by a body.
using ParallelFor = std::function<void(
    std::size_t count, const std::function<void(std::size_t)>& body)>;

}  // namespace tensord

#endif  // TENSORD_CORE_PARALLEL_FOR_H_
