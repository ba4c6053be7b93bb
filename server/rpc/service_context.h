// What the service works with.
#ifndef TENSORD_SERVER_RPC_SERVICE_CONTEXT_H_
#define TENSORD_SERVER_RPC_SERVICE_CONTEXT_H_

#include <cstdint>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/device/device_registry.h"
#include "core/memory/arena.h"
#include "core/store/device_quotas.h"
#include "core/store/tensor_store.h"
#include "server/observe/service_events.h"

namespace tensord {

class RequestLog;
class StreamWatch;
class Uploads;

struct ServiceLimits {
  // Largest array, in bytes of its stored dtype or of its arriving bytes.
  std::int64_t max_tensor_bytes = std::int64_t{1} << 30;
  // Largest message, with everything in it. What gRPC is told to receive.
  std::int64_t max_message_bytes = (std::int64_t{4} << 20) + (64 << 10);
  // Largest Chunk.data, at least an element (16).
  std::int64_t max_chunk_bytes = std::int64_t{4} << 20;
};

// What the calls of one tenant work with. Pointers are not null where nothing
// else is said, and what they point to outlives the calls.
struct ServiceContext {
  DeviceRegistry* devices = nullptr;
  // Where chunks are made that are converted on the way.
  Arena* chunk_arena = nullptr;
  TensorStore* store = nullptr;
  // Every buffer that the service allocates is charged to the quota of its
  // device until the last view of it is gone. Complete, as are the devices.
  DeviceQuotas* quotas = nullptr;
  // Charged in the same way, with the tenant's own limits. Null where callers
  // are not told apart.
  DeviceQuotas* own_quotas = nullptr;
  RequestLog* requests = nullptr;
  Uploads* uploads = nullptr;
  // Null: streams may stand still.
  StreamWatch* stream_watch = nullptr;
  ServiceLimits limits;
  ServiceEvents* events = nullptr;
  // Semantic version of the server.
  std::string version;
  absl::Time start_time = absl::Now();
};

// What the tenant may take, and takes: others' part is not its business.
inline const DeviceQuotas& QuotasOf(const ServiceContext& context) {
  return context.own_quotas != nullptr ? *context.own_quotas : *context.quotas;
}

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_SERVICE_CONTEXT_H_
