// The kernels of casts, as tables. For device code.
#ifndef TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_H_
#define TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "core/device/cuda/cast_launch.h"
#include "core/dtype.h"

namespace tensord::cuda_kernels {

struct CastKernelEntry {
  void (*kernel)(CastLaunch);
  // What a block of it casts.
  std::uint32_t block_elements;
};

// Of one source, by destination.
struct CastKernelRow {
  CastKernelEntry entries[kDTypeCount];
};

// By source: those from bool to int64, and from float16 on. In two files, which
// compile side by side.
inline constexpr std::size_t kIntegerRowCount =
    static_cast<std::size_t>(DType::kFloat16);
extern const CastKernelRow kIntegerRows[kIntegerRowCount];
extern const CastKernelRow kFloatRows[kDTypeCount - kIntegerRowCount];

}  // namespace tensord::cuda_kernels

#endif  // TENSORD_CORE_DEVICE_CUDA_CAST_ROWS_H_
