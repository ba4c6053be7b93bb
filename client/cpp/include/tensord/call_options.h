// What one call may be told.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace tensord {

namespace client {
class CallGroup;
}

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

// What is not set is as the client's options have it.
struct CallOptions {
  // See ClientOptions.
  std::optional<absl::Duration> timeout = {};
  std::optional<int> max_attempts = {};
  // The W3C trace context of the caller, "00-<trace>-<span>-<flags>", for the
  // server's log. Empty: the server begins a trace.
  std::string traceparent = {};
  std::optional<Cancellation> cancellation = {};
};

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CALL_OPTIONS_H_
