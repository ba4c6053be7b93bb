#include "server/program.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/memory/freed_memory.h"
#include "server/listener_watch.h"
#include "server/observe/grpc_log.h"
#include "server/observe/log_line.h"
#include "server/options.h"
#include "server/probe.h"
#include "server/process.h"
#include "server/server.h"

namespace tensord {
namespace {

// As the help text has them.
constexpr int kExitFailure = 1;
constexpr int kExitBadOptions = 2;
constexpr int kExitNotAccepting = 3;

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
                                                             : kExitFailure;
}

absl::Status CheckOpenFiles() {
  const std::int64_t files = RaiseOpenFileLimit();
  if (files >= kMinOpenFiles) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "only ", files, " files may be open, and connections could use them up; ",
      kMinOpenFiles, " or more are needed (ulimit -Hn)"));
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

// Stops the server when it takes no more connections: who started it can start
// it again. Null where the flag says so.
std::unique_ptr<ListenerWatch> WatchListeners(const ProgramOptions& options,
                                              const Server& server,
                                              std::atomic<bool>& is_silent) {
  if (options.listener_watch <= absl::ZeroDuration()) return nullptr;
  ListenerWatch::Options watch;
  watch.patience = absl::Floor(options.listener_watch / watch.max_unanswered,
                               absl::Milliseconds(1));
  return std::make_unique<ListenerWatch>(
      server.addresses(), watch,
      [&options, &is_silent](const std::string& address,
                             const std::string& message) {
        WriteLog(LogLine(options.log_format, "not_accepting")
                     .Add("address", address)
                     .Add("message", message)
                     .text());
        is_silent = true;
        EndWait();
      });
}

int RunProbe(const ProgramOptions& options) {
  DropGrpcLog();
  const absl::Status status = Probe(options.server, options.probe);
  return status.ok() ? 0 : Refuse(status);
}

int Serve(const ProgramOptions& options, const DeviceFinder& find_devices) {
  HoldStopSignals();
  // Where Abseil is built with assertions, as distributions build it, its
  // mutexes look for deadlocks each time that gRPC locks one: a fifth of the
  // instructions of a small call (tests/bench/README.md).
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  KeepFreedMemory(kServerFreedBytes);
  // glibc makes eight for a core. With one for each the server
  // takes a third less memory at rest (tests/bench/README.md).
  LimitHeaps(
      std::max(static_cast<int>(std::thread::hardware_concurrency()), 1));
  TakeGrpcLog(options.log_format);
  if (options.log_level != LogLevel::kInfo) SetLogLevel(options.log_level);
  if (absl::Status files = CheckOpenFiles(); !files.ok()) return Refuse(files);
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
  NotifySupervisor("READY=1");
  std::atomic<bool> is_silent = false;
  auto watch = WatchListeners(options, **server, is_silent);
  WaitForStopSignal();
  watch.reset();
  LogEvent(options.log_format, "draining", "draining");
  NotifySupervisor("STOPPING=1");
  ExitOnStopSignal();
  (*server)->Shutdown(options.drain);
  LogEvent(options.log_format, "stopped", "stopped");
  return is_silent ? kExitNotAccepting : 0;
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
    case ProgramOptions::Action::kProbe:
      return RunProbe(*options);
    case ProgramOptions::Action::kServe:
      break;
  }
  return Serve(*options, find_devices);
}

}  // namespace tensord
