// Makes rows of cast_rows.h.
#ifndef TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_INL_H_
#define TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_INL_H_

#include <cstdint>

#include "core/cast/cast_rules.h"
#include "core/device/cuda/cast_kernel-inl.h"
#include "core/device/cuda/cast_rows.h"
#include "core/scalar_types.h"

namespace tensord::cuda_kernels {
namespace {

constexpr unsigned kWholeWarp = 0xffffffff;
constexpr int kWarpThreads = 32;

// Adds what the threads of a warp found.
__device__ void Report(ThreadFailures found, CastFailureRecord* record) {
  if (!__any_sync(kWholeWarp, found.count > 0)) return;
  for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    found.count += __shfl_down_sync(kWholeWarp, found.count, distance);
    const std::uint64_t other =
        __shfl_down_sync(kWholeWarp, found.inverted_first, distance);
    if (other > found.inverted_first) found.inverted_first = other;
  }
  if (threadIdx.x % kWarpThreads == 0) {
    atomicAdd(&record->count, found.count);
    atomicMax(&record->inverted_first, found.inverted_first);
  }
}

template <class From, class To>
__global__ void __launch_bounds__(kBlockThreads)
    CastKernel(const __grid_constant__ CastLaunch launch) {
  const ThreadFailures found =
      RunCastThread<From, To>(launch, blockIdx.x, threadIdx.x);
  if constexpr (cast_rules::kMayMisfit<To, From>) {
    if (launch.failures != nullptr) Report(found, launch.failures);
  }
}

template <class From, class... To>
constexpr CastKernelRow Row(TypeList<To...>) {
  return {{{CastKernel<From, To>, kBlockElements<From, To>}...}};
}

}  // namespace
}  // namespace tensord::cuda_kernels

#endif  // TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_INL_H_
