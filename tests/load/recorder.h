// What became of every call of a load.
#ifndef TENSORD_TESTS_LOAD_RECORDER_H_
#define TENSORD_TESTS_LOAD_RECORDER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/mutex.h"

namespace tensord::load {

// How a call ended: an index of Recorder::Outcomes.
using OutcomeId = std::uint8_t;
inline constexpr OutcomeId kPending = 0;
inline constexpr OutcomeId kNotSent = 1;
inline constexpr OutcomeId kOk = 2;

struct Call {
  // How much later than planned it was sent.
  std::int64_t lag_ns = 0;
  // From the time that was planned, not from when it was sent, to its end: a
  // generator or a server that stalls makes the calls that are due meanwhile
  // late, not fewer.
  std::int64_t latency_ns = 0;
  std::int64_t bytes = 0;
  // The server refused, and said when to come again.
  bool has_retry_info = false;
  OutcomeId outcome = kPending;
};

// Keeps all calls, by number. Thread-safe: each call is written by one thread,
// and read by At once it is over.
class Recorder {
 public:
  explicit Recorder(std::size_t count) : entries_(count) {}

  std::size_t size() const { return entries_.size(); }

  // By the thread that sends, before the call begins.
  void Sent(std::size_t number, std::int64_t lag_ns);
  void NotSent(std::size_t number);
  // Once for every call that was sent.
  void Ended(std::size_t number, std::int64_t latency_ns,
             const absl::Status& status, std::int64_t bytes);

  std::int64_t in_flight() const {
    return in_flight_.load(std::memory_order_acquire);
  }

  // A call that has not ended is kPending, with its lag alone.
  Call At(std::size_t number) const;

  // Names by id: "OK", or code and reason as in
  // "RESOURCE_EXHAUSTED/TOO_MANY_REQUESTS".
  std::vector<std::string> Outcomes() const;

 private:
  struct Entry {
    Call call;
    std::atomic<OutcomeId> outcome{kPending};
  };

  OutcomeId IdOf(const absl::Status& status);

  std::vector<Entry> entries_;
  std::atomic<std::int64_t> in_flight_{0};
  mutable Mutex mutex_;
  std::vector<std::string> outcomes_ ABSL_GUARDED_BY(mutex_) = {
      "PENDING", "NOT_SENT", "OK"};
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_RECORDER_H_
