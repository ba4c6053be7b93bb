// Memory for what is read.
#ifndef TENSORD_CLIENT_CPP_SRC_HOST_MEMORY_H_
#define TENSORD_CLIENT_CPP_SRC_HOST_MEMORY_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace tensord::client {

// Memory aligned as HostArray promises, not initialised. RESOURCE_EXHAUSTED
// (MEMORY_EXHAUSTED). Thread-safe.
absl::StatusOr<std::shared_ptr<std::byte[]>> AllocateHostMemory(
    std::size_t size_bytes);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_HOST_MEMORY_H_
