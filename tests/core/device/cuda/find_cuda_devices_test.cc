#include "core/device/cuda/find_cuda_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tensord {
namespace {

using ::testing::AnyOf;
using ::testing::IsEmpty;
using ::testing::StartsWith;

#ifdef TENSORD_HAS_CUDA
constexpr bool kBuilt = true;
#else
constexpr bool kBuilt = false;
#endif

TEST(FindCudaDevicesTest, SaysWhyThereAreNone) {
  const CudaDevices found = FindCudaDevices();
  EXPECT_EQ(found.support.built, kBuilt);
  if (!kBuilt) {
    EXPECT_THAT(found.backends, IsEmpty());
    EXPECT_EQ(found.support.unavailable, "");
  } else if (found.backends.empty()) {
    EXPECT_THAT(found.support.unavailable,
                AnyOf(StartsWith("Found no NVIDIA driver on your system."),
                      StartsWith("The NVIDIA driver on your system is too old"),
                      StartsWith("No CUDA GPUs are available"),
                      StartsWith("CUDA error: ")));
  } else {
    EXPECT_EQ(found.support.unavailable, "");
  }
}

// Once for each server of a process.
TEST(FindCudaDevicesTest, MayBeAskedAgain) {
  const CudaDevices first = FindCudaDevices();
  const CudaDevices second = FindCudaDevices();
  EXPECT_EQ(first.support.unavailable, second.support.unavailable);
  EXPECT_EQ(first.backends.size(), second.backends.size());
}

}  // namespace
}  // namespace tensord
