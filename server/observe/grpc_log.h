// What gRPC itself has to say, among the lines of this log.
#ifndef TENSORD_SERVER_OBSERVE_GRPC_LOG_H_
#define TENSORD_SERVER_OBSERVE_GRPC_LOG_H_

#include "server/observe/log_line.h"

namespace tensord {

// From here on gRPC writes an event "grpc", with severity and message, for what
// it would have printed; how much that is, the variable GRPC_VERBOSITY says.
// For main() alone: there is one log in a process.
void TakeGrpcLog(LogFormat format);

// From here on gRPC writes nothing, unless GRPC_VERBOSITY is set. For those who
// get what matters as a status.
void DropGrpcLog();

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_GRPC_LOG_H_
