// The command line and the environment of the daemon.
#ifndef TENSORD_SERVER_OPTIONS_H_
#define TENSORD_SERVER_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/observe/log_line.h"
#include "server/probe.h"
#include "server/server.h"

namespace tensord {

struct ProgramOptions {
  enum class Action : std::uint8_t { kServe, kHelp, kVersion, kProbe };

  Action action = Action::kServe;
  // What to ask the server that these options are for.
  ProbeKind probe = ProbeKind::kReadiness;
  ServerOptions server;
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  // How long calls may go on after a signal to stop.
  absl::Duration drain = absl::Seconds(20);
  // How long new connections may go unanswered before the program ends; 0: for
  // ever.
  absl::Duration listener_watch = absl::Seconds(15);
};

// The value of an environment variable; nothing if it is not set.
using Environment =
    std::function<std::optional<std::string>(const std::string& name)>;

// What this process was started with.
std::optional<std::string> ProcessEnvironment(const std::string& name);

// Reads `argv`, whose first element is the program, and TENSORD_* variables for
// the flags that are not in it; HelpText says what there is. A variable that is
// empty counts as not set. Variables that belong to no flag are left alone:
// Kubernetes makes up some for a service called tensord. INVALID_ARGUMENT, with
// the flag or variable and the value, for what can not be understood, and for
// addresses that are open to others without TLS unless --insecure is given,
// which a probe may leave out. Not thread-safe.
absl::StatusOr<ProgramOptions> ParseOptions(
    int argc, const char* const* argv,
    const Environment& environment = ProcessEnvironment);

// The reference of all flags, lines on the standard error stream, signals and
// exit codes.
std::string HelpText();

// "tensord 1.2.3", with a line break.
std::string VersionText();

}  // namespace tensord

#endif  // TENSORD_SERVER_OPTIONS_H_
