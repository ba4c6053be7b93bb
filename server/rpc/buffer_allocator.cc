#include "server/rpc/buffer_allocator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

// What a buffer's owner keeps: the memory goes before what was paid for it.
struct Charged {
  Charged(std::shared_ptr<std::atomic<std::int64_t>> counter,
          std::shared_ptr<void> reserved, std::shared_ptr<Buffer> allocated)
      : used_bytes(std::move(counter)),
        reservation(std::move(reserved)),
        memory(std::move(allocated)) {
    used_bytes->fetch_add(size(), std::memory_order_relaxed);
  }
  Charged(const Charged&) = delete;
  Charged& operator=(const Charged&) = delete;
  ~Charged() { used_bytes->fetch_sub(size(), std::memory_order_relaxed); }

  std::int64_t size() const {
    return static_cast<std::int64_t>(memory->size_bytes());
  }

  std::shared_ptr<std::atomic<std::int64_t>> used_bytes;
  std::shared_ptr<void> reservation;
  std::shared_ptr<Buffer> memory;
};

}  // namespace

BufferAllocator::BufferAllocator(const DeviceRegistry& devices, Quota& quota,
                                 std::int64_t max_buffer_bytes,
                                 std::function<bool()> make_room)
    : devices_(devices),
      quota_(quota),
      max_buffer_bytes_(max_buffer_bytes),
      make_room_(std::move(make_room)) {
  for (std::size_t i = 0; i < devices.backends().size(); ++i) {
    used_bytes_.push_back(std::make_shared<Counter>(0));
  }
}

absl::StatusOr<std::shared_ptr<Buffer>> BufferAllocator::Allocate(
    Device device, std::int64_t size_bytes) {
  const absl::StatusOr<DeviceBackend*> backend = devices_.Find(device);
  if (!backend.ok()) return backend.status();
  if (size_bytes > max_buffer_bytes_) {
    return InvalidArgument(
        reason::kTensorTooLarge,
        absl::StrCat("the tensor would take ", size_bytes,
                     " bytes; the largest that is accepted takes ",
                     max_buffer_bytes_));
  }
  auto buffer = TryAllocate(**backend, device, size_bytes);
  while (absl::IsResourceExhausted(buffer.status()) && make_room_()) {
    buffer = TryAllocate(**backend, device, size_bytes);
  }
  return buffer;
}

absl::StatusOr<std::shared_ptr<Buffer>> BufferAllocator::TryAllocate(
    DeviceBackend& backend, Device device, std::int64_t size_bytes) {
  auto reservation = quota_.Reserve(size_bytes);
  if (!reservation.ok()) return reservation.status();
  auto memory = backend.Allocate(static_cast<std::size_t>(size_bytes));
  if (!memory.ok()) return memory.status();
  std::byte* const data = (*memory)->data();
  std::size_t index = 0;
  while (devices_.backends()[index].get() != &backend) ++index;
  return std::make_shared<Buffer>(
      device, data, static_cast<std::size_t>(size_bytes),
      std::make_shared<Charged>(used_bytes_[index], *std::move(reservation),
                                *std::move(memory)));
}

std::int64_t BufferAllocator::used_bytes(Device device) const {
  for (std::size_t i = 0; i < used_bytes_.size(); ++i) {
    if (devices_.backends()[i]->device() == device) {
      return used_bytes_[i]->load(std::memory_order_relaxed);
    }
  }
  return 0;
}

}  // namespace tensord
