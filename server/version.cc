#include "server/version.h"

namespace tensord {

// The build file defines it, for this source alone.
const char* Version() { return TENSORD_VERSION; }

}  // namespace tensord
