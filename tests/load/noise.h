// How late the machine wakes a thread that does nothing else.
#ifndef TENSORD_TESTS_LOAD_NOISE_H_
#define TENSORD_TESTS_LOAD_NOISE_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace tensord::load {

// On the clock of all times here, which never steps.
std::int64_t NowNanos();

// Returns at `time_ns` or later.
void SleepUntil(std::int64_t time_ns);

// Has this thread woken as exactly as the system can.
void WakeExactly();

// What the latency of a call can not be told from: a thread sleeps until fixed
// deadlines and notes by how much it missed them. Scheduler, hypervisor and
// whatever else runs are in it, this process and the server included.
class NoiseMeter {
 public:
  struct Sample {
    std::int64_t due_ns = 0;
    std::int64_t late_ns = 0;
  };

  static constexpr std::int64_t kPeriodNanos = 1'000'000;

  // Begins at once.
  NoiseMeter();
  ~NoiseMeter();
  NoiseMeter(const NoiseMeter&) = delete;
  NoiseMeter& operator=(const NoiseMeter&) = delete;

  // In order. The meter has stopped then. A deadline that passed while the
  // thread was late for the one before is a sample too.
  const std::vector<Sample>& Stop();

 private:
  void Run();

  std::atomic<bool> stops_{false};
  std::vector<Sample> samples_;
  std::thread thread_;
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_NOISE_H_
