// A device as a value: a type and an index.
#ifndef TENSORD_CORE_DEVICE_DEVICE_H_
#define TENSORD_CORE_DEVICE_DEVICE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensord {

enum class DeviceType : std::uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  // 0 for the CPU.
  int index = 0;
  bool operator==(const Device&) const = default;
};

inline constexpr Device kCpuDevice{};

// "cpu", "cuda:0".
std::string DeviceString(Device device);

// Reads "cpu", "cpu:0", "cuda" (index 0) and "cuda:N". INVALID_ARGUMENT
// (DEVICE_INVALID) with PyTorch's message for anything else.
absl::StatusOr<Device> ParseDevice(std::string_view text);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_DEVICE_H_
