// The rules of casts as CUDA's compiler understands them for the host.
#ifndef TENSORD_TESTS_CORE_CAST_NVCC_TABLE_H_
#define TENSORD_TESTS_CORE_CAST_NVCC_TABLE_H_

#include "core/cast/cast_table.h"

namespace tensord::testing {

// A table of plain loops over elements, "nvcc".
const CastTable& NvccCastTable();

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_NVCC_TABLE_H_
