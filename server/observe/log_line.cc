#include "server/observe/log_line.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpc/support/log.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

bool IsPlain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x80 && absl::ascii_isgraph(byte) && c != '"' && c != '\\' &&
         c != '=';
}

std::string TextValue(std::string_view value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), IsPlain)) {
    return std::string(value);
  }
  return absl::StrCat("\"", absl::CHexEscape(ToAbsl(value)), "\"");
}

std::string JsonString(std::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text.append({'\\', c});
    } else if (byte >= 0x20 && byte < 0x7f) {
      text.push_back(c);
    } else {
      absl::StrAppendFormat(&text, "\\u%04x", byte);
    }
  }
  text.push_back('"');
  return text;
}

std::string Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                          absl::UTCTimeZone());
}

}  // namespace

LogLine::LogLine(LogFormat format, std::string_view event)
    : format_(format),
      text_(format == LogFormat::kText
                ? std::string(event)
                : absl::StrCat("{\"event\":", JsonString(event), ",\"time\":\"",
                               Now(), "\"")) {}

void LogLine::AddKey(std::string_view key) {
  if (format_ == LogFormat::kText) {
    absl::StrAppend(&text_, " ", ToAbsl(key), "=");
  } else {
    absl::StrAppend(&text_, ",\"", ToAbsl(key), "\":");
  }
}

LogLine& LogLine::Add(std::string_view key, std::string_view value) {
  AddKey(key);
  text_ += format_ == LogFormat::kText ? TextValue(value) : JsonString(value);
  return *this;
}

LogLine& LogLine::Add(std::string_view key, std::int64_t value) {
  AddKey(key);
  absl::StrAppend(&text_, value);
  return *this;
}

LogLine& LogLine::Add(std::string_view key, double value) {
  AddKey(key);
  absl::StrAppendFormat(&text_, "%.3f", value);
  return *this;
}

std::string LogLine::text() const {
  return absl::StrCat(text_, format_ == LogFormat::kText ? "\n" : "}\n");
}

void SetLogLevel(LogLevel level) {
  g_level = level;
  gpr_set_log_verbosity(level == LogLevel::kDebug ? GPR_LOG_SEVERITY_DEBUG
                                                  : GPR_LOG_SEVERITY_ERROR);
}

LogLevel GetLogLevel() { return g_level; }

std::string AddressLine(LogFormat format, std::string_view event,
                        std::string_view address) {
  if (format == LogFormat::kJson) {
    return LogLine(format, event).Add("address", address).text();
  }
  return absl::StrCat(ToAbsl(event), " on ", ToAbsl(address), "\n");
}

void WriteLog(std::string_view line) {
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, line.data(), line.size());
}

void WriteLogAt(LogLevel level, std::string_view line) {
  if (IsLogged(level)) WriteLog(line);
}

}  // namespace tensord
