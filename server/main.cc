#include <utility>

#include "core/device/cuda/find_cuda_devices.h"
#include "server/program.h"

int main(int argc, char** argv) {
  return tensord::RunProgram(
      argc, argv, [](const tensord::ParallelFor& parallel_for) {
        tensord::CudaDevices found = tensord::FindCudaDevices(parallel_for);
        return tensord::ExtraDevices{.cuda = std::move(found.support),
                                     .backends = std::move(found.backends),
                                     .left_out = std::move(found.left_out)};
      });
}
