#include "tests/core/device/cuda/host_kernels.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/device/cuda/cast_kernel-inl.h"
#include "core/scalar_types.h"

namespace tensord::testing {
namespace {

// Calls run(block, thread) for every thread of the blocks that cover `count`
// elements.
template <class Run>
void ForEachThread(std::uint64_t count, std::uint32_t block_elements, Run run) {
  for (std::uint64_t block = 0; block * block_elements < count; ++block) {
    for (std::uint32_t thread = 0; thread < cuda_kernels::kBlockThreads;
         ++thread) {
      run(block, thread);
    }
  }
}

template <class From, class To>
void Cast(const CastLaunch& launch) {
  ForEachThread(
      launch.count, cuda_kernels::kBlockElements<From, To>,
      [&](std::uint64_t block, std::uint32_t thread) {
        const cuda_kernels::ThreadFailures found =
            cuda_kernels::RunCastThread<From, To>(launch, block, thread);
        if (found.count == 0) return;
        CastFailureRecord& record = *launch.failures;
        record.count += found.count;
        record.inverted_first = std::max<decltype(record.inverted_first)>(
            record.inverted_first, found.inverted_first);
      });
}

using CastRow = std::array<void (*)(const CastLaunch&), kDTypeCount>;

template <class From, class... To>
constexpr CastRow Row(TypeList<To...>) {
  return {Cast<From, To>...};
}

template <class... From>
constexpr std::array<CastRow, kDTypeCount> Table(TypeList<From...> types) {
  return {Row<From>(types)...};
}

template <std::size_t kItemSize>
void Gather(const GatherLaunch& launch) {
  ForEachThread(launch.count, cuda_kernels::kGatherBlockElements,
                [&](std::uint64_t block, std::uint32_t thread) {
                  cuda_kernels::RunGatherThread<kItemSize>(launch, block,
                                                           thread);
                });
}

}  // namespace

void RunCast(const CastLaunch& launch) {
  static constexpr std::array<CastRow, kDTypeCount> kCasts =
      Table(ScalarTypes{});
  kCasts[static_cast<std::size_t>(launch.from)]
        [static_cast<std::size_t>(launch.to)](launch);
}

void RunGather(const GatherLaunch& launch) {
  switch (launch.item_size) {
    case 1:
      return Gather<1>(launch);
    case 2:
      return Gather<2>(launch);
    case 4:
      return Gather<4>(launch);
    case 8:
      return Gather<8>(launch);
    default:
      return Gather<16>(launch);
  }
}

}  // namespace tensord::testing
