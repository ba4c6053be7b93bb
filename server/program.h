// The program: flags to options to a server that runs until it is told to stop.
#ifndef TENSORD_SERVER_PROGRAM_H_
#define TENSORD_SERVER_PROGRAM_H_

#include "server/server.h"

namespace tensord {

// main() of a server that has, beside the CPU, the devices that `find_devices`
// finds. What the exit status means is in the help text.
int RunProgram(int argc, const char* const* argv,
               const DeviceFinder& find_devices);

}  // namespace tensord

#endif  // TENSORD_SERVER_PROGRAM_H_
