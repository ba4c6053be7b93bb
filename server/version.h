// The version of this server.
#ifndef TENSORD_SERVER_VERSION_H_
#define TENSORD_SERVER_VERSION_H_

namespace tensord {

// Semantic version: "1.2.3".
const char* Version();

}  // namespace tensord

#endif  // TENSORD_SERVER_VERSION_H_
