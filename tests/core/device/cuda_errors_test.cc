#include "core/device/cuda_errors.h"

#include <string>

#include "core/error.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

TEST(CudaOutOfMemoryTest, SaysWhatTorchSays) {
  const absl::Status status =
      CudaOutOfMemory(3, 2 * kGiB, 3 * kGiB / 2, 317 * kGiB / 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total "
            "capacity of 79.25 GiB of which 1.50 GiB is free.");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kDeviceMemoryExhausted);
  EXPECT_EQ(details.metadata.at("limitBytes"), "85094039552");
  EXPECT_EQ(details.metadata.at("usedBytes"), "83483426816");
  EXPECT_EQ(details.metadata.at("requestedBytes"), "2147483648");
}

TEST(CudaOutOfMemoryTest, WritesSizesAsTorchDoes) {
  const auto tried = [](std::int64_t size) {
    const std::string message(CudaOutOfMemory(0, size, 0, kGiB).message());
    const std::string before = "Tried to allocate ";
    const std::size_t begin = message.find(before) + before.size();
    return message.substr(begin, message.find(". GPU") - begin);
  };
  EXPECT_EQ(tried(0), "0 bytes");
  EXPECT_EQ(tried(1024), "1024 bytes");
  EXPECT_EQ(tried(1025), "1.00 KiB");
  EXPECT_EQ(tried(1 << 20), "1024.00 KiB");
  EXPECT_EQ(tried((1 << 20) + (1 << 18)), "1.25 MiB");
  EXPECT_EQ(tried(kGiB), "1024.00 MiB");
  EXPECT_EQ(tried(kGiB + kGiB / 2), "1.50 GiB");
}

}  // namespace
}  // namespace tensord
