// Whether it was the generator, not the server, that was at its limit.
#ifndef TENSORD_TESTS_LOAD_SATURATION_H_
#define TENSORD_TESTS_LOAD_SATURATION_H_

#include <cstdint>
#include <string>
#include <vector>

namespace tensord::load {

// How a generator fared in a segment.
struct SenderHealth {
  std::int64_t planned = 0;
  // Left out because too many calls were under way.
  std::int64_t not_sent = 0;
  // How much later than planned calls were sent.
  std::int64_t median_lag_ns = 0;
  std::int64_t p99_lag_ns = 0;
  // Of a processor: what the busiest thread took, and the whole process.
  double busiest_thread = 0;
  double process = 0;
  // Processors that the process may use.
  double allowed_cpus = 1;
};

struct SaturationLimits {
  std::int64_t median_lag_ns = 2'000'000;
  std::int64_t p99_lag_ns = 50'000'000;
  double busy = 0.95;
};

// A sentence for every limit that was passed: then latencies are the
// generator's own, and the run is void. Empty if it kept up.
std::vector<std::string> WhySaturated(const SenderHealth& health,
                                      const SaturationLimits& limits);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_SATURATION_H_
