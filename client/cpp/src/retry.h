// Making calls again that failed for reasons that pass.
#ifndef TENSORD_CLIENT_CPP_SRC_RETRY_H_
#define TENSORD_CLIENT_CPP_SRC_RETRY_H_

#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/mutex.h"

namespace tensord::client {

// Keeps the calls of a client from being made again while most of them fail, as
// gRPC's retry design (proposal A6) throttles: a failure takes a token, of ten
// for every connection that may fail at the same time, a success gives a tenth
// of one, and nothing is repeated with half of them or fewer. Thread-safe.
class RetryThrottle {
 public:
  explicit RetryThrottle(int connections)
      : max_tokens_(kTokensPerConnection * connections), tokens_(max_tokens_) {}

  void Succeeded();
  // A call that failed came further than before.
  void Progressed();
  // Whether a repetition is allowed.
  bool Failed();

 private:
  static constexpr double kTokensPerConnection = 10;
  static constexpr double kTokensPerSuccess = 0.1;

  const double max_tokens_;
  Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_);
};

// Decides whether one call, which has to be idempotent, is made again, and
// after which pause: 0.1 s at first, then twice as long each time, a second at
// most, all 20 % more or less; or as long as the server said. Used by one
// thread at a time.
class Retry {
 public:
  // `max_attempts` counts the first; a server that asks for more than
  // `max_wait` is not called again. `throttle` has to outlive this.
  Retry(int max_attempts, absl::Duration max_wait, RetryThrottle& throttle)
      : max_attempts_(max_attempts), max_wait_(max_wait), throttle_(throttle) {}

  // How long to wait before the call, which ended with `status`, is made again;
  // nothing if it is not. Calls are made again for UNAVAILABLE, for ABORTED
  // (REQUEST_IN_PROGRESS), and for RESOURCE_EXHAUSTED if the server said when
  // to come again.
  std::optional<absl::Duration> Next(const absl::Status& status);

  // The call came further than ever: attempts count from here.
  void Progressed();

 private:
  static constexpr absl::Duration kInitialBackoff = absl::Milliseconds(100);
  static constexpr absl::Duration kMaxBackoff = absl::Seconds(1);

  absl::Duration NextBackoff();

  const int max_attempts_;
  const absl::Duration max_wait_;
  RetryThrottle& throttle_;
  int attempts_ = 0;
  absl::Duration backoff_ = kInitialBackoff;
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_RETRY_H_
