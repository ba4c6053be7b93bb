#include "core/memory/buffer.h"

#include <atomic>
#include <utility>

namespace tensord {
namespace {

std::uint64_t NextBufferId() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Buffer::Buffer(Device device, std::byte* data, std::size_t size_bytes,
               std::shared_ptr<void> owner)
    : device_(device),
      data_(data),
      size_bytes_(size_bytes),
      owner_(std::move(owner)),
      id_(NextBufferId()) {}

}  // namespace tensord
