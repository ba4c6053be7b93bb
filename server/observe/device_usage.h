// What the tensors of a store take.
#ifndef TENSORD_SERVER_OBSERVE_DEVICE_USAGE_H_
#define TENSORD_SERVER_OBSERVE_DEVICE_USAGE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "core/device/device.h"
#include "core/device/device_registry.h"
#include "core/store/tensor_store.h"

namespace tensord {

struct DeviceUsage {
  std::int64_t tensors = 0;
  // Memory that several tensors share counts once.
  std::int64_t stored_bytes = 0;
};

// By device, in the order of `devices`. Walks the whole store, a page at a
// time, so it is not what there was at one moment.
std::vector<std::pair<Device, DeviceUsage>> UsagesOf(
    const TensorStore& store, const DeviceRegistry& devices);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_DEVICE_USAGE_H_
