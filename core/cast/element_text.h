// Elements as Python prints them. Thread-safe.
#ifndef TENSORD_CORE_CAST_ELEMENT_TEXT_H_
#define TENSORD_CORE_CAST_ELEMENT_TEXT_H_

#include <cstddef>
#include <string>

#include "core/dtype.h"

namespace tensord {

// repr() of the bool, int, float or complex that PyTorch's item() makes of the
// element at `element`, in native byte order: "True", "300", "1e+20",
// "(1.5-2j)". Floats of fewer than 64 bits print with the digits of the double
// of the same value.
std::string ElementText(DType dtype, const std::byte* element);

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_ELEMENT_TEXT_H_
