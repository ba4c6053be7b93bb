// What the process's allocator does with memory that is freed.
#ifndef TENSORD_CORE_MEMORY_FREED_MEMORY_H_
#define TENSORD_CORE_MEMORY_FREED_MEMORY_H_

#include <cstddef>

namespace tensord {

// For a process in which gRPC is the main user of the allocator.
inline constexpr std::size_t kServerFreedBytes = std::size_t{512} << 20;
// For a library in somebody else's process: where glibc itself arrives in a
// process that frees blocks of 32 MiB.
inline constexpr std::size_t kClientFreedBytes = std::size_t{64} << 20;

// Makes the allocator keep memory that is freed, for the next to allocate, and
// give it back to the system only beyond `most_bytes` at the top of a heap. Of
// the whole process; does nothing where the allocator is not glibc's.
// REQUIRES: no other thread sets the allocator up at the same time.
void KeepFreedMemory(std::size_t most_bytes);

// Makes all threads together use `most` heaps at most, at least 1, of those
// that are yet to be made. Small blocks that live on are spread over as many,
// and keep a page of memory each. REQUIRES: as above.
void LimitHeaps(int most);

}  // namespace tensord

#endif  // TENSORD_CORE_MEMORY_FREED_MEMORY_H_
