// When the machine's processors do nothing for anybody.
#ifndef TENSORD_TESTS_LOAD_PAUSES_H_
#define TENSORD_TESTS_LOAD_PAUSES_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace tensord::load {

// Times in which a busy processor was taken from whoever used it.
struct Pauses {
  // Of all processors together.
  std::int64_t watched_ns = 0;
  std::vector<std::int64_t> lengths_ns;

  // What latency's percentiles are at least: of calls that take no time, and
  // come at any moment, `percent` of all wait for no longer than this for a
  // pause to end.
  double WaitAt(double percent) const;
};

// Keeps all processors busy for `time`, each with a thread that looks at the
// clock, and notes when it did not get to that for 50 us: interrupts, a
// hypervisor, other processes. Under load the same is in every latency. Only
// to be seen while all are busy: machines shared with others take a processor
// away from who uses much.
Pauses FindPauses(absl::Duration time);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_PAUSES_H_
