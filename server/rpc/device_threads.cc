#include "server/rpc/device_threads.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <utility>

#include "absl/status/statusor.h"
#include "server/rpc/call.h"

namespace tensord {

struct DeviceThreads::Pool {
  explicit Pool(Device of) : device(of), threads(kThreadsPerDevice) {}

  Device device;
  asio::thread_pool threads;
};

DeviceThreads::DeviceThreads(const DeviceRegistry& devices) {
  for (const auto& backend : devices.backends()) {
    if (!backend->may_wait()) continue;
    pools_.push_back(std::make_unique<Pool>(backend->device()));
  }
}

DeviceThreads::~DeviceThreads() {
  for (const auto& pool : pools_) pool->threads.join();
}

absl::Status DeviceThreads::Post(Device device, std::function<void()> work) {
  const auto pool =
      std::find_if(pools_.begin(), pools_.end(),
                   [&](const auto& one) { return one->device == device; });
  return Guarded([&] {
    asio::post((*pool)->threads, std::move(work));
    return absl::OkStatus();
  });
}

std::optional<Device> WaitsFor(const DeviceRegistry& devices, Device device) {
  for (const auto& backend : devices.backends()) {
    if (backend->device() == device && backend->may_wait()) return device;
  }
  return std::nullopt;
}

std::optional<Device> WaitsFor(const DeviceRegistry& devices,
                               const std::string& device) {
  if (device.empty()) return std::nullopt;
  const absl::StatusOr<Device> parsed = ParseDevice(device);
  return parsed.ok() ? WaitsFor(devices, *parsed) : std::nullopt;
}

}  // namespace tensord
