// Refusals that have to do with CUDA devices, in PyTorch's words. Needs no
// CUDA.
#ifndef TENSORD_CORE_DEVICE_CUDA_ERRORS_H_
#define TENSORD_CORE_DEVICE_CUDA_ERRORS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace tensord {

// RESOURCE_EXHAUSTED (DEVICE_MEMORY_EXHAUSTED): GPU `device_index`, which has
// `total_bytes` of memory, does not have `requested_bytes` for a tensor. Says
// what torch.OutOfMemoryError says, and for programs `limitBytes` (the total),
// `usedBytes` (what is not free) and `requestedBytes`.
absl::Status CudaOutOfMemory(int device_index, std::int64_t requested_bytes,
                             std::int64_t free_bytes, std::int64_t total_bytes);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_ERRORS_H_
