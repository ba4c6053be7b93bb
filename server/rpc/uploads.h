// Uploads that may be gone on with, or come over several streams.
#ifndef TENSORD_SERVER_RPC_UPLOADS_H_
#define TENSORD_SERVER_RPC_UPLOADS_H_

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/hash/hash.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/device/device.h"
#include "core/mutex.h"
#include "server/rpc/upload.h"

namespace tensord {

// Finds uploads by their request ids. One that no stream is at is suspended:
// kept for a while, in nobody's way, because whoever needs its memory or its id
// drops it. Thread-safe.
class Uploads {
 public:
  using Clock = std::function<absl::Time()>;

  // Most that are suspended.
  static constexpr std::size_t kMaxSuspended = 64;

  // Keeps each for `window` without a stream; none if that is 0.
  explicit Uploads(absl::Duration window, Clock clock = absl::Now)
      : window_(window), clock_(std::move(clock)) {}

  // A stream begins: the upload of that request, a new one if there is none.
  // FAILED_PRECONDITION (REQUEST_ID_REUSED): that one goes to another device.
  // REQUIRES: `request_id` is not empty.
  absl::StatusOr<std::shared_ptr<Upload>> Join(std::string_view request_id,
                                               Device device);

  // A stream that joined ends. The last one suspends the upload, if that has
  // begun and there is the memory to remember it.
  void Leave(const std::shared_ptr<Upload>& upload) noexcept;

  // The upload was refused or is complete: its request id begins another one.
  void Remove(const std::shared_ptr<Upload>& upload) noexcept;

  // Null if there is none.
  std::shared_ptr<Upload> Find(std::string_view request_id) const;

  // Drops the upload to `device` that is suspended longest; false if there is
  // none.
  bool DropOldest(Device device);
  // Drops the suspended one that holds the id of a tensor; false if none does.
  bool DropClaimOf(std::string_view tensor_id);
  // Drops suspended ones whose time is over.
  void Sweep();
  // Drops all that are suspended.
  void Clear();

  // Those that are suspended.
  std::size_t suspended() const;

 private:
  struct Active {
    std::shared_ptr<Upload> upload;
    int streams = 0;
  };
  struct Suspended {
    // Its request id is in lower case.
    std::shared_ptr<Upload> upload;
    std::string tensor_id;
    absl::Time end;
  };

  // Drops the suspended uploads that `matches` picks; returns how many.
  template <class Matches>
  std::size_t DropIf(Matches matches);

  const absl::Duration window_;
  const Clock clock_;
  mutable Mutex mutex_;
  // By request ids in lower case.
  // Of the standard library: it stays what it was if memory runs out.
  std::unordered_map<std::string, Active, absl::Hash<std::string>> active_
      ABSL_GUARDED_BY(mutex_);
  // In the order of their ends.
  std::list<Suspended> suspended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOADS_H_
