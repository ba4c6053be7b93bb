#include "core/device/cuda/cast_rows-inl.h"

namespace tensord::cuda_kernels {

const CastKernelRow kFloatRows[kDTypeCount - kIntegerRowCount] = {
    Row<Float16>(ScalarTypes{}),      Row<BFloat16>(ScalarTypes{}),
    Row<float>(ScalarTypes{}),        Row<double>(ScalarTypes{}),
    Row<Complex64>(ScalarTypes{}),    Row<Complex128>(ScalarTypes{}),
    Row<Float8E4M3FN>(ScalarTypes{}), Row<Float8E5M2>(ScalarTypes{})};

}  // namespace tensord::cuda_kernels
