#include "client/cpp/src/fork.h"

#include <pthread.h>

#include <atomic>

#include "core/error.h"

namespace tensord::client {
namespace {

std::atomic<bool> is_forked = false;

void InChild() { is_forked.store(true, std::memory_order_relaxed); }

}  // namespace

void WatchForks() {
  static const int registered = pthread_atfork(nullptr, nullptr, &InChild);
  (void)registered;
}

bool IsForked() { return is_forked.load(std::memory_order_relaxed); }

absl::Status CheckNotForked() {
  if (!IsForked()) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, reason::kForked,
      "this process was forked from one that had connected already, and gRPC "
      "does not outlive that: connect after forking only, or start processes "
      "with 'spawn' or 'forkserver'");
}

}  // namespace tensord::client
