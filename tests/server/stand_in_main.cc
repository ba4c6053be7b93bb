// The server with stand-ins for two CUDA devices of 256 MiB, for tests.
#include <gtest/gtest.h>

#include <cstddef>

#include "core/device/cuda/cuda_backend.h"
#include "server/program.h"
#include "tests/core/device/cuda/fake_cuda_runtime.h"

namespace tensord {
namespace {

int Run(int argc, char** argv) {
  const auto machine = testing::FakeCudaMachine::Make(
      {.device_memory_bytes = std::size_t{256} << 20});
  return RunProgram(argc, argv, [&](const ParallelFor& parallel_for) {
    CudaDevices devices;
    devices.support.built = true;
    for (int index = 0; index < 2; ++index) {
      devices.backends.push_back(
          *NewCudaBackend(machine->NewDevice(index), parallel_for));
    }
    return devices;
  });
}

}  // namespace
}  // namespace tensord

int main(int argc, char** argv) {
  const int status = tensord::Run(argc, argv);
  // What the stand-in found when it went.
  return ::testing::UnitTest::GetInstance()->Failed() ? 1 : status;
}
