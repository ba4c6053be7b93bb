// Uploads whose connection broke, until their client goes on.
#ifndef TENSORD_SERVER_RPC_SUSPENDED_UPLOADS_H_
#define TENSORD_SERVER_RPC_SUSPENDED_UPLOADS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "core/store/tensor_store.h"
#include "core/tensor.h"
#include "server/rpc/array_receiver.h"
#include "server/rpc/request_log.h"

namespace tensord {

// What an upload has brought so far. Holds its memory and its id; whoever drops
// one leaves nothing behind.
struct Upload {
  std::string request_id;
  // Of the declaration.
  std::uint64_t digest = 0;
  RequestLog::Ticket ticket;
  TensorStore::Claim claim;
  std::optional<absl::Duration> ttl;
  ArrayReceiver receiver;
  std::int64_t total_bytes = 0;
  std::int64_t received_bytes = 0;
  // Complete, and not visible yet.
  std::optional<Tensor> tensor;
};

// Keeps uploads for a while, in nobody's way: whoever needs the memory or the
// id of one drops it. Thread-safe.
class SuspendedUploads {
 public:
  using Clock = std::function<absl::Time()>;

  // Most that are kept.
  static constexpr std::size_t kMaxUploads = 64;

  // Keeps each for `window`; none if that is 0.
  explicit SuspendedUploads(absl::Duration window, Clock clock = absl::Now)
      : window_(window), clock_(std::move(clock)) {}

  void Keep(std::unique_ptr<Upload> upload);

  // Hands an upload back; null if it is not here.
  std::unique_ptr<Upload> Take(std::string_view request_id);

  // Bytes that came; nothing if the upload is not here.
  std::optional<std::int64_t> ReceivedBytes(std::string_view request_id) const;

  // False if there is none.
  bool DropOldest();
  // Drops the one that holds the id of a tensor; false if none does.
  bool DropClaimOf(std::string_view tensor_id);
  // Drops those whose time is over.
  void Sweep();
  void Clear();

  std::size_t size() const;

 private:
  struct Entry {
    absl::Time end;
    std::unique_ptr<Upload> upload;
  };
  using Entries = std::list<Entry>;

  Entries::const_iterator Find(std::string_view request_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops the entries that `matches` picks; returns how many.
  template <class Matches>
  std::size_t DropIf(Matches matches);

  const absl::Duration window_;
  const Clock clock_;
  mutable Mutex mutex_;
  // In the order of their ends.
  Entries entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_SUSPENDED_UPLOADS_H_
