// The pool that host memory for tensors comes from.
#ifndef TENSORD_CORE_MEMORY_ARENA_H_
#define TENSORD_CORE_MEMORY_ARENA_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tensord {

// Hands out host memory in 64-byte-aligned blocks and keeps what comes back for
// the next taker, because touching memory for the first time costs tens of
// times more than writing it again. Large blocks are mapped with huge pages.
// Thread-safe; blocks may outlive the arena.
class Arena {
 public:
  struct Options {
    // Most bytes of free blocks that are kept; what comes back beyond goes to
    // the system.
    std::size_t max_pooled_bytes = std::size_t{256} << 20;
    std::function<absl::Time()> clock = absl::Now;
  };
  struct Stats {
    // Bytes in blocks that are handed out: at most an eighth more than was
    // asked for, but for very small ones.
    std::size_t used_bytes = 0;
    // Bytes in free blocks that are kept.
    std::size_t pooled_bytes = 0;
  };

  explicit Arena(Options options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // A block of at least `size_bytes` (0 is allowed), with what was in it
  // before; it returns when the last copy of the pointer goes.
  // RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED) when the system has none.
  absl::StatusOr<std::shared_ptr<std::byte>> Allocate(std::size_t size_bytes);

  // Gives free blocks back to the system, those that nobody took for `idle` at
  // least; returns how many bytes.
  std::size_t Trim(absl::Duration idle = absl::ZeroDuration());

  Stats stats() const;

 private:
  class Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_MEMORY_ARENA_H_
