// Page-locked memory that bytes pass on their way to and from a device.
#ifndef TENSORD_CORE_DEVICE_CUDA_STAGING_POOL_H_
#define TENSORD_CORE_DEVICE_CUDA_STAGING_POOL_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/device/cuda/cuda_device.h"
#include "core/mutex.h"

namespace tensord {

// Slots that are filled while the device still works with others. Slots are
// made when they are first needed, and kept. Thread-safe. Leases do not outlive
// the pool.
class StagingPool {
 public:
  // Of data, on the host and as many on the device. Long enough for the cost of
  // starting a transfer not to matter, and short enough for the first byte not
  // to wait for the last.
  static constexpr std::size_t kSlotBytes = std::size_t{4} << 20;
  // Behind the data, on both sides.
  static constexpr std::size_t kRecordBytes = sizeof(CastFailureRecord);

  struct Slot {
    std::byte* host = nullptr;
    std::byte* device = nullptr;
    CudaEvent done = nullptr;
  };

  // A slot that its holder has alone. When the lease goes the slot is for
  // others, as soon as the device is done with it. Not thread-safe.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          slot_(other.slot_),
          stream_(other.stream_),
          is_recorded_(other.is_recorded_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (pool_ != nullptr) pool_->Return(*this);
    }

    std::byte* host() const { return slot_->host; }
    std::byte* device() const { return slot_->device; }
    CastFailureRecord* host_record() const {
      return reinterpret_cast<CastFailureRecord*>(slot_->host + kSlotBytes);
    }
    CastFailureRecord* device_record() const {
      return reinterpret_cast<CastFailureRecord*>(slot_->device + kSlotBytes);
    }

    // To be called before work that touches the slot is enqueued in another
    // stream than before. REQUIRES: such work waits for that in the stream
    // before.
    void UsedBy(CudaStream stream) {
      stream_ = stream;
      is_recorded_ = false;
    }
    // Marks the end of the work that Wait waits for. Errors of Check.
    absl::Status Record();
    // Returns when the work is done. Errors of Check.
    absl::Status Wait();

   private:
    friend class StagingPool;
    Lease(StagingPool& pool, Slot& slot) : pool_(&pool), slot_(&slot) {}

    StagingPool* pool_;
    Slot* slot_;
    // Null once the device is done with the slot.
    CudaStream stream_ = nullptr;
    bool is_recorded_ = false;
  };

  // `device` has to outlive the pool.
  StagingPool(CudaDevice& device, std::size_t max_slots)
      : device_(device), max_slots_(max_slots) {}
  // REQUIRES: the device is done with the slots, or does not work.
  ~StagingPool();
  StagingPool(const StagingPool&) = delete;
  StagingPool& operator=(const StagingPool&) = delete;

  // Waits for a slot if need be: for the device, or for another holder. Whoever
  // holds one must not wait for a second, nor for anything that may take
  // another's slot. Where memory is short, fewer slots than wanted will do.
  // Errors of Check.
  absl::StatusOr<Lease> Acquire() ABSL_LOCKS_EXCLUDED(mutex_);

  // A slot that is there for the taking, if any.
  std::optional<Lease> TryAcquire() ABSL_LOCKS_EXCLUDED(mutex_);

  // Page-locked memory of all slots.
  std::size_t pinned_bytes() const { return pinned_bytes_; }

 private:
  struct Taken {
    Slot* slot;
    // Whether the device may still be at it.
    bool in_flight = false;
  };

  // Waits for a slot.
  Taken Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // A slot that was returned or may still be made; null if there is none.
  Slot* FindIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes what the slot lacks.
  absl::Status Make(Slot& slot);
  // Goes on with fewer slots than there were to be, if there are any.
  bool GiveUp(Slot& slot) ABSL_LOCKS_EXCLUDED(mutex_);
  void Destroy(Slot& slot);
  void Return(Lease& lease) ABSL_LOCKS_EXCLUDED(mutex_);
  void PutIdle(Slot& slot) ABSL_LOCKS_EXCLUDED(mutex_);
  void PutInFlight(Slot& slot, bool oldest) ABSL_LOCKS_EXCLUDED(mutex_);

  CudaDevice& device_;
  std::atomic<std::size_t> pinned_bytes_ = 0;
  Mutex mutex_;
  Condition returned_;
  std::size_t max_slots_ ABSL_GUARDED_BY(mutex_);
  // Addresses stay.
  std::list<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  std::vector<Slot*> idle_ ABSL_GUARDED_BY(mutex_);
  // Those that the device may not be done with, the oldest first.
  std::deque<Slot*> in_flight_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_STAGING_POOL_H_
