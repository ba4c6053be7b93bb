#include "core/device/device_registry.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error.h"

namespace tensord {
namespace {

absl::Status NotPresent(std::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   reason::kDeviceNotPresent, message);
}

}  // namespace

void DeviceRegistry::Add(std::unique_ptr<DeviceBackend> backend) {
  backends_.push_back(std::move(backend));
}

absl::StatusOr<DeviceBackend*> DeviceRegistry::Find(Device device) const {
  for (const auto& backend : backends_) {
    if (backend->device() == device) return backend.get();
  }
  const std::string present =
      absl::StrJoin(backends_, ", ", [](std::string* out, const auto& backend) {
        absl::StrAppend(out, DeviceString(backend->device()));
      });
  if (!cuda_.built) {
    return MakeError(
        absl::StatusCode::kUnimplemented, reason::kCudaNotBuilt,
        absl::StrCat(
            "tensord not compiled with CUDA enabled; its devices are: ",
            present));
  }
  if (!cuda_.unavailable.empty()) {
    return NotPresent(
        absl::StrCat(cuda_.unavailable, "; the devices are: ", present));
  }
  return NotPresent(
      absl::StrCat("CUDA error: invalid device ordinal; there is no device ",
                   DeviceString(device), "; there are: ", present));
}

}  // namespace tensord
