// Numbers that are looked at when they are asked for, rather than counted.
#ifndef TENSORD_SERVER_OBSERVE_LIVE_GAUGES_H_
#define TENSORD_SERVER_OBSERVE_LIVE_GAUGES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/device/device_registry.h"
#include "core/memory/arena.h"
#include "core/store/device_quotas.h"
#include "core/store/tensor_store.h"
#include "server/access/load_shedder.h"
#include "server/observe/call_observer.h"

namespace prometheus {
class Collectable;
}  // namespace prometheus

namespace tensord {

// What is looked at of one tenant. The name is empty where callers are not told
// apart.
struct TenantSources {
  std::string_view name;
  const TensorStore* store;
  const DeviceQuotas* quotas;
};

// What is looked at. All of it outlives the gauges.
struct GaugeSources {
  const DeviceRegistry* devices;
  // Where chunks are made that are converted on the way.
  const Arena* chunk_arena;
  // Calls its argument with each tenant.
  std::function<void(const std::function<void(const TenantSources&)>&)>
      for_each_tenant;
  // Of all tenants together.
  const DeviceQuotas* quotas;
  const InflightCalls* calls;
  const LoadShedder* load_shedder;
  // Number of uploads that wait for their client to go on.
  std::function<std::size_t()> suspended_uploads;
  // Of the server.
  std::string version;
};

// tensord_tensors{device,tenant}, tensord_device_in_service{device},
// tensord_memory_bytes{device,kind,tenant},
// tensord_memory_limit_bytes{device}, tensord_pool_reserved_bytes{device},
// tensord_pool_used_bytes{device}, tensord_chunk_memory_bytes,
// process_resident_memory_bytes, process_start_time_seconds,
// tensord_inflight_rpcs, tensord_queue_delay_seconds,
// tensord_suspended_uploads, tensord_build_info{version,cuda}. Without tenants
// that label is not there, nor is it for memory of kind "pinned". Memory of
// kind "stored" belongs to tensors in the store, each buffer counted once; all
// else that counts against the limit, such as uploads under way, is "reserved".
// Thread-safe.
std::shared_ptr<prometheus::Collectable> NewLiveGauges(GaugeSources sources);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_LIVE_GAUGES_H_
