// Work that nobody waits for any more.
#ifndef TENSORD_CORE_IS_CANCELLED_H_
#define TENSORD_CORE_IS_CANCELLED_H_

#include <functional>

namespace tensord {

// Whether whoever asked for some work has given it up; empty for never. Asked
// from any of the threads that do the work, every few MiB, so it has to be
// thread-safe and fast.
using IsCancelled = std::function<bool()>;

// `is_cancelled()`, where there is one.
inline bool Ask(const IsCancelled& is_cancelled) {
  return is_cancelled != nullptr && is_cancelled();
}

}  // namespace tensord

#endif  // TENSORD_CORE_IS_CANCELLED_H_
