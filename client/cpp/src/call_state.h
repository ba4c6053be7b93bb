// Between the calls of the API and the tasks that carry them out.
#ifndef TENSORD_CLIENT_CPP_SRC_CALL_STATE_H_
#define TENSORD_CLIENT_CPP_SRC_CALL_STATE_H_

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "client/cpp/src/call_group.h"
#include "client/cpp/src/event_queue.h"
#include "client/cpp/src/execution.h"
#include "client/cpp/src/task.h"
#include "tensord/call_options.h"
#include "tensord/client.h"
#include "tensord/future.h"

namespace tensord {

// What the task of a call needs as long as it runs.
class CallState {
 public:
  // `queue` outlives this. What `options` leave open is as `defaults` have it.
  CallState(client::EventQueue& queue, bool owns_thread,
            const ClientOptions& defaults, const CallOptions& options);

  const client::Execution& execution() const { return execution_; }
  // Gives the call up.
  void Cancel() { group_.Cancel(); }

 private:
  const std::optional<Cancellation> cancellation_;
  const std::optional<Progress> progress_;
  client::CallGroup group_;
  client::Execution execution_;
};

// INVALID_ARGUMENT (TRACEPARENT_INVALID): gRPC could not carry the trace
// context. FAILED_PRECONDITION (FORKED): it could make no call at all.
absl::Status Check(const CallOptions& options);

namespace internal {

template <class Work>
using ResultOf = std::decay_t<decltype(client::Wait(
    std::declval<const client::Execution&>(),
    std::declval<Work&>()(std::declval<const client::Execution&>())))>;

template <class T, class Work>
client::Task<T> Carry(const client::Execution& execution, Work work) {
  co_return co_await work(execution);
}

template <class T>
class BackgroundCall final : public FutureState<T> {
 public:
  BackgroundCall(const ClientOptions& defaults, const CallOptions& options)
      : state_(client::BackgroundQueue(), /*owns_thread=*/false, defaults,
               options) {}

  const client::Execution& execution() const { return state_.execution(); }
  void Cancel() override { state_.Cancel(); }

 private:
  CallState state_;
};

}  // namespace internal

// Runs the task that work(execution) makes on this thread, and returns its
// result, an absl::Status or absl::StatusOr. Exceptions become statuses.
template <class Work>
internal::ResultOf<Work> RunCall(const ClientOptions& defaults,
                                 const CallOptions& options, Work work) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  try {
    client::EventQueue queue;
    const CallState state(queue, /*owns_thread=*/true, defaults, options);
    return client::Wait(state.execution(), work(state.execution()));
  } catch (...) {
    return client::StatusOfException();
  }
}

// Begins the same in the background. `work` stays until the task is over.
template <class Work>
Future<internal::ResultOf<Work>> BeginCall(const ClientOptions& defaults,
                                           const CallOptions& options,
                                           Work work) {
  using T = internal::ResultOf<Work>;
  if (absl::Status status = Check(options); !status.ok()) {
    return internal::ReadyFuture<T>(status);
  }
  const auto call =
      std::make_shared<internal::BackgroundCall<T>>(defaults, options);
  Future<T> future(call);
  client::Start(internal::Carry<T>(call->execution(), std::move(work)),
                [call](T result) { call->Set(std::move(result)); });
  return future;
}

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_SRC_CALL_STATE_H_
