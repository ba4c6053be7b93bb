#include "core/device/cuda/cuda_memory.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/device/cuda_errors.h"

namespace tensord {

// What a buffer's owner keeps.
struct CudaMemory::Allocation {
  explicit Allocation(std::shared_ptr<CudaMemory> memory)
      : memory_(std::move(memory)) {}
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;
  ~Allocation() {
    if (address == nullptr) return;
    memory_->Free(address);
    memory_->Count(0 - size_bytes);
  }

  std::byte* address = nullptr;
  std::size_t size_bytes = 0;

 private:
  std::shared_ptr<CudaMemory> memory_;
};

std::shared_ptr<CudaMemory> CudaMemory::Make(
    std::shared_ptr<CudaDevice> device, std::function<absl::Time()> clock) {
  return std::shared_ptr<CudaMemory>(
      new CudaMemory(std::move(device), std::move(clock)));
}

CudaMemory::CudaMemory(std::shared_ptr<CudaDevice> device,
                       std::function<absl::Time()> clock)
    : device_(std::move(device)),
      clock_(std::move(clock)),
      peak_time_(clock_()) {}

absl::StatusOr<std::shared_ptr<Buffer>> CudaMemory::Allocate(
    std::size_t size_bytes) {
  if (absl::Status health = device_->health(); !health.ok()) return health;
  auto allocation = std::make_shared<Allocation>(shared_from_this());
  absl::Status status = Take(size_bytes, &allocation->address);
  if (!status.ok()) return status;
  allocation->size_bytes = size_bytes;
  Count(size_bytes);
  status = device_->WaitFor(device_->streams().memory);
  if (!status.ok()) return status;
  std::byte* const address = allocation->address;
  return std::make_shared<Buffer>(device_->device(), address, size_bytes,
                                  std::move(allocation));
}

absl::Status CudaMemory::Take(std::size_t size_bytes, std::byte** address) {
  CudaRuntime& runtime = device_->runtime();
  CudaStream const stream = device_->streams().memory;
  // Buffers have addresses, even those without bytes.
  const std::size_t size = std::max<std::size_t>(size_bytes, 1);
  CudaError error = runtime.MallocAsync(size, stream, address);
  if (error == CudaError::kMemoryAllocation) {
    // Perhaps what was freed is not free yet, or in pieces.
    runtime.Probe();
    absl::Status status = device_->WaitFor(stream);
    if (status.ok()) {
      status = device_->Check(runtime.TrimPool(0), "trimming of the pool");
    }
    if (!status.ok()) return status;
    error = runtime.MallocAsync(size, stream, address);
  }
  absl::Status status = device_->Check(error, "allocation of a buffer");
  return absl::IsResourceExhausted(status) ? OutOfMemory(size_bytes) : status;
}

absl::Status CudaMemory::OutOfMemory(std::size_t size_bytes) {
  std::size_t free_bytes = 0;
  absl::Status status = device_->Check(
      device_->runtime().GetFreeBytes(&free_bytes), "question for free memory");
  if (!status.ok()) return status;
  return CudaOutOfMemory(
      device_->device().index, static_cast<std::int64_t>(size_bytes),
      static_cast<std::int64_t>(free_bytes),
      static_cast<std::int64_t>(device_->runtime().memory_bytes()));
}

void CudaMemory::Free(std::byte* address) {
  const CudaDevice::Streams& streams = device_->streams();
  for (CudaStream const stream :
       {streams.upload, streams.compute, streams.download}) {
    const bool is_ordered = device_->Order(stream, streams.memory).ok() ||
                            device_->WaitFor(stream).ok();
    // The memory may be in use: better lost than another's.
    if (!is_ordered && device_->health().ok()) return;
  }
  // Nobody is left to tell of errors; those that last are noted.
  device_
      ->Check(device_->runtime().FreeAsync(address, streams.memory),
              "free of a buffer")
      .IgnoreError();
}

void CudaMemory::Count(std::size_t size_bytes) {
  MutexLock lock(mutex_);
  used_bytes_ += size_bytes;
  if (used_bytes_ >= peak_bytes_) {
    peak_bytes_ = used_bytes_;
    peak_time_ = clock_();
  }
}

DeviceBackend::PoolStats CudaMemory::stats() const {
  std::size_t reserved = 0;
  std::size_t pool_used = 0;
  if (device_->health().ok()) {
    device_
        ->Check(device_->runtime().GetPoolBytes(&reserved, &pool_used),
                "question for the pool")
        .IgnoreError();
  }
  MutexLock lock(mutex_);
  return {.reserved_bytes = std::max(reserved, used_bytes_),
          .used_bytes = used_bytes_};
}

void CudaMemory::Trim(absl::Duration idle) {
  std::size_t kept = 0;
  {
    MutexLock lock(mutex_);
    const absl::Time now = clock_();
    if (now - peak_time_ < idle) return;
    kept = peak_bytes_ = used_bytes_;
    peak_time_ = now;
  }
  if (!device_->health().ok()) return;
  // What was freed is free only then. Errors that last are noted.
  absl::Status status = device_->WaitFor(device_->streams().memory);
  if (status.ok()) {
    device_->Check(device_->runtime().TrimPool(kept), "trimming of the pool")
        .IgnoreError();
  }
}

}  // namespace tensord
