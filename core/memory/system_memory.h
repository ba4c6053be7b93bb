// Memory straight from the system: small blocks from the allocator, large ones
// mapped, with huge pages where they fit.
#ifndef TENSORD_CORE_MEMORY_SYSTEM_MEMORY_H_
#define TENSORD_CORE_MEMORY_SYSTEM_MEMORY_H_

#include <cstddef>

namespace tensord {

// Blocks are aligned to this: a cache line, and the widest vector register.
inline constexpr std::size_t kBlockAlignment = 64;
// From here on blocks are mapped.
inline constexpr std::size_t kMinMappedBytes = std::size_t{1} << 20;
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// The size of the block to take for `size_bytes`: at most an eighth more (and
// at least kBlockAlignment), so that a few sizes serve many requests. 0 if no
// block can be that large. Rounding a result again gives it back.
std::size_t BlockBytes(std::size_t size_bytes);

// An uninitialised block of `block_bytes`, a result of BlockBytes other than 0;
// null if the system has none. Thread-safe.
std::byte* AcquireBlock(std::size_t block_bytes);

// Gives back what AcquireBlock gave for the same size. Thread-safe.
void ReleaseBlock(std::byte* block, std::size_t block_bytes);

}  // namespace tensord

#endif  // TENSORD_CORE_MEMORY_SYSTEM_MEMORY_H_
