#include "client/cpp/src/event_queue.h"

#include <algorithm>
#include <thread>

namespace tensord::client {
namespace {

// No coroutine is there.
char is_done;
void* const kIsDone = &is_done;

}  // namespace

void Completion::Done(bool ok) {
  ok_ = ok;
  void* const awaiting = state_.exchange(kIsDone, std::memory_order_acq_rel);
  if (awaiting != nullptr) {
    std::coroutine_handle<>::from_address(awaiting).resume();
  }
}

bool Completion::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  void* expected = nullptr;
  return state_.compare_exchange_strong(expected, awaiting.address(),
                                        std::memory_order_acq_rel);
}

EventQueue::~EventQueue() {
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) {
  }
}

void EventQueue::RunOne() {
  void* tag = nullptr;
  bool ok = false;
  if (!queue_.Next(&tag, &ok)) return;
  TakeOver(tag);
  static_cast<Event*>(tag)->Done(ok);
}

EventQueue& BackgroundQueue() {
  static EventQueue& queue = []() -> EventQueue& {
    constexpr unsigned kMaxThreads = 4;
    auto* const made = new EventQueue;
    const unsigned threads =
        std::clamp(std::thread::hardware_concurrency() / 2, 1U, kMaxThreads);
    for (unsigned i = 0; i < threads; ++i) {
      std::thread([made] {
        for (;;) made->RunOne();
      }).detach();
    }
    return *made;
  }();
  return queue;
}

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) {
    return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  }
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN));
}

}  // namespace tensord::client
