// What calls wait for, and the threads that wait.
#ifndef TENSORD_CLIENT_CPP_SRC_EVENT_QUEUE_H_
#define TENSORD_CLIENT_CPP_SRC_EVENT_QUEUE_H_

#include <grpc/support/time.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <coroutine>

#include "absl/time/time.h"
#include "core/tsan.h"

namespace tensord::client {

// Comes out of a completion queue once for every operation that it was the tag
// of. Outlives those.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // To be asked for whenever an operation is started.
  void* tag() {
    HandOver(this);
    return this;
  }
  // An operation is over; `ok` is what gRPC says of it. Called by the thread
  // that runs the queue.
  virtual void Done(bool ok) = 0;

 protected:
  ~Event() = default;
};

// An event of one operation, that one coroutine awaits; the result is its `ok`.
// The operation may be over before.
class Completion final : public Event {
 public:
  void Done(bool ok) override;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> awaiting) noexcept;
  bool await_resume() const noexcept { return ok_; }

 private:
  bool ok_ = false;
  // The coroutine that waits, or kIsDone; null while neither is there.
  std::atomic<void*> state_ = nullptr;
};

// A completion queue whose tags are events. Thread-safe.
class EventQueue {
 public:
  EventQueue() = default;
  // REQUIRES: no operation is under way.
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  grpc::CompletionQueue* get() { return &queue_; }

  // Waits for an event and has it dealt with. REQUIRES: an operation is under
  // way.
  void RunOne();

 private:
  grpc::CompletionQueue queue_;
};

// The queue of calls that no thread waits for. Its threads are started with the
// first use: one for every two cores, at least one and four at most. They stay
// until the process ends.
EventQueue& BackgroundQueue();

// The time `timeout` from now, on gRPC's clock.
gpr_timespec DeadlineAfter(absl::Duration timeout);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_EVENT_QUEUE_H_
