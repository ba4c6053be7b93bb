// Lines of the log, as text or JSON.
#ifndef TENSORD_SERVER_OBSERVE_LOG_LINE_H_
#define TENSORD_SERVER_OBSERVE_LOG_LINE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace tensord {

enum class LogFormat : std::uint8_t { kText, kJson };

// Lines of this and of higher levels are written.
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

// Of the process, kInfo at first; also how much gRPC has to say, once it was
// set. Thread-safe.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();
inline bool IsLogged(LogLevel level) { return level >= GetLogLevel(); }

// Builds one line: `call method=/a.B/C code=OK` or
// {"event":"call","time":"...","method":"/a.B/C","code":"OK"}. Whatever the
// values hold, it stays one line: quotes, line breaks, other control characters
// and bytes outside ASCII are escaped. Not thread-safe.
class LogLine {
 public:
  // `event` says what happened. REQUIRES: `event` and keys are plain words.
  LogLine(LogFormat format, std::string_view event);

  LogLine& Add(std::string_view key, std::string_view value);
  LogLine& Add(std::string_view key, std::int64_t value);
  // With three digits behind the point.
  LogLine& Add(std::string_view key, double value);

  // The line, with its line break.
  std::string text() const;

 private:
  void AddKey(std::string_view key);

  LogFormat format_;
  std::string text_;
};

// "listening on 127.0.0.1:50051" or {"event":"listening",...,"address":...}.
std::string AddressLine(LogFormat format, std::string_view event,
                        std::string_view address);

// Writes to the standard error stream with one system call. Thread-safe; lines
// that can not be written are lost.
void WriteLog(std::string_view line);
// The same if lines of that level are written.
void WriteLogAt(LogLevel level, std::string_view line);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_LOG_LINE_H_
