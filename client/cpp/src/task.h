// Coroutines that the calls of a client are written as.
#ifndef TENSORD_CLIENT_CPP_SRC_TASK_H_
#define TENSORD_CLIENT_CPP_SRC_TASK_H_

#include <coroutine>
#include <exception>
#include <new>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "core/error.h"

namespace tensord::client {

// A computation that begins when it is awaited, and may pause for calls; its
// result is a T. Whoever has the task owns it: what it was given by reference
// has to outlive it, and it may only be destroyed before it began or after its
// end. Exceptions pass to who awaits. Used by one thread at a time.
template <class T>
class [[nodiscard]] Task {
 public:
  class promise_type;

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  auto operator co_await() && noexcept { return Awaiter{frame_}; }

 private:
  using Frame = std::coroutine_handle<promise_type>;

  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    Frame await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      frame.promise().awaiting_ = awaiting;
      return frame;
    }
    T await_resume() const { return frame.promise().TakeResult(); }

    Frame frame;
  };

  explicit Task(Frame frame) : frame_(frame) {}

  Frame frame_;
};

template <class T>
class Task<T>::promise_type {
 public:
  Task get_return_object() { return Task(Frame::from_promise(*this)); }
  std::suspend_always initial_suspend() const noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(Frame frame) const noexcept {
      return frame.promise().awaiting_;
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }

  template <class U>
  void return_value(U&& value) {
    result_.template emplace<T>(std::forward<U>(value));
  }
  void unhandled_exception() { result_ = std::current_exception(); }

 private:
  friend class Task;

  T TakeResult() {
    if (auto* const thrown = std::get_if<std::exception_ptr>(&result_)) {
      std::rethrow_exception(*thrown);
    }
    return std::move(std::get<T>(result_));
  }

  std::coroutine_handle<> awaiting_;
  std::variant<std::monostate, T, std::exception_ptr> result_;
};

// The result of a task that is awaited for its effect.
struct Nothing {};

// Takes a status out of what returns none.
struct StatusException {
  absl::Status status;
};

// What a call that ended with an exception is said to have ended with: that of
// a StatusException, RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED) or INTERNAL. To be
// called where the exception is caught.
inline absl::Status StatusOfException() noexcept {
  try {
    throw;
  } catch (const StatusException& thrown) {
    return thrown.status;
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kMemoryExhausted, "out of memory");
  } catch (...) {
    return MakeError(absl::StatusCode::kInternal, reason::kInternal,
                     "the client failed");
  }
}

namespace internal {

// A coroutine that nobody waits for.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

template <class T>
Task<T> WithoutExceptions(Task<T> task) {
  try {
    co_return co_await std::move(task);
  } catch (...) {
    co_return StatusOfException();
  }
}

template <class T, class Done>
Detached RunDetached(Task<T> task, Done done) {
  done(co_await std::move(task));
}

}  // namespace internal

// Begins `task` on this thread, and calls done(T) with its result on whichever
// thread it ends; T, a Status or StatusOr, tells of an exception as
// StatusOfException does. `done` may not throw. Throws bad_alloc before it
// begins.
template <class T, class Done>
void Start(Task<T> task, Done done) {
  internal::RunDetached(internal::WithoutExceptions(std::move(task)),
                        std::move(done));
}

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_TASK_H_
