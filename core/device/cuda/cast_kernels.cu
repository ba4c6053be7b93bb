#include <array>
#include <cstddef>
#include <cstdint>

#include "core/device/cuda/cast_kernel-inl.h"
#include "core/device/cuda/cast_kernels.h"
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

template <std::size_t kItemSize>
__global__ void __launch_bounds__(kBlockThreads)
    GatherKernel(const __grid_constant__ GatherLaunch launch) {
  RunGatherThread<kItemSize>(launch, blockIdx.x, threadIdx.x);
}

struct CastEntry {
  void (*kernel)(CastLaunch);
  std::uint32_t block_elements;
};

using CastRow = std::array<CastEntry, kDTypeCount>;

template <class From, class... To>
constexpr CastRow Row(TypeList<To...>) {
  return {{{CastKernel<From, To>, kBlockElements<From, To>}...}};
}

template <class... From>
constexpr std::array<CastRow, kDTypeCount> Table(TypeList<From...> types) {
  return {{Row<From>(types)...}};
}

constexpr std::array<CastRow, kDTypeCount> kCasts = Table(ScalarTypes{});

template <class Launch>
cudaError_t Enqueue(void (*kernel)(Launch), std::uint64_t blocks,
                    const Launch& launch, cudaStream_t stream) {
  void* arguments[] = {const_cast<Launch*>(&launch)};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel),
                          dim3(static_cast<unsigned>(blocks)),
                          dim3(kBlockThreads), arguments, 0, stream);
}

std::uint64_t Blocks(std::uint64_t elements, std::uint32_t block_elements) {
  return (elements + block_elements - 1) / block_elements;
}

}  // namespace

cudaError_t LaunchCast(const CastLaunch& launch, cudaStream_t stream) {
  if (launch.count == 0) return cudaSuccess;
  const CastEntry& entry = kCasts[static_cast<std::size_t>(launch.from)]
                                 [static_cast<std::size_t>(launch.to)];
  return Enqueue(entry.kernel, Blocks(launch.count, entry.block_elements),
                 launch, stream);
}

cudaError_t LaunchGather(const GatherLaunch& launch, cudaStream_t stream) {
  if (launch.count == 0) return cudaSuccess;
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
  return Enqueue(kernel, Blocks(launch.count, kGatherBlockElements), launch,
                 stream);
}

}  // namespace tensord::cuda_kernels
