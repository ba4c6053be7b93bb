#include "tests/load/pauses.h"

#include <sched.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "tests/load/noise.h"

namespace tensord::load {
namespace {

constexpr std::int64_t kShortestNanos = 50'000;

// Has this thread run on one processor, where it may, and as others do: what
// takes all of a processor at real-time priority is held up by the kernel.
void PinTo(unsigned processor) {
  const sched_param priority{.sched_priority = 0};
  sched_setscheduler(0, SCHED_OTHER, &priority);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

Pauses WatchThis(std::int64_t until_ns) {
  Pauses pauses;
  const std::int64_t begin = NowNanos();
  std::int64_t last = begin;
  while (last < until_ns) {
    const std::int64_t now = NowNanos();
    if (now - last >= kShortestNanos) pauses.lengths_ns.push_back(now - last);
    last = now;
  }
  pauses.watched_ns = last - begin;
  return pauses;
}

}  // namespace

double Pauses::WaitAt(double percent) const {
  std::vector<std::int64_t> lengths = lengths_ns;
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  // The time in which whoever comes waits for longer than w is the sum of
  // length - w over the pauses that are longer.
  const double longer = (1 - percent / 100) * static_cast<double>(watched_ns);
  double sum = 0;
  double wait = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    sum += static_cast<double>(lengths[i]);
    wait = std::max(wait, (sum - longer) / static_cast<double>(i + 1));
  }
  return wait;
}

Pauses FindPauses(absl::Duration time) {
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 1U);
  const std::int64_t until = NowNanos() + absl::ToInt64Nanoseconds(time);
  std::vector<Pauses> found(processors);
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < processors; ++i) {
      threads.emplace_back([&, i] {
        PinTo(i);
        found[i] = WatchThis(until);
      });
    }
  }
  Pauses all;
  for (const Pauses& one : found) {
    all.watched_ns += one.watched_ns;
    all.lengths_ns.insert(all.lengths_ns.end(), one.lengths_ns.begin(),
                          one.lengths_ns.end());
  }
  return all;
}

}  // namespace tensord::load
