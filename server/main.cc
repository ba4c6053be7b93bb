#include "core/device/cuda/find_cuda_devices.h"
#include "server/program.h"

int main(int argc, char** argv) {
  return tensord::RunProgram(argc, argv, tensord::FindCudaDevices);
}
