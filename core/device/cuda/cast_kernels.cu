#include <cstddef>
#include <cstdint>

#include "core/device/cuda/cast_kernel-inl.h"
#include "core/device/cuda/cast_kernels.h"
#include "core/device/cuda/cast_rows.h"

namespace tensord::cuda_kernels {
namespace {

template <std::size_t kItemSize>
__global__ void __launch_bounds__(kBlockThreads)
    GatherKernel(const __grid_constant__ GatherLaunch launch) {
  RunGatherThread<kItemSize>(launch, blockIdx.x, threadIdx.x);
}

const CastKernelEntry& Find(DType from, DType to) {
  const auto source = static_cast<std::size_t>(from);
  const CastKernelRow& row = source < kIntegerRowCount
                                 ? kIntegerRows[source]
                                 : kFloatRows[source - kIntegerRowCount];
  return row.entries[static_cast<std::size_t>(to)];
}

template <class Launch>
cudaError_t Enqueue(void (*kernel)(Launch), std::uint32_t block_elements,
                    const Launch& launch, cudaStream_t stream) {
  if (launch.count == 0) return cudaSuccess;
  const std::uint64_t blocks =
      (launch.count + block_elements - 1) / block_elements;
  void* arguments[] = {const_cast<Launch*>(&launch)};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel),
                          dim3(static_cast<unsigned>(blocks)),
                          dim3(kBlockThreads), arguments, 0, stream);
}

}  // namespace

cudaError_t LaunchCast(const CastLaunch& launch, cudaStream_t stream) {
  const CastKernelEntry& entry = Find(launch.from, launch.to);
  return Enqueue(entry.kernel, entry.block_elements, launch, stream);
}

cudaError_t LaunchGather(const GatherLaunch& launch, cudaStream_t stream) {
  const auto kernel = [&]() -> void (*)(GatherLaunch) {
    switch (launch.item_size) {
      case 1:
        return GatherKernel<1>;
      case 2:
        return GatherKernel<2>;
      case 4:
        return GatherKernel<4>;
      case 8:
        return GatherKernel<8>;
      default:
        return GatherKernel<16>;
    }
  }();
  return Enqueue(kernel, kGatherBlockElements, launch, stream);
}

cudaError_t CheckDevice() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes,
                               reinterpret_cast<const void*>(GatherKernel<1>));
}

}  // namespace tensord::cuda_kernels
