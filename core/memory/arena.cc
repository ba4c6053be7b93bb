#include "core/memory/arena.h"

#include <array>
#include <deque>
#include <iterator>
#include <map>
#include <new>
#include <utility>

#include "absl/base/config.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/memory/system_memory.h"
#include "core/mutex.h"

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace tensord {
namespace {

// Makes AddressSanitizer report any use of these bytes.
void ForbidAccess([[maybe_unused]] const std::byte* data,
                  [[maybe_unused]] std::size_t size_bytes) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  ASAN_POISON_MEMORY_REGION(data, size_bytes);
#endif
}

void AllowAccess([[maybe_unused]] const std::byte* data,
                 [[maybe_unused]] std::size_t size_bytes) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  ASAN_UNPOISON_MEMORY_REGION(data, size_bytes);
#endif
}

absl::Status OutOfMemory(std::size_t size_bytes) {
  absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, reason::kMemoryExhausted,
                absl::StrCat("out of memory: the system has no ", size_bytes,
                             " bytes to give"));
  AddErrorMetadata(status, "requestedBytes", absl::StrCat(size_bytes));
  return status;
}

}  // namespace

// The free blocks. Shared by the arena and every block that is handed out, so
// that each finds its way back, or to the system once the arena is gone.
class Arena::Pool {
 public:
  explicit Pool(Options options)
      : clock_(std::move(options.clock)),
        max_pooled_bytes_(options.max_pooled_bytes) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  struct Block {
    std::byte* data;
    std::size_t size_bytes;
  };

  // A block of at least `size_bytes`; data is null if there is none to be had.
  Block Take(std::size_t size_bytes) {
    const std::size_t block_bytes = BlockBytes(size_bytes);
    if (block_bytes == 0) return {nullptr, 0};
    Block block = TakePooled(block_bytes, size_bytes + size_bytes / 8);
    if (block.data != nullptr) return block;
    block = {AcquireBlock(block_bytes), block_bytes};
    if (block.data == nullptr && Trim() > 0) {
      block.data = AcquireBlock(block_bytes);
    }
    if (block.data == nullptr) return block;
    MutexLock lock(mutex_);
    used_bytes_ += block_bytes;
    return block;
  }

  void Return(Block block) {
    if (!Keep(block)) ReleaseBlock(block.data, block.size_bytes);
  }

  std::size_t Trim(absl::Duration idle = absl::ZeroDuration()) {
    const absl::Time last_use = clock_() - idle;
    std::size_t freed_bytes = 0;
    for (;;) {
      const Batch batch = TakeIdle(last_use);
      for (std::size_t i = 0; i < batch.count; ++i) {
        const Block block = batch.blocks[i];
        freed_bytes += block.size_bytes;
        AllowAccess(block.data, block.size_bytes);
        ReleaseBlock(block.data, block.size_bytes);
      }
      if (batch.count < batch.blocks.size()) return freed_bytes;
    }
  }

  // From here on nothing is kept.
  void Close() {
    {
      MutexLock lock(mutex_);
      max_pooled_bytes_ = 0;
    }
    Trim();
  }

  Stats stats() {
    MutexLock lock(mutex_);
    return {.used_bytes = used_bytes_, .pooled_bytes = pooled_bytes_};
  }

 private:
  // By size. The last one that came back is the first to go: it is still warm.
  struct FreeBlock {
    std::byte* data;
    absl::Time since;
  };
  using FreeBlocks = std::map<std::size_t, std::deque<FreeBlock>>;

  // A few at a time, so that others need not wait, and no memory is needed to
  // give some back.
  struct Batch {
    std::array<Block, 64> blocks;
    std::size_t count = 0;
  };

  // Takes blocks that are free since `last_use` or longer out of the pool, as
  // many as there are and as fit.
  Batch TakeIdle(absl::Time last_use) {
    Batch batch;
    MutexLock lock(mutex_);
    for (auto it = free_.begin(); it != free_.end();) {
      auto& [size_bytes, list] = *it;
      // The first ones have been free for longest.
      while (!list.empty() && list.front().since <= last_use) {
        if (batch.count == batch.blocks.size()) return batch;
        batch.blocks[batch.count++] = {list.front().data, size_bytes};
        pooled_bytes_ -= size_bytes;
        list.pop_front();
      }
      it = list.empty() ? free_.erase(it) : std::next(it);
    }
    return batch;
  }

  // The smallest free block that is large enough; larger than `block_bytes`
  // only up to `most_bytes`.
  Block TakePooled(std::size_t block_bytes, std::size_t most_bytes) {
    Block block{nullptr, 0};
    {
      MutexLock lock(mutex_);
      const auto it = free_.lower_bound(block_bytes);
      if (it == free_.end()) return block;
      if (it->first > block_bytes && it->first > most_bytes) return block;
      block = {it->second.back().data, it->first};
      it->second.pop_back();
      if (it->second.empty()) free_.erase(it);
      pooled_bytes_ -= block.size_bytes;
      used_bytes_ += block.size_bytes;
    }
    AllowAccess(block.data, block.size_bytes);
    return block;
  }

  // Puts a block that comes back among the free ones; false if it has to go to
  // the system.
  bool Keep(Block block) {
    const absl::Time now = clock_();
    MutexLock lock(mutex_);
    used_bytes_ -= block.size_bytes;
    if (pooled_bytes_ > max_pooled_bytes_ ||
        block.size_bytes > max_pooled_bytes_ - pooled_bytes_) {
      return false;
    }
    if (!Link(block, now)) return false;
    ForbidAccess(block.data, block.size_bytes);
    pooled_bytes_ += block.size_bytes;
    return true;
  }

  // False if there is no memory for the entry.
  bool Link(Block block, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    try {
      const auto it = free_.try_emplace(block.size_bytes).first;
      it->second.push_back({block.data, now});
      return true;
    } catch (const std::bad_alloc&) {
      const auto it = free_.find(block.size_bytes);
      if (it != free_.end() && it->second.empty()) free_.erase(it);
      return false;
    }
  }

  const std::function<absl::Time()> clock_;
  Mutex mutex_;
  std::size_t max_pooled_bytes_ ABSL_GUARDED_BY(mutex_);
  FreeBlocks free_ ABSL_GUARDED_BY(mutex_);
  std::size_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t pooled_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

Arena::Arena(Options options)
    : pool_(std::make_shared<Pool>(std::move(options))) {}

Arena::~Arena() { pool_->Close(); }

absl::StatusOr<std::shared_ptr<std::byte>> Arena::Allocate(
    std::size_t size_bytes) {
  const Pool::Block block = pool_->Take(size_bytes);
  if (block.data == nullptr) return OutOfMemory(size_bytes);
  ForbidAccess(block.data + size_bytes, block.size_bytes - size_bytes);
  try {
    return std::shared_ptr<std::byte>(
        block.data, [pool = pool_, block](std::byte*) {
          AllowAccess(block.data, block.size_bytes);
          pool->Return(block);
        });
  } catch (const std::bad_alloc&) {
    // The constructor has given the block back.
    return OutOfMemory(size_bytes);
  }
}

std::size_t Arena::Trim(absl::Duration idle) { return pool_->Trim(idle); }

Arena::Stats Arena::stats() const { return pool_->stats(); }

}  // namespace tensord
