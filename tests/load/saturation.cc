#include "tests/load/saturation.h"

#include "absl/strings/str_format.h"

namespace tensord::load {
namespace {

constexpr double kNanosPerMilli = 1e6;

double Millis(std::int64_t nanos) {
  return static_cast<double>(nanos) / kNanosPerMilli;
}

}  // namespace

std::vector<std::string> WhySaturated(const SenderHealth& health,
                                      const SaturationLimits& limits) {
  std::vector<std::string> why;
  if (health.not_sent > 0) {
    why.push_back(absl::StrFormat(
        "%d of %d calls were not sent: as many as --max_in_flight allows were "
        "under way",
        health.not_sent, health.planned));
  }
  if (health.median_lag_ns > limits.median_lag_ns) {
    why.push_back(absl::StrFormat(
        "half of the calls were sent %.1f ms late or later; the limit is %.1f",
        Millis(health.median_lag_ns), Millis(limits.median_lag_ns)));
  }
  if (health.p99_lag_ns > limits.p99_lag_ns) {
    why.push_back(absl::StrFormat(
        "1 %% of the calls were sent %.1f ms late or later; the limit is %.1f",
        Millis(health.p99_lag_ns), Millis(limits.p99_lag_ns)));
  }
  if (health.busiest_thread >= limits.busy) {
    why.push_back(absl::StrFormat(
        "a thread of the generator was busy for %.0f %% of the time",
        health.busiest_thread * 100));
  }
  if (health.process >= limits.busy * health.allowed_cpus) {
    why.push_back(absl::StrFormat(
        "the generator took %.2f of the %.2f processors that it may use",
        health.process, health.allowed_cpus));
  }
  return why;
}

}  // namespace tensord::load
