// What the daemon asks of the operating system for the whole process. For
// main() alone: nothing here suits a library.
#ifndef TENSORD_SERVER_PROCESS_H_
#define TENSORD_SERVER_PROCESS_H_

#include <cstdint>
#include <string_view>

namespace tensord {

// With fewer file descriptors a burst of connections can use them up; gRPC 1.51
// does not accept connections again after that happened.
inline constexpr std::int64_t kMinOpenFiles = 4096;

// Raises the number of files that may be open as far as is allowed; returns it.
std::int64_t RaiseOpenFileLimit();

// Blocks SIGTERM and SIGINT in this thread and those that it starts, so that
// WaitForStopSignal gets them; ignores SIGPIPE, so that a log nobody reads ends
// nothing. REQUIRES: no other threads yet.
void HoldStopSignals();

// Returns once there is a SIGTERM or SIGINT, with its number, or EndWait was
// called; 0 then. REQUIRES: HoldStopSignals.
int WaitForStopSignal();

// Ends WaitForStopSignal, from any thread, now or when it is called. Does it by
// the signal SIGRTMAX, which is for nothing else here: a SIGTERM that comes
// late would count as the second one. REQUIRES: HoldStopSignals.
void EndWait();

// Tells systemd, or another supervisor that set NOTIFY_SOCKET, what `state`
// says in the format of sd_notify: "READY=1". No effect without one, or where
// it does not listen.
void NotifySupervisor(std::string_view state);

// From here on SIGTERM and SIGINT end the process at once, with exit code 128
// plus the signal's number. REQUIRES: same thread as HoldStopSignals.
void ExitOnStopSignal();

}  // namespace tensord

#endif  // TENSORD_SERVER_PROCESS_H_
