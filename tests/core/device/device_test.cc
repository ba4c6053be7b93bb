#include "core/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/error.h"

namespace tensord {
namespace {

void ExpectRefused(std::string_view text, std::string_view message) {
  const auto device = ParseDevice(text);
  EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_EQ(GetErrorReason(device.status()), reason::kDeviceInvalid) << text;
  EXPECT_EQ(std::string(device.status().message()), message);
}

TEST(DeviceTest, ParsesWhatNamesADevice) {
  EXPECT_EQ(*ParseDevice("cpu"), kCpuDevice);
  EXPECT_EQ(*ParseDevice("cpu:0"), kCpuDevice);
  EXPECT_EQ(*ParseDevice("cuda"), (Device{DeviceType::kCuda, 0}));
  EXPECT_EQ(*ParseDevice("cuda:0"), (Device{DeviceType::kCuda, 0}));
  EXPECT_EQ(*ParseDevice("cuda:17"), (Device{DeviceType::kCuda, 17}));
  EXPECT_EQ(*ParseDevice("cuda:2147483647"),
            (Device{DeviceType::kCuda, 2147483647}));
}

TEST(DeviceTest, ParsesWhatItPrints) {
  for (const Device device : {kCpuDevice, Device{DeviceType::kCuda, 0},
                              Device{DeviceType::kCuda, 12}}) {
    EXPECT_EQ(*ParseDevice(DeviceString(device)), device);
  }
  EXPECT_EQ(DeviceString({DeviceType::kCuda, 3}), "cuda:3");
  EXPECT_EQ(DeviceString(kCpuDevice), "cpu");
}

TEST(DeviceTest, RefusesMalformedTextAsPyTorchDoes) {
  for (const std::string text :
       {"cuda:-1", "cuda:x",  "cuda:", "cuda:01", "cuda:00",  "cuda:+1",
        "cuda: 1", "cuda:1 ", " cuda", "cuda :0", "cuda:1:2", "cuda:0x1",
        "cuda,0",  ":",       ":0",    "cpu:-1",  "cpu:00",   "cuda:1.0",
        "float32", "cuda0",   "cuda_0"}) {
    ExpectRefused(text, "Invalid device string: '" + text + "'");
  }
  ExpectRefused("", "Device string must not be empty");
}

TEST(DeviceTest, RefusesOtherKindsOfDevices) {
  for (const std::string text :
       {"gpu", "CPU", "Cuda", "cud", "cpuu", "mps", "xpu", "cuda_"}) {
    const std::string message =
        "Expected one of cpu, cuda device type at start of device string: " +
        text;
    ExpectRefused(text, message);
    ExpectRefused(text + ":0", message);
  }
}

TEST(DeviceTest, RefusesIndicesThatAreNoInt) {
  for (const std::string index :
       {"2147483648", "4294967296", "18446744073709551616",
        "99999999999999999999"}) {
    ExpectRefused("cuda:" + index, "Could not parse device index '" + index +
                                       "' in device string 'cuda:" + index +
                                       "'");
  }
}

// PyTorch takes any index and has one CPU nevertheless.
TEST(DeviceTest, RefusesASecondCpu) {
  ExpectRefused("cpu:1", "Invalid device string: 'cpu:1'");
}

TEST(DeviceTest, RepeatsHostileTextEscapedAndCut) {
  using std::string_literals::operator""s;
  ExpectRefused("cpu\n\0'"s, "Invalid device string: 'cpu\\n\\x00\\''");
  ExpectRefused("\xff", "Invalid device string: '\\xff'");
  for (const std::string& text :
       {std::string(100000, 'a'), "cuda:" + std::string(100000, '9'),
        std::string(100000, ':')}) {
    EXPECT_LT(ParseDevice(text).status().message().size(), 400);
  }
}

}  // namespace
}  // namespace tensord
