// Answers to requests that name themselves, for whoever repeats one.
#ifndef TENSORD_SERVER_RPC_REQUEST_LOG_H_
#define TENSORD_SERVER_RPC_REQUEST_LOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "google/protobuf/message_lite.h"

namespace tensord {

// A UUID.
using RequestId = std::array<std::uint8_t, 16>;

// A client that lost an answer repeats its request with the same id (AIP-155):
// it gets the answer of the first again, and nothing is done twice. Answers are
// kept for kAnswerLifetime, the latest kMaxAnswers of them; requests that
// failed may be made again. Thread-safe.
class RequestLog {
 public:
  using Clock = std::function<absl::Time()>;

  static constexpr absl::Duration kAnswerLifetime = absl::Minutes(10);
  static constexpr std::size_t kMaxAnswers = std::size_t{1} << 16;

  explicit RequestLog(Clock clock = absl::Now) : clock_(std::move(clock)) {}
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  // A request that is being worked on. Forgotten when destroyed without an
  // answer. The log has to outlive it.
  class Ticket {
   public:
    // Of a request without an id.
    Ticket() = default;
    Ticket(Ticket&& other) noexcept
        : log_(std::exchange(other.log_, nullptr)), id_(other.id_) {}
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

    // Keeps the answer, a serialized message or one to serialize. Without the
    // memory for it the request is forgotten.
    void Answer(std::string answer) && noexcept;
    void Answer(const google::protobuf::MessageLite& answer) && noexcept;

   private:
    friend class RequestLog;
    Ticket(RequestLog* log, const RequestId& id) : log_(log), id_(id) {}

    RequestLog* log_ = nullptr;
    RequestId id_ = {};
  };

  // What a request was answered with; null: nothing yet.
  using Answered = std::shared_ptr<const std::string>;

  struct Begun {
    Ticket ticket;
    // If there is one, there is nothing to do.
    Answered answer;
  };

  // Starts on a request; the ticket of one without an id does nothing. `digest`
  // tells requests apart. INVALID_ARGUMENT (REQUEST_ID_INVALID): the id is no
  // UUID; FAILED_PRECONDITION (REQUEST_ID_REUSED): it belongs to another
  // request; ABORTED (REQUEST_IN_PROGRESS): the same is being worked on.
  absl::StatusOr<Begun> Begin(std::string_view request_id,
                              std::uint64_t digest);

  // What the request was answered with; null if it is not known. ABORTED
  // (REQUEST_IN_PROGRESS).
  absl::StatusOr<Answered> Find(std::string_view request_id) const;

 private:
  struct Entry {
    std::uint64_t digest = 0;
    // Null while it is worked on.
    Answered answer;
  };

  void Forget(const RequestId& id);
  void DropExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock clock_;
  mutable Mutex mutex_;
  // Of the standard library: it stays what it was if memory runs out.
  std::unordered_map<RequestId, Entry, absl::Hash<RequestId>> entries_
      ABSL_GUARDED_BY(mutex_);
  // Those that are answered, in the order of their answers, and until when
  // these are kept.
  std::deque<std::pair<absl::Time, RequestId>> answered_
      ABSL_GUARDED_BY(mutex_);
};

// OK if `id` is empty or a UUID as RFC 9562 writes it, in either case; else
// INVALID_ARGUMENT (REQUEST_ID_INVALID).
absl::Status CheckRequestId(std::string_view id);

// Differs, but for chance, for messages that are not equal.
std::uint64_t RequestDigest(const google::protobuf::MessageLite& request);

// What `work`, which fills `response` and returns an absl::Status, returns; of
// a repeated request the earlier response. Errors of RequestLog::Begin, of the
// field `request_id`.
template <class Request, class Response, class Work>
absl::Status DoOnce(RequestLog& log, const Request& request, Response& response,
                    Work work) {
  if (request.request_id().empty()) return work();
  auto begun = log.Begin(request.request_id(), RequestDigest(request));
  if (!begun.ok()) return begun.status();
  if (begun->answer != nullptr) {
    response.ParseFromString(*begun->answer);
    return absl::OkStatus();
  }
  absl::Status status = work();
  if (status.ok()) std::move(begun->ticket).Answer(response);
  return status;
}

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_REQUEST_LOG_H_
