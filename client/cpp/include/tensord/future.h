// The results of calls that nobody waits for.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_FUTURE_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_FUTURE_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"

namespace tensord {

template <class T>
class Future;

namespace internal {

// What a future shares with its call. Thread-safe.
template <class T>
class FutureState {
 public:
  FutureState() = default;
  FutureState(const FutureState&) = delete;
  FutureState& operator=(const FutureState&) = delete;
  virtual ~FutureState() = default;

  // Gives the call up.
  virtual void Cancel() = 0;

  // To be called once.
  void Set(T value) {
    std::function<void(T)> callback;
    std::optional<T> for_callback;
    {
      MutexLock lock(mutex_);
      callback.swap(callback_);
      (callback == nullptr ? value_ : for_callback).emplace(std::move(value));
      is_set_ = true;
      // Under the lock: whoever waits may destroy this.
      set_.NotifyAll();
    }
    if (callback != nullptr) callback(*std::move(for_callback));
  }

  void Then(std::function<void(T)> callback) {
    std::optional<T> value;
    {
      MutexLock lock(mutex_);
      if (!is_set_) {
        callback_ = std::move(callback);
        return;
      }
      value = std::move(value_);
    }
    callback(*std::move(value));
  }

  bool is_set() const {
    MutexLock lock(mutex_);
    return is_set_;
  }

  void Wait() {
    MutexLock lock(mutex_);
    while (!is_set_) set_.Wait(mutex_);
  }

  T Take() {
    MutexLock lock(mutex_);
    while (!is_set_) set_.Wait(mutex_);
    return *std::move(value_);
  }

 private:
  mutable Mutex mutex_;
  Condition set_;
  bool is_set_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
  std::function<void(T)> callback_ ABSL_GUARDED_BY(mutex_);
};

// A call that is over.
template <class T>
class ReadyCall final : public FutureState<T> {
 public:
  explicit ReadyCall(T result) { this->Set(std::move(result)); }
  void Cancel() override {}
};

// A call whose result is made of another's.
template <class T, class From>
class MappedCall final : public FutureState<T> {
 public:
  explicit MappedCall(std::shared_ptr<FutureState<From>> from)
      : from_(std::move(from)) {}
  void Cancel() override { from_->Cancel(); }

 private:
  const std::shared_ptr<FutureState<From>> from_;
};

template <class To, class From, class Map>
Future<To> MapFuture(Future<From> future, Map map);

}  // namespace internal

// The result, an absl::Status or absl::StatusOr, of a call that runs in the
// background. Memory that the call was given has to stay until the result is
// there. Movable; used by one thread at a time, but for Cancel.
template <class T>
class [[nodiscard]] Future {
 public:
  // Of the library.
  explicit Future(std::shared_ptr<internal::FutureState<T>> state)
      : state_(std::move(state)) {}
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) = delete;
  // Gives the call up and waits for its end, unless Get or Then was called.
  ~Future() {
    if (state_ == nullptr) return;
    state_->Cancel();
    state_->Wait();
  }

  // Whether the result is there.
  bool is_ready() const { return state_->is_set(); }
  void Wait() const { state_->Wait(); }

  // Waits for the result. REQUIRES: not called before, nor was Then.
  T Get() && { return std::exchange(state_, nullptr)->Take(); }

  // Has the result, once it is there, handed to `callback`: on this thread if
  // it is there already, else on one of those that run all such calls, of which
  // there are few. Those may start calls, but not wait for futures; nor may the
  // callback throw. REQUIRES: not called before, nor was Get.
  void Then(std::function<void(T)> callback) && {
    std::exchange(state_, nullptr)->Then(std::move(callback));
  }

  // Gives the call up, which then ends soon: with CANCELLED, unless it was
  // about to end anyway. Thread-safe. REQUIRES: neither Get nor Then was
  // called.
  void Cancel() const { state_->Cancel(); }

 private:
  template <class To, class From, class Map>
  friend Future<To> internal::MapFuture(Future<From> future, Map map);

  std::shared_ptr<internal::FutureState<T>> state_;
};

namespace internal {

template <class T>
Future<T> ReadyFuture(T result) {
  return Future<T>(std::make_shared<ReadyCall<T>>(std::move(result)));
}

// What map(result) makes of the result of `future`, wherever that comes; `map`
// may not throw.
template <class To, class From, class Map>
Future<To> MapFuture(Future<From> future, Map map) {
  const std::shared_ptr<FutureState<From>> from =
      std::exchange(future.state_, nullptr);
  const auto call = std::make_shared<MappedCall<To, From>>(from);
  from->Then([call, map = std::move(map)](From result) mutable {
    call->Set(map(std::move(result)));
  });
  return Future<To>(call);
}

}  // namespace internal

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_FUTURE_H_
