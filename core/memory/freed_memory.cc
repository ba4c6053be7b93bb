#include "core/memory/freed_memory.h"

// Declares __GLIBC__ where it is the one.
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tensord {

// gRPC receives into slices of 8 and 64 KiB and frees them as soon as their
// message is consumed. As it comes, glibc returns them to the kernel, and the
// next message gets them back page by page: 2 GiB uploaded in messages of 4 MiB
// cost some 300,000 page faults in the server, with these settings 5,000. What
// is kept is bounded by the most that was in flight at a time.
void KeepFreedMemory([[maybe_unused]] std::size_t most_bytes) {
#ifdef __GLIBC__
  constexpr int kMebibyte = 1 << 20;
  // The top of a heap is given back only above this.
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(most_bytes));
  // Heaps of other threads are mapped in pieces of 64 MiB; a padding as large
  // as a piece keeps them from being unmapped. Padding is address space, not
  // memory.
  mallopt(M_TOP_PAD, 64 * kMebibyte);
  // Setting any of these ends glibc's own adjustment of this one, which grows
  // with the blocks that are freed, from 128 KiB to 32 MiB. Here is its end,
  // and the most that glibc takes: blocks up to this come from the heaps rather
  // than from mappings of their own.
  mallopt(M_MMAP_THRESHOLD, 32 * kMebibyte);
#endif
}

void LimitHeaps([[maybe_unused]] int most) {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, most);
#endif
}

}  // namespace tensord
