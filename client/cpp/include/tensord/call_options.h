// What one call may be told.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace tensord {

namespace client {
class CallGroup;
struct ByteCounts;
}  // namespace client

// Gives up the calls whose options have it: those under way, and those to come.
// Copies are one and the same. Thread-safe.
class Cancellation {
 public:
  Cancellation();

  // Returns at once. The calls end soon after with CANCELLED, unless they were
  // about to end anyway. A tensor without an id that one of them has made even
  // so is deleted, but for those of batches.
  void Cancel() const;
  bool is_cancelled() const;

 private:
  friend class CallState;
  std::shared_ptr<client::CallGroup> group_;
};

// Tells how far the calls have come whose options have it. Copies are one and
// the same. Thread-safe; to be asked at any time.
class Progress {
 public:
  Progress();

  // Bytes of elements that were handed to the connection or came from it. What
  // has to travel again after a failure is taken back, or counted again.
  std::int64_t bytes_done() const;
  // Bytes that are to travel in the calls that have begun: those of the array
  // that is sent, and of the one that is received. Nothing of batches, and of
  // calls that move no array.
  std::int64_t bytes_total() const;

 private:
  friend class CallState;
  std::shared_ptr<client::ByteCounts> counts_;
};

// What is not set is as the client's options have it.
struct CallOptions {
  // See ClientOptions.
  std::optional<absl::Duration> timeout = {};
  std::optional<int> max_attempts = {};
  // The W3C trace context of the caller, "00-<trace>-<span>-<flags>", for the
  // server's log. Empty: the server begins a trace.
  std::string traceparent = {};
  std::optional<Cancellation> cancellation = {};
  std::optional<Progress> progress = {};
};

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_
