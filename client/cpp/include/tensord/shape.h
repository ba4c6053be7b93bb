// Shapes, strides and basic indices, for those who use the client.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_SHAPE_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_SHAPE_H_

#include "core/shape.h"  // IWYU pragma: export

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_SHAPE_H_
