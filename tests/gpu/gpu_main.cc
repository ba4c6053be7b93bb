// main() of the tests: exits with 77 where there is no CUDA device.
#include <gtest/gtest.h>

#include <cstdio>

#include "core/device/cuda/find_cuda_devices.h"

namespace {

constexpr int kSkipped = 77;

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (!::testing::GTEST_FLAG(list_tests)) {
    const tensord::CudaDevices devices = tensord::FindCudaDevices();
    for (const auto& backend : devices.backends) {
      std::printf("%s: %s\n", tensord::DeviceString(backend->device()).c_str(),
                  backend->description().c_str());
    }
    if (devices.backends.empty()) {
      std::printf("nothing was run: %s\n", devices.support.unavailable.c_str());
      return kSkipped;
    }
  }
  return RUN_ALL_TESTS();
}
