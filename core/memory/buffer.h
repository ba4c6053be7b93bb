// Bytes on a device with an owner.
#ifndef TENSORD_CORE_MEMORY_BUFFER_H_
#define TENSORD_CORE_MEMORY_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/device/device.h"

namespace tensord {

// A stretch of memory on one device, shared by every tensor that views it;
// freed when the last `shared_ptr<const Buffer>` goes. Whoever allocated it
// writes it, then shares it as const and nobody writes again: reading needs no
// lock.
class Buffer {
 public:
  // `owner` keeps `data` alive and gives it back (to its pool, quota, device)
  // when destroyed.
  Buffer(Device device, std::byte* data, std::size_t size_bytes,
         std::shared_ptr<void> owner);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  Device device() const { return device_; }
  // An address on `device()`; only for the host to follow when that is a CPU.
  // Aligned to 64 bytes. Never null.
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  // Unique among all buffers of this process, for ever.
  std::uint64_t id() const { return id_; }

  // For the store of the tensors that have this buffer, which calls these under
  // its lock: one more of them, and whether it is the first; one less, and
  // whether it was the last.
  bool AddStoredTensor() const { return stored_tensors_++ == 0; }
  bool RemoveStoredTensor() const { return --stored_tensors_ == 0; }

 private:
  Device device_;
  std::byte* data_;
  std::size_t size_bytes_;
  std::shared_ptr<void> owner_;
  std::uint64_t id_;
  mutable std::int64_t stored_tensors_ = 0;
};

}  // namespace tensord

#endif  // TENSORD_CORE_MEMORY_BUFFER_H_
