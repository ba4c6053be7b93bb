// The types of elements, for those who use the client.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_DTYPE_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_DTYPE_H_

#include "core/dtype.h"  // IWYU pragma: export

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_DTYPE_H_
