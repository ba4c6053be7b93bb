#include "core/memory/system_memory.h"

#include <sys/mman.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <new>

namespace tensord {
namespace {

constexpr std::size_t kPageBytes = 4096;
// Rounding up to whole huge pages wastes at most an eighth from here on.
constexpr std::size_t kMinHugeRoundedBytes = 8 * kHugePageBytes;
// Far more than any address space, far from wrapping around.
constexpr std::size_t kMaxBlockBytes =
    std::numeric_limits<std::size_t>::max() / 4;

constexpr std::size_t RoundUp(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Eight sizes per doubling, all multiples of the alignment.
std::size_t SmallBlockBytes(std::size_t size_bytes) {
  const std::size_t step = std::bit_floor(size_bytes) / 8;
  return RoundUp(size_bytes, step < kBlockAlignment ? kBlockAlignment : step);
}

std::byte* MapPages(std::size_t bytes) {
  void* const pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<std::byte*>(pages);
}

// Maps `bytes` from a huge page's boundary on: pages are only joined there.
std::byte* MapHugeAligned(std::size_t bytes) {
  std::byte* const pages = MapPages(bytes + kHugePageBytes);
  if (pages == nullptr) return nullptr;
  const std::size_t misalignment =
      reinterpret_cast<std::uintptr_t>(pages) % kHugePageBytes;
  const std::size_t head =
      misalignment == 0 ? 0 : kHugePageBytes - misalignment;
  if (head > 0) munmap(pages, head);
  munmap(pages + head + bytes, kHugePageBytes - head);
  // Only advice: a kernel without huge pages serves as well.
  madvise(pages + head, bytes, MADV_HUGEPAGE);
  return pages + head;
}

}  // namespace

std::size_t BlockBytes(std::size_t size_bytes) {
  if (size_bytes <= kBlockAlignment) return kBlockAlignment;
  if (size_bytes > kMaxBlockBytes) return 0;
  if (size_bytes < kMinMappedBytes) return SmallBlockBytes(size_bytes);
  return RoundUp(size_bytes, size_bytes < kMinHugeRoundedBytes
                                 ? kPageBytes
                                 : kHugePageBytes);
}

std::byte* AcquireBlock(std::size_t block_bytes) {
  if (block_bytes < kMinMappedBytes) {
    return static_cast<std::byte*>(::operator new (
        block_bytes, std::align_val_t{kBlockAlignment}, std::nothrow));
  }
  return block_bytes < kHugePageBytes ? MapPages(block_bytes)
                                      : MapHugeAligned(block_bytes);
}

void ReleaseBlock(std::byte* block, std::size_t block_bytes) {
  if (block_bytes < kMinMappedBytes) {
    ::operator delete (block, std::align_val_t{kBlockAlignment});
  } else {
    munmap(block, block_bytes);
  }
}

}  // namespace tensord
