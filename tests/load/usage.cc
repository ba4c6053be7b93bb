#include "tests/load/usage.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tensord::load {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Processors that the control group leaves to this process.
std::optional<double> CpuQuota() {
  std::istringstream words(ReadFile("/sys/fs/cgroup/cpu.max"));
  double quota = 0;
  double period = 0;
  if (!(words >> quota >> period) || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

std::optional<Usage> UsageOf(pid_t pid) {
  const fs::path folder = absl::StrCat("/proc/", pid);
  const std::string stat = ReadFile(folder / "stat");
  // Behind the name of the process, which may hold anything.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == stat.npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 1));
  constexpr int kFieldsBefore = 11;
  std::string skipped;
  for (int i = 0; i < kFieldsBefore; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  std::istringstream memory(ReadFile(folder / "statm"));
  std::int64_t size = 0;
  std::int64_t resident = 0;
  if (!(fields >> user >> system) || !(memory >> size >> resident)) {
    return std::nullopt;
  }
  return Usage{.cpu_seconds =
                   (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)),
               .resident_bytes = resident * sysconf(_SC_PAGESIZE)};
}

double AllowedCpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  sched_getaffinity(0, sizeof(cpus), &cpus);
  const double allowed = std::max(1, CPU_COUNT(&cpus));
  return std::min(allowed, CpuQuota().value_or(allowed));
}

std::map<pid_t, double> ThreadCpuSeconds() {
  std::map<pid_t, double> seconds;
  std::error_code error;
  for (const auto& thread : fs::directory_iterator("/proc/self/task", error)) {
    std::istringstream words(ReadFile(thread.path() / "schedstat"));
    double nanos = 0;
    pid_t id = 0;
    // Threads end at any moment.
    if (words >> nanos &&
        absl::SimpleAtoi(thread.path().filename().string(), &id)) {
      seconds[id] = nanos * 1e-9;
    }
  }
  return seconds;
}

ServerUsage::ServerUsage(pid_t pid, std::string pid_file)
    : pid_(pid), pid_file_(std::move(pid_file)) {}

std::optional<Usage> ServerUsage::Read() {
  pid_t pid = pid_;
  if (!pid_file_.empty() && !absl::SimpleAtoi(ReadFile(pid_file_), &pid)) {
    return last_;
  }
  if (pid != pid_) {
    if (last_.has_value()) ended_cpu_seconds_ = last_->cpu_seconds;
    pid_ = pid;
  }
  if (pid_ == 0) return last_;
  const std::optional<Usage> now = UsageOf(pid_);
  if (now.has_value()) {
    last_ = Usage{.cpu_seconds = ended_cpu_seconds_ + now->cpu_seconds,
                  .resident_bytes = now->resident_bytes};
  }
  return last_;
}

}  // namespace tensord::load
