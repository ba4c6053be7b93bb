// Names for requests that may have to be repeated.
#ifndef TENSORD_CLIENT_CPP_SRC_REQUEST_ID_H_
#define TENSORD_CLIENT_CPP_SRC_REQUEST_ID_H_

#include <string>

namespace tensord::client {

// A random UUID (version 4, RFC 9562). Thread-safe.
std::string NewRequestId();

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_REQUEST_ID_H_
