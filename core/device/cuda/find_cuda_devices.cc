#include "core/device/cuda/find_cuda_devices.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/device/cuda/cuda_backend.h"
#include "core/device/cuda/system_cuda_runtime.h"

namespace tensord {
namespace {

// Why no devices can be counted, as PyTorch says it.
std::string WhyUnavailable(cudaError_t error) {
  if (error == cudaErrorNoDevice) return "No CUDA GPUs are available";
  if (error != cudaErrorInsufficientDriver) {
    return absl::StrCat("CUDA error: ", cudaGetErrorString(error));
  }
  int version = 0;
  cudaDriverGetVersion(&version);
  return version == 0
             ? "Found no NVIDIA driver on your system. Please check that you "
               "have an NVIDIA GPU and installed a driver from "
               "http://www.nvidia.com/Download/index.aspx"
             : absl::StrCat(
                   "The NVIDIA driver on your system is too old "
                   "(found version ",
                   version,
                   "). Please update your GPU driver by downloading "
                   "and installing a new version from the URL: "
                   "http://www.nvidia.com/Download/index.aspx");
}

absl::StatusOr<std::unique_ptr<DeviceBackend>> Open(
    int index, const ParallelFor& parallel_for) {
  auto runtime = OpenCudaRuntime(index);
  if (!runtime.ok()) return runtime.status();
  return NewCudaBackend(*std::move(runtime), parallel_for);
}

}  // namespace

CudaDevices FindCudaDevices(const ParallelFor& parallel_for) {
  CudaDevices found;
  found.support.built = true;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  // Nobody else is to take it for his own.
  cudaGetLastError();
  if (error != cudaSuccess || count == 0) {
    found.support.unavailable = WhyUnavailable(
        count == 0 && error == cudaSuccess ? cudaErrorNoDevice : error);
    return found;
  }
  LetCudaDevicesReadEachOther(count);
  for (int index = 0; index < count; ++index) {
    auto backend = Open(index, parallel_for);
    if (backend.ok()) {
      found.backends.push_back(*std::move(backend));
    } else {
      found.left_out.push_back(
          absl::StrCat(DeviceString({DeviceType::kCuda, index}), ": ",
                       std::string(backend.status().message())));
    }
  }
  if (found.backends.empty()) {
    found.support.unavailable =
        absl::StrCat("No CUDA GPUs are available (",
                     absl::StrJoin(found.left_out, "; "), ")");
  }
  return found;
}

}  // namespace tensord
