#include "server/observe/grpc_log.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "grpc/support/log.h"

namespace tensord {
namespace {

// gRPC takes a function without state.
std::atomic<LogFormat> g_format{LogFormat::kText};

std::string_view SeverityName(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return "debug";
    case GPR_LOG_SEVERITY_INFO:
      return "info";
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  return "error";
}

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      break;
  }
  return LogLevel::kError;
}

void WriteGrpcLog(gpr_log_func_args* args) {
  WriteLogAt(LevelOf(args->severity),
             LogLine(g_format, "grpc")
                 .Add("severity", SeverityName(args->severity))
                 .Add("message", std::string_view(args->message))
                 .text());
}

}  // namespace

void TakeGrpcLog(LogFormat format) {
  g_format = format;
  gpr_set_log_function(WriteGrpcLog);
}

void DropGrpcLog() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_function([](gpr_log_func_args*) {});
}

}  // namespace tensord
