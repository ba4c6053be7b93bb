#include <cstdint>

#include "core/device/cuda/cast_rows-inl.h"

namespace tensord::cuda_kernels {

const CastKernelRow kIntegerRows[kIntegerRowCount] = {
    Row<Bool>(ScalarTypes{}),          Row<std::uint8_t>(ScalarTypes{}),
    Row<std::uint16_t>(ScalarTypes{}), Row<std::uint32_t>(ScalarTypes{}),
    Row<std::uint64_t>(ScalarTypes{}), Row<std::int8_t>(ScalarTypes{}),
    Row<std::int16_t>(ScalarTypes{}),  Row<std::int32_t>(ScalarTypes{}),
    Row<std::int64_t>(ScalarTypes{})};

}  // namespace tensord::cuda_kernels
