#include "core/device/device.h"

#include <cstddef>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

absl::Status InvalidDeviceString(std::string_view text) {
  return InvalidArgument(
      reason::kDeviceInvalid,
      absl::StrCat("Invalid device string: ", QuoteForMessage(text)));
}

bool IsTypeName(std::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_isalpha(c) && c != '_') return false;
  }
  return !text.empty();
}

// Digits without leading zeros.
bool IsIndex(std::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_isdigit(c)) return false;
  }
  return !text.empty() && (text == "0" || text[0] != '0');
}

std::optional<DeviceType> DeviceTypeFromName(std::string_view name) {
  if (name == "cpu") return DeviceType::kCpu;
  if (name == "cuda") return DeviceType::kCuda;
  return std::nullopt;
}

}  // namespace

std::string DeviceString(Device device) {
  switch (device.type) {
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kCuda:
      return absl::StrCat("cuda:", device.index);
  }
  return "";
}

absl::StatusOr<Device> ParseDevice(std::string_view text) {
  if (text.empty()) {
    return InvalidArgument(reason::kDeviceInvalid,
                           "Device string must not be empty");
  }
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const bool has_index = colon != std::string_view::npos;
  const std::string_view index = has_index ? text.substr(colon + 1) : "0";
  if (!IsTypeName(name) || !IsIndex(index)) return InvalidDeviceString(text);
  const std::optional<DeviceType> type = DeviceTypeFromName(name);
  if (!type.has_value()) {
    return InvalidArgument(
        reason::kDeviceInvalid,
        absl::StrCat("Expected one of cpu, cuda device type at start of device "
                     "string: ",
                     std::string(name.substr(0, 48))));
  }
  Device device{*type, 0};
  if (!absl::SimpleAtoi(std::string(index), &device.index)) {
    return InvalidArgument(
        reason::kDeviceInvalid,
        absl::StrCat("Could not parse device index ", QuoteForMessage(index),
                     " in device string ", QuoteForMessage(text)));
  }
  // There is one CPU device, however many processors it has.
  if (*type == DeviceType::kCpu && device.index != 0) {
    return InvalidDeviceString(text);
  }
  return device;
}

}  // namespace tensord
