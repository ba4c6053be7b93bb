// What processes take of the machine, from /proc.
#ifndef TENSORD_TESTS_LOAD_USAGE_H_
#define TENSORD_TESTS_LOAD_USAGE_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace tensord::load {

struct Usage {
  double cpu_seconds = 0;  // Of all threads; in steps of 10 ms.
  std::int64_t resident_bytes = 0;
};

// Nothing if there is no such process.
std::optional<Usage> UsageOf(pid_t pid);

// The processors that this process may keep busy: those of its affinity, or
// less where a quota of its control group says so.
double AllowedCpus();

// Seconds of processor of each thread of this process, in steps of
// microseconds or less.
std::map<pid_t, double> ThreadCpuSeconds();

// A server that may be started anew meanwhile, under another id: its processor
// time goes on where it was. Used by one thread at a time.
class ServerUsage {
 public:
  // `pid_file` has the id of the process. Without a file, `pid` is it; 0 for a
  // server that nothing is known of.
  ServerUsage(pid_t pid, std::string pid_file);

  // The last that is known while there is no server; nothing before there was
  // one.
  std::optional<Usage> Read();

 private:
  pid_t pid_;
  const std::string pid_file_;
  // Of processes that ended.
  double ended_cpu_seconds_ = 0;
  std::optional<Usage> last_;
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_USAGE_H_
