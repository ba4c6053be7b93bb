#include "tests/load/noise.h"

#include <sys/prctl.h>

#include <cerrno>
#include <ctime>

namespace tensord::load {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::size_t kReserved = 1 << 20;

}  // namespace

std::int64_t NowNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
}

void SleepUntil(std::int64_t time_ns) {
  const timespec until{.tv_sec = time_ns / kNanosPerSecond,
                       .tv_nsec = time_ns % kNanosPerSecond};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) ==
         EINTR) {
  }
}

void WakeExactly() {
  // The default lets timers be 50 us late to save power.
  prctl(PR_SET_TIMERSLACK, 1UL);
}

NoiseMeter::NoiseMeter() : thread_([this] { Run(); }) {}

NoiseMeter::~NoiseMeter() { Stop(); }

const std::vector<NoiseMeter::Sample>& NoiseMeter::Stop() {
  stops_ = true;
  if (thread_.joinable()) thread_.join();
  return samples_;
}

void NoiseMeter::Run() {
  WakeExactly();
  // Growing would be noise of its own.
  samples_.reserve(kReserved);
  std::int64_t due = NowNanos() + kPeriodNanos;
  while (!stops_) {
    SleepUntil(due);
    samples_.push_back({due, NowNanos() - due});
    due += kPeriodNanos;
  }
}

}  // namespace tensord::load
