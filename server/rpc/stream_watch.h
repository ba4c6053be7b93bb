// Streams whose peers stand still.
#ifndef TENSORD_SERVER_RPC_STREAM_WATCH_H_
#define TENSORD_SERVER_RPC_STREAM_WATCH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "grpc/grpc.h"
#include "grpcpp/server_context.h"
#include "server/wire/envelope.h"

namespace tensord {

// Cuts off streams that wait for their peer too long, so that whoever stops to
// send or to read holds nothing for ever. Thread-safe.
class StreamWatch {
 public:
  using Clock = std::function<absl::Time()>;

  // Less than this in all that time is no progress.
  static constexpr std::int64_t kMinBytes = 1024;

  // Streams have `patience`; without end if that is 0.
  explicit StreamWatch(absl::Duration patience, Clock clock = absl::Now)
      : patience_(patience), clock_(std::move(clock)) {}
  StreamWatch(const StreamWatch&) = delete;
  StreamWatch& operator=(const StreamWatch&) = delete;

  // A stream of a reactor, or the answer of another call, watched from its
  // construction on. What it is told is thread-safe.
  class Stream {
   public:
    struct Reads {
      // Takes the stream over if it only waits for a message; then nobody else
      // ends it. Waits for nothing.
      std::function<bool()> take_over;
      // Called after take_over said true, from a thread that holds nothing.
      std::function<void(const absl::Status& refusal)> end;
    };

    // `watch` may be null, for a stream that nobody watches, and outlives the
    // stream, as does `call`. Without `reads` only writes are watched.
    Stream(StreamWatch* watch, grpc::CallbackServerContext& call,
           std::optional<Reads> reads = std::nullopt);
    // Waits for a take_over that is under way, not for an end.
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // A message is processed. One without data says that the peer is there.
    void Received(const Envelope& message);
    void WriteStarts();
    void WriteEnds();
    // The status is on its way, behind all that was written; nothing more comes
    // of the stream but its end.
    void Finishes() { WriteStarts(); }
    // Why the call is cancelled: DEADLINE_EXCEEDED (STREAM_IDLE) if a write
    // took too long, else CANCELLED.
    absl::Status WriteFailure() const;

   private:
    friend class StreamWatch;
    StreamWatch* const watch_;
    grpc_call* const call_;
    const std::optional<Reads> reads_;
    std::atomic<std::int64_t> received_bytes_{0};
    // Of times that there was progress.
    std::atomic<std::int64_t> steps_{0};
    std::atomic<bool> is_writing_{false};
    std::atomic<bool> is_cut_off_{false};
    // The node of the watch's list, which is there but for the constructor and
    // the destructor: neither allocates under the lock.
    std::list<Stream*> node_;
    std::list<Stream*>::iterator place_;
    // Of the watch's mutex: the steps that it saw, and when first.
    std::int64_t seen_steps_ = 0;
    absl::Time seen_at_;
  };

  // Cuts off whose patience is over. To be called some times in that.
  void Look();

 private:
  absl::Status Refusal() const;

  const absl::Duration patience_;
  const Clock clock_;
  mutable Mutex mutex_;
  std::list<Stream*> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_STREAM_WATCH_H_
