#include "client/cpp/src/execution.h"

#include <grpcpp/alarm.h>

#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"

namespace tensord::client {
namespace {

class CancellableAlarm final : public Cancellable {
 public:
  grpc::Alarm& operator*() { return alarm_; }
  void Cancel() override { alarm_.Cancel(); }

 private:
  grpc::Alarm alarm_;
};

// What works that run in parallel come to.
class Outcome {
 public:
  // `works` of them; the first error cancels `group`.
  Outcome(std::size_t works, CallGroup& group)
      : group_(group), unfinished_(works) {}

  void Add(absl::Status status) {
    if (!status.ok() && Keep(std::move(status))) group_.Cancel();
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      over_.Done(true);
    }
  }

  // To be awaited.
  Completion& over() { return over_; }

  absl::Status status() const {
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  // Whether it is the first.
  bool Keep(absl::Status error) {
    MutexLock lock(mutex_);
    if (!status_.ok()) return false;
    status_ = std::move(error);
    return true;
  }

  CallGroup& group_;
  std::atomic<std::size_t> unfinished_;
  Completion over_;
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

using Work = std::function<Task<absl::Status>(const Execution&, std::size_t)>;

absl::Status RunOnThisThread(const Execution& execution, const Work& work,
                             std::size_t i) noexcept {
  try {
    EventQueue queue;
    Execution own = execution;
    own.queue = &queue;
    return Wait(own, work(own, i));
  } catch (...) {
    return StatusOfException();
  }
}

void RunOnThreads(const Execution& execution, const Work& work,
                  std::size_t count, Outcome& outcome) {
  const auto run = [&](std::size_t i) {
    outcome.Add(RunOnThisThread(execution, work, i));
  };
  std::vector<std::jthread> threads;
  threads.reserve(count);
  std::size_t started = 1;
  try {
    for (; started < count; ++started) {
      threads.emplace_back([&run, started] { run(started); });
    }
  } catch (const std::system_error&) {
    // The system has no more threads: the rest follows here.
  }
  run(0);
  for (; started < count; ++started) run(started);
}

}  // namespace

Task<Nothing> Pause(const Execution& execution, absl::Duration time) {
  Completion over;
  CancellableAlarm alarm;
  (*alarm).Set(execution.queue->get(), DeadlineAfter(time), over.tag());
  const Membership membership(*execution.group, alarm);
  co_await over;
  co_return Nothing();
}

Task<absl::Status> InParallel(const Execution& execution, std::size_t count,
                              Work work) {
  if (count == 0) co_return absl::OkStatus();
  CallGroup group(execution.group);
  Outcome outcome(count, group);
  Execution shared = execution;
  shared.group = &group;
  if (execution.owns_thread) {
    RunOnThreads(shared, work, count, outcome);
    co_return outcome.status();
  }
  for (std::size_t i = 0; i < count; ++i) {
    try {
      Start(work(shared, i), [&outcome](absl::Status status) {
        outcome.Add(std::move(status));
      });
    } catch (...) {
      outcome.Add(StatusOfException());
    }
  }
  Completion& over = outcome.over();
  co_await over;
  co_return outcome.status();
}

Task<absl::Status> RunBlocking(const Execution& execution,
                               std::function<absl::Status()> work) {
  if (execution.owns_thread) co_return work();
  absl::Status status;
  Completion over;
  grpc::Alarm alarm;
  // The last: ends before what it uses goes.
  std::jthread thread;
  try {
    thread = std::jthread([&] {
      try {
        status = work();
      } catch (...) {
        status = StatusOfException();
      }
      // The task goes on where all of them do.
      alarm.Set(execution.queue->get(), DeadlineAfter(absl::ZeroDuration()),
                over.tag());
    });
  } catch (const std::system_error&) {
    // The system has no more threads.
    co_return work();
  }
  co_await over;
  co_return status;
}

}  // namespace tensord::client
