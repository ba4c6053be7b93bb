#include "core/store/device_quotas.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/device/cuda_errors.h"
#include "core/error.h"

namespace tensord {
namespace {

// What is free is what tensors may still take: the rest is not theirs.
absl::Status OutOfDeviceMemory(Device device, std::int64_t total_bytes,
                               const Quota& quota,
                               std::int64_t requested_bytes) {
  const std::int64_t limit = quota.limit_bytes();
  const std::int64_t used = quota.used_bytes();
  const absl::Status torch =
      CudaOutOfMemory(device.index, requested_bytes, limit - used, total_bytes);
  absl::Status status(
      torch.code(), absl::StrCat(torch.message(), " The memory limit is ",
                                 limit, " bytes, ", used, " of them in use."));
  ErrorDetails details = GetErrorDetails(torch);
  details.metadata["limitBytes"] = absl::StrCat(limit);
  details.metadata["usedBytes"] = absl::StrCat(used);
  SetErrorDetails(status, details);
  return status;
}

}  // namespace

void DeviceQuotas::Add(const DeviceBackend& backend, std::int64_t limit_bytes) {
  entries_.push_back({backend.device(),
                      static_cast<std::int64_t>(backend.memory_bytes()),
                      std::make_unique<Quota>(limit_bytes)});
}

absl::StatusOr<std::shared_ptr<void>> DeviceQuotas::Reserve(
    Device device, std::int64_t size_bytes) {
  const Entry& entry = Find(device);
  auto reserved = entry.quota->Reserve(size_bytes);
  if (reserved.ok() || device.type == DeviceType::kCpu) return reserved;
  return OutOfDeviceMemory(device, entry.total_bytes, *entry.quota, size_bytes);
}

const Quota& DeviceQuotas::Of(Device device) const {
  return *Find(device).quota;
}

const DeviceQuotas::Entry& DeviceQuotas::Find(Device device) const {
  return *std::find_if(
      entries_.begin(), entries_.end(),
      [&](const Entry& entry) { return entry.device == device; });
}

}  // namespace tensord
