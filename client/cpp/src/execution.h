// How calls are carried out.
#ifndef TENSORD_CLIENT_CPP_SRC_EXECUTION_H_
#define TENSORD_CLIENT_CPP_SRC_EXECUTION_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/src/call_group.h"
#include "client/cpp/src/event_queue.h"
#include "client/cpp/src/meter.h"
#include "client/cpp/src/task.h"

namespace tensord::client {

// What a task needs for its calls; what it points to outlives the task.
struct Execution {
  // Their operations end in it.
  EventQueue* queue = nullptr;
  // The thread that runs the queue waits for this task alone. It may block, and
  // what runs in parallel takes threads of its own.
  bool owns_thread = false;
  // Gives the task up.
  CallGroup* group = nullptr;
  // As ClientOptions has them.
  absl::Duration timeout = absl::InfiniteDuration();
  int max_attempts = 1;
  // A W3C trace context; empty for none.
  std::string traceparent = {};
  // Of what the task moves; null if nobody asks.
  ByteCounts* progress = nullptr;
};

// Runs `task`, which was given `execution`, on this thread to its end.
// REQUIRES: execution.owns_thread.
template <class T>
T Wait(const Execution& execution, Task<T> task) {
  std::optional<T> result;
  Start(std::move(task),
        [&result](T value) { result.emplace(std::move(value)); });
  while (!result.has_value()) execution.queue->RunOne();
  return *std::move(result);
}

// Pauses, until the task is given up at most.
Task<Nothing> Pause(const Execution& execution, absl::Duration time);

// Does work(execution, i) for every i below `count`, in parallel where threads
// can be had, and returns the first error once all is done. The first error
// gives the rest up.
Task<absl::Status> InParallel(
    const Execution& execution, std::size_t count,
    std::function<Task<absl::Status>(const Execution&, std::size_t)> work);

// Does work() where it may block: on this thread where that waits for the task
// alone, else on one of its own if there can be one.
Task<absl::Status> RunBlocking(const Execution& execution,
                               std::function<absl::Status()> work);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_EXECUTION_H_
