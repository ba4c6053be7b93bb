// Waiting for what happens elsewhere.
#ifndef TENSORD_TESTS_EVENTUALLY_H_
#define TENSORD_TESTS_EVENTUALLY_H_

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tensord {

// Whether it becomes so before `patience` is over.
inline bool Eventually(const std::function<bool()>& is_so,
                       absl::Duration patience = absl::Seconds(30)) {
  const absl::Time end = absl::Now() + patience;
  while (!is_so()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

}  // namespace tensord

#endif  // TENSORD_TESTS_EVENTUALLY_H_
