// Limits of a tenant.
#ifndef TENSORD_SERVER_ACCESS_TENANT_LIMITS_H_
#define TENSORD_SERVER_ACCESS_TENANT_LIMITS_H_

#include <cstdint>

#include "server/memory_size.h"

namespace tensord {

// What one tenant may take, so that it leaves something to others.
struct TenantLimits {
  // Most bytes of tensors and uploads on each device; percentages are of the
  // device's limit.
  MemorySize memory{.value = 100, .is_percent = true};
  // Most tensors.
  std::int64_t max_tensors = INT64_MAX;
  // Most calls at a time.
  std::int64_t max_calls = INT64_MAX;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_TENANT_LIMITS_H_
