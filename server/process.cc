#include "server/process.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

namespace tensord {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

constexpr int kExitBySignal = 128;

void ExitNow(int signal) { _exit(kExitBySignal + signal); }

}  // namespace

// gRPC frees the slices of a message as soon as the message is consumed. As it
// comes, glibc returns them to the kernel, and the next message gets them back
// page by page: 2 GiB uploaded in messages of 4 MiB cost some 300,000 page
// faults, with these settings 5,000. What is kept is bounded by the most that
// was in flight at a time.
void KeepFreedMemory() {
  constexpr int kMebibyte = 1 << 20;
  // The top of the main heap is given back only above this.
  mallopt(M_TRIM_THRESHOLD, 512 * kMebibyte);
  // Heaps of other threads are mapped in pieces of 64 MiB; a padding as large
  // as a piece keeps them from being unmapped. Padding is address space, not
  // memory.
  mallopt(M_TOP_PAD, 64 * kMebibyte);
  // Messages of up to 4 MiB come from the heaps rather than from mappings of
  // their own; 32 MiB is the most that glibc takes.
  mallopt(M_MMAP_THRESHOLD, 32 * kMebibyte);
}

std::int64_t RaiseOpenFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  rlimit raised = limit;
  raised.rlim_cur = raised.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return limit.rlim_cur == RLIM_INFINITY
             ? INT64_MAX
             : static_cast<std::int64_t>(limit.rlim_cur);
}

void HoldStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int WaitForStopSignal() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

void ExitOnStopSignal() {
  std::signal(SIGTERM, ExitNow);
  std::signal(SIGINT, ExitNow);
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace tensord
