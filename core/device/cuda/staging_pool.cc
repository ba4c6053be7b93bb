#include "core/device/cuda/staging_pool.h"

namespace tensord {

absl::Status StagingPool::Lease::Record() {
  CudaDevice& device = pool_->device_;
  absl::Status status =
      device.Check(device.runtime().RecordEvent(slot_->done, stream_),
                   "recording of an event");
  is_recorded_ = status.ok();
  return status;
}

absl::Status StagingPool::Lease::Wait() {
  if (stream_ == nullptr) return absl::OkStatus();
  absl::Status status = is_recorded_ ? absl::OkStatus() : Record();
  if (!status.ok()) return status;
  CudaDevice& device = pool_->device_;
  status = device.Check(device.runtime().SynchronizeEvent(slot_->done),
                        "wait for a transfer");
  if (status.ok()) stream_ = nullptr;
  return status;
}

StagingPool::~StagingPool() {
  for (Slot& slot : slots_) Destroy(slot);
}

absl::StatusOr<StagingPool::Lease> StagingPool::Acquire() {
  for (;;) {
    const Taken taken = Take();
    if (taken.in_flight) {
      absl::Status status =
          device_.Check(device_.runtime().SynchronizeEvent(taken.slot->done),
                        "wait for a transfer");
      if (status.ok()) return Lease(*this, *taken.slot);
      PutInFlight(*taken.slot, /*oldest=*/true);
      return status;
    }
    absl::Status status = Make(*taken.slot);
    if (status.ok()) return Lease(*this, *taken.slot);
    // Fewer slots will do.
    if (!absl::IsResourceExhausted(status) || !GiveUp(*taken.slot)) {
      PutIdle(*taken.slot);
      return status;
    }
  }
}

std::optional<StagingPool::Lease> StagingPool::TryAcquire() {
  Slot* slot = nullptr;
  {
    MutexLock lock(mutex_);
    slot = FindIdle();
  }
  if (slot == nullptr) return std::nullopt;
  if (!Make(*slot).ok()) {
    PutIdle(*slot);
    return std::nullopt;
  }
  return Lease(*this, *slot);
}

StagingPool::Taken StagingPool::Take() {
  MutexLock lock(mutex_);
  for (;;) {
    if (Slot* const idle = FindIdle()) return {.slot = idle};
    if (!in_flight_.empty()) {
      Slot* const oldest = in_flight_.front();
      in_flight_.pop_front();
      return {.slot = oldest, .in_flight = true};
    }
    returned_.Wait(mutex_);
  }
}

StagingPool::Slot* StagingPool::FindIdle() {
  if (!idle_.empty()) {
    Slot* const slot = idle_.back();
    idle_.pop_back();
    return slot;
  }
  return slots_.size() < max_slots_ ? &slots_.emplace_back() : nullptr;
}

absl::Status StagingPool::Make(Slot& slot) {
  CudaRuntime& runtime = device_.runtime();
  absl::Status status;
  if (slot.done == nullptr) {
    status =
        device_.Check(runtime.CreateEvent(&slot.done), "creation of an event");
  }
  if (status.ok() && slot.host == nullptr) {
    status =
        device_.Check(runtime.MallocHost(kSlotBytes + kRecordBytes, &slot.host),
                      "allocation of page-locked memory");
    if (status.ok()) pinned_bytes_ += kSlotBytes + kRecordBytes;
  }
  if (status.ok() && slot.device == nullptr) {
    status =
        device_.Check(runtime.Malloc(kSlotBytes + kRecordBytes, &slot.device),
                      "allocation of memory for transfers");
  }
  return status;
}

bool StagingPool::GiveUp(Slot& slot) {
  MutexLock lock(mutex_);
  if (slots_.size() == 1) return false;
  Destroy(slot);
  slots_.remove_if([&](const Slot& other) { return &other == &slot; });
  max_slots_ = slots_.size();
  return true;
}

void StagingPool::Destroy(Slot& slot) {
  // Nobody is left to tell of errors.
  CudaRuntime& runtime = device_.runtime();
  if (slot.device != nullptr) runtime.Free(slot.device);
  if (slot.host != nullptr) {
    runtime.FreeHost(slot.host);
    pinned_bytes_ -= kSlotBytes + kRecordBytes;
  }
  if (slot.done != nullptr) runtime.DestroyEvent(slot.done);
}

void StagingPool::Return(Lease& lease) {
  Slot& slot = *lease.slot_;
  if (lease.stream_ == nullptr) return PutIdle(slot);
  if (lease.is_recorded_ || lease.Record().ok()) {
    return PutInFlight(slot, /*oldest=*/false);
  }
  // Nothing marks the end of the work.
  absl::Status status =
      device_.Check(device_.runtime().SynchronizeStream(lease.stream_),
                    "wait for a transfer");
  // Better lost than in use by two.
  if (!status.ok() && device_.health().ok()) slot = {};
  PutIdle(slot);
}

void StagingPool::PutIdle(Slot& slot) {
  MutexLock lock(mutex_);
  idle_.push_back(&slot);
  returned_.NotifyOne();
}

void StagingPool::PutInFlight(Slot& slot, bool oldest) {
  MutexLock lock(mutex_);
  in_flight_.insert(oldest ? in_flight_.begin() : in_flight_.end(), &slot);
  returned_.NotifyOne();
}

}  // namespace tensord
