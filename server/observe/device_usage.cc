#include "server/observe/device_usage.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

namespace tensord {
namespace {

// As many tensors as the store may hand out while others wait for it.
constexpr std::size_t kPageTensors = 1000;

}  // namespace

std::vector<std::pair<Device, DeviceUsage>> UsagesOf(
    const TensorStore& store, const DeviceRegistry& devices) {
  std::vector<std::pair<Device, DeviceUsage>> usages;
  for (const auto& backend : devices.backends()) {
    usages.emplace_back(backend->device(), DeviceUsage{});
  }
  // Ids of the buffers that are counted.
  std::unordered_set<std::uint64_t> seen;
  const auto add = [&](const std::shared_ptr<const StoredTensor>& stored) {
    const Tensor& tensor = stored->tensor;
    const auto it = std::find_if(
        usages.begin(), usages.end(),
        [&](const auto& entry) { return entry.first == tensor.device(); });
    if (it == usages.end()) return true;
    ++it->second.tensors;
    const Buffer& buffer = *tensor.buffer();
    if (seen.insert(buffer.id()).second) {
      it->second.stored_bytes += static_cast<std::int64_t>(buffer.size_bytes());
    }
    return true;
  };
  std::optional<std::string> next = "";
  while (next.has_value()) next = store.Walk(*next, kPageTensors, add);
  return usages;
}

}  // namespace tensord
