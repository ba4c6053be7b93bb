#include "server/program.h"

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/memory/freed_memory.h"
#include "server/observe/grpc_log.h"
#include "server/observe/log_line.h"
#include "server/options.h"
#include "server/process.h"
#include "server/server.h"

namespace tensord {
namespace {

// As the help text has them.
constexpr int kExitCannotStart = 1;
constexpr int kExitBadOptions = 2;

// An event as a sentence in the text format, as an object in JSON.
void LogEvent(LogFormat format, std::string_view event,
              const std::string& message) {
  WriteLog(format == LogFormat::kJson
               ? LogLine(format, event).Add("message", message).text()
               : message + "\n");
}

int Refuse(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "tensord: %s\n", message.c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ? kExitBadOptions
                                                             : kExitCannotStart;
}

void WarnOfFewFiles(LogFormat format) {
  const std::int64_t files = RaiseOpenFileLimit();
  if (files >= kMinOpenFiles) return;
  LogEvent(format, "warning",
           "only " + std::to_string(files) +
               " files may be open; raise the limit (ulimit -n) to " +
               std::to_string(kMinOpenFiles) + " or more");
}

// The lines that the help text promises.
void Announce(LogFormat format, const Server& server) {
  for (const std::string& address : server.addresses()) {
    WriteLog(AddressLine(format, "listening", address));
  }
  if (!server.metrics_address().empty()) {
    WriteLog(AddressLine(format, "metrics", server.metrics_address()));
  }
  WriteLog(LogLine(format, "ready").text());
}

int Serve(const ProgramOptions& options, const DeviceFinder& find_devices) {
  HoldStopSignals();
  // Where Abseil is built with assertions, as distributions build it, its
  // mutexes look for deadlocks each time that gRPC locks one: a fifth of the
  // instructions of a small call (tests/bench/README.md).
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  KeepFreedMemory(kServerFreedBytes);
  TakeGrpcLog(options.log_format);
  WarnOfFewFiles(options.log_format);
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options.server, [&](const ParallelFor& parallel_for) {
        CudaDevices devices = find_devices(parallel_for);
        for (const std::string& device : devices.left_out) {
          LogEvent(options.log_format, "warning", "left out " + device);
        }
        return devices;
      });
  if (!server.ok()) return Refuse(server.status());
  Announce(options.log_format, **server);
  WaitForStopSignal();
  LogEvent(options.log_format, "draining", "draining");
  ExitOnStopSignal();
  (*server)->Shutdown(options.drain);
  LogEvent(options.log_format, "stopped", "stopped");
  return 0;
}

}  // namespace

int RunProgram(int argc, const char* const* argv,
               const DeviceFinder& find_devices) {
  const absl::StatusOr<ProgramOptions> options = ParseOptions(argc, argv);
  if (!options.ok()) return Refuse(options.status());
  switch (options->action) {
    case ProgramOptions::Action::kHelp:
      std::fputs(HelpText().c_str(), stdout);
      return 0;
    case ProgramOptions::Action::kVersion:
      std::fputs(VersionText().c_str(), stdout);
      return 0;
    case ProgramOptions::Action::kServe:
      break;
  }
  return Serve(*options, find_devices);
}

}  // namespace tensord
