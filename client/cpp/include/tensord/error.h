// What refusals say besides their message, for those who use the client.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ERROR_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ERROR_H_

#include "core/error.h"  // IWYU pragma: export

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ERROR_H_
