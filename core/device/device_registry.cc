#include "core/device/device_registry.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error.h"

namespace tensord {

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
  if (device.type == DeviceType::kCuda && !cuda_built_) {
    return MakeError(absl::StatusCode::kUnimplemented, reason::kCudaNotBuilt,
                     absl::StrCat(DeviceString(device),
                                  ": this server was built without CUDA; its "
                                  "devices are: ",
                                  present));
  }
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   reason::kDeviceNotPresent,
                   absl::StrCat("there is no device ", DeviceString(device),
                                "; there are: ", present));
}

}  // namespace tensord
