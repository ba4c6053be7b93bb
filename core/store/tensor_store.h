// Names to tensors: atomic commit, etags, lifetimes.
#ifndef TENSORD_CORE_STORE_TENSOR_STORE_H_
#define TENSORD_CORE_STORE_TENSOR_STORE_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/device/device.h"
#include "core/mutex.h"
#include "core/store/id_index.h"
#include "core/store/lease.h"
#include "core/store/tensor_limit.h"
#include "core/tensor.h"

namespace tensord {

// Longest lifetime, and longest lease, that can be asked for.
inline constexpr absl::Duration kMaxTtl = absl::Hours(24 * 365 * 10);

// How long a new tensor is kept; for ever where nothing is said. At most one of
// the two.
struct Lifetime {
  // From now on.
  std::optional<absl::Duration> ttl = {};
  // From the last use on.
  std::optional<absl::Duration> lease = {};
};

// OK if `id` is 1 to 255 characters out of A-Z a-z 0-9 . _ - ~ : and /, where
// no segment between slashes is empty, `.` or
// `..`; else INVALID_ARGUMENT (NAME_INVALID).
absl::Status CheckTensorId(std::string_view id);

// INVALID_ARGUMENT (NAME_INVALID): a tensor is to be replaced, and no id says
// which.
absl::Status ReplacesNothing();

// A tensor as it is stored. Immutable but for the lease; an update makes
// another one.
struct StoredTensor {
  // When it expires, if nobody renews its lease.
  absl::Time end() const {
    return lease != nullptr ? lease->end() : expire_time;
  }

  std::string id;
  Tensor tensor;
  std::string etag;
  absl::Time create_time;
  absl::Time update_time;
  // InfiniteFuture when it is kept for ever, or has a lease.
  absl::Time expire_time = absl::InfiniteFuture();
  // Null if it has none. What the tensor becomes by an update that leaves the
  // lease alone shares it.
  std::shared_ptr<Lease> lease = {};
};

// What becomes of a tensor that has the id that is claimed.
struct ClaimOptions {
  bool replaces() const { return replace || !if_match.empty(); }
  // It gives way when the claim is committed; else the claim is refused.
  bool replace = false;
  // The same, if this is its etag. Empty: whatever it is, and if there is
  // none.
  std::string if_match = {};
};

// What the tensors of a store take on a device. Those that expired count until
// they are swept.
struct DeviceUsage {
  std::int64_t tensors = 0;
  // Memory that several tensors share counts once.
  std::int64_t stored_bytes = 0;
};

// Told of tensors that leave a store without being asked for by name.
// Implementations are thread-safe, fast, and do not block.
class StoreEvents {
 public:
  virtual ~StoreEvents() = default;
  virtual void Expired(Device device) = 0;
  // Made room for others.
  virtual void Evicted(Device device) = 0;
};

struct TensorStoreOptions {
  std::function<absl::Time()> clock = absl::Now;
  // Most tensors.
  std::int64_t max_tensors = INT64_MAX;
  // The same of several stores together; outlives them. Null: no such limit.
  TensorLimit* limit_of_all = nullptr;
  // Whether the least recently used tensors make room for new ones. Those never
  // do that have a lease, that somebody holds, or that are being replaced.
  bool evicts = false;
  // Outlives the store. May be null.
  StoreEvents* events = nullptr;
};

// Holds tensors by id. A tensor is in it completely or not at all; whoever got
// one keeps it, whatever becomes of the name. Expired tensors are never
// returned, and leave with the next Sweep. Thread-safe; no call waits for the
// elements of a tensor.
class TensorStore {
 public:
  explicit TensorStore(TensorStoreOptions options = {});
  ~TensorStore();

  // Keeps an id for whoever is about to commit a tensor under it; gives it up
  // when destroyed. A tensor that is to be replaced is there until then.
  class Claim {
   public:
    Claim(Claim&& other) noexcept;
    Claim& operator=(Claim&&) = delete;
    ~Claim();
    const std::string& id() const { return id_; }
    // Makes the tensor visible, in the place of the one that it replaces if
    // there is one. NOT_FOUND (TENSOR_NOT_FOUND) and ABORTED (ETAG_MISMATCH) if
    // the tensor that was to be replaced is not there any more, or changed;
    // then nothing is stored. Calls `prepare` with the tensor before that,
    // without a lock: what is to be said of it, so that nothing can fail once
    // it is visible. Nothing is stored if `prepare` throws.
    absl::StatusOr<std::shared_ptr<const StoredTensor>> Commit(
        Tensor tensor, const Lifetime& lifetime,
        absl::FunctionRef<void(const StoredTensor&)> prepare =
            [](const StoredTensor&) {}) &&;

   private:
    friend class TensorStore;
    Claim(TensorStore* store, std::string id, ClaimOptions options);
    // Null once moved from or committed.
    TensorStore* store_;
    std::string id_;
    ClaimOptions options_;
  };

  // Claims `id`, or an id made up here if it is empty. INVALID_ARGUMENT
  // (NAME_INVALID: also for replacing without an id), ALREADY_EXISTS
  // (TENSOR_EXISTS), NOT_FOUND (TENSOR_NOT_FOUND) and ABORTED (ETAG_MISMATCH)
  // for options.if_match, ABORTED (UPLOAD_CONFLICT: somebody else holds a
  // claim), RESOURCE_EXHAUSTED (QUOTA_EXCEEDED: there are as many tensors as
  // there may be, claims for new ones included, and none makes room). The store
  // has to outlive the claim.
  absl::StatusOr<Claim> ClaimId(std::string_view id, ClaimOptions options = {});

  // NOT_FOUND (TENSOR_NOT_FOUND).
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Get(
      std::string_view id) const;

  // The same, and a use of it: renews the lease, and makes it the last to be
  // evicted.
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Use(std::string_view id);
  // A use that took its time comes to its end; another one. `stored` need not
  // be in the store any more.
  void EndUse(const StoredTensor& stored) const;

  // What an update changes. Absent: stays.
  struct Changes {
    std::optional<bool> requires_grad = {};
    // Ends the lease.
    std::optional<absl::Time> expire_time = {};
    // A new lease, from now on; expire_time has no meaning beside it.
    std::optional<absl::Duration> lease = {};
  };
  // Replaces the tensor under `id` by a changed one. NOT_FOUND, ABORTED
  // (ETAG_MISMATCH, unless `etag` is empty), errors of
  // Tensor::WithRequiresGrad. `prepare` is for what it is to Claim::Commit, but
  // the store is locked meanwhile: it has to be quick, and not call the store.
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Update(
      std::string_view id, std::string_view etag, const Changes& changes,
      absl::FunctionRef<void(const StoredTensor&)> prepare =
          [](const StoredTensor&) {});

  // Unlinks. NOT_FOUND, ABORTED (ETAG_MISMATCH, unless `etag` is empty).
  absl::Status Delete(std::string_view id, std::string_view etag);

  // Calls `visit` with tensors in ascending order of ids, beginning with the
  // first that is not below `from`, until it says false; looks at `limit` at
  // most. The id to go on from, unless none is left. The store is locked
  // meanwhile: `visit` has to be quick, and neither call the store nor let go
  // of a tensor.
  std::optional<std::string> Walk(
      std::string_view from, std::size_t limit,
      absl::FunctionRef<bool(const std::shared_ptr<const StoredTensor>&)> visit)
      const;

  // Drops what has expired, and lets others get to the store meanwhile; returns
  // how many.
  std::size_t Sweep();

  // The same with some of it, at once: nothing if there is none to look at,
  // else how many, which may be 0 where leases were renewed.
  std::optional<std::size_t> SweepSome();

  // Drops the least recently used tensors whose memory on `device` returns with
  // them: one that shares its buffer with no other, or all that share one.
  // False if there are none, or nothing is evicted here.
  bool Evict(Device device);

  // Number of tensors, expired ones that were not swept included.
  std::size_t size() const;

  DeviceUsage UsageOf(Device device) const;

  // Most tensors that there may be.
  std::int64_t max_tensors() const;

 private:
  struct Entry;
  // Values of tensors_, the least recently used first. A tensor that could not
  // go when it was to be evicted counts as used.
  using Order = std::list<const Entry*>;
  struct OnDevice {
    Device device;
    Order order = {};
    DeviceUsage usage = {};
  };
  struct Entry {
    std::shared_ptr<const StoredTensor> stored;
    // When Sweep looks at it: not after it expires, but before that where the
    // lease was renewed. InfiniteFuture: never.
    absl::Time due;
    // Its place in the order of its device; nothing if it is never evicted.
    std::optional<Order::iterator> rank = {};
    // Rises with every use.
    std::uint64_t last_use = 0;
  };
  class Dropped;
  using TensorMap = std::map<std::string, Entry, std::less<>>;

  std::string NewEtag() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NewId() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const StoredTensor>> GetLocked(
      std::string_view id, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckIfMatch(std::string_view id, std::string_view etag,
                            absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The end of tensors_ if there is none.
  TensorMap::const_iterator Find(std::string_view id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A place for the tensor of a new claim; if there is none, drops as much of
  // what has expired as makes one, then of what may be evicted.
  absl::Status TakePlace(absl::Time now, Dropped& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TryTakePlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GivePlaceBack() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether there was some to look at.
  bool SweepSomeLocked(absl::Time now, Dropped& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Fails to allocate only where nothing was ever stored on the device.
  OnDevice& On(Device device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddToUsage(const StoredTensor& stored)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveFromUsage(const StoredTensor& stored)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A node for the order that `entry`, with `stored`, belongs in; empty if in
  // none.
  Order NewRank(const Entry& entry, const StoredTensor& stored) const;
  // Puts the entry, which is in no order, at the end of that of its device.
  void SetRank(Entry& entry, Order rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the entry out of its order.
  void DropRank(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountUse(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether nobody holds it, or is about to replace it.
  bool IsIdle(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first of `order`, from where it begins, that `may_go` says yes to; null
  // if none.
  static const Entry* FindEvictable(
      Order& order, absl::FunctionRef<bool(const Entry&)> may_go);
  bool EvictAny(Dropped& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Link and Replace leave everything as it was if memory runs out.
  // REQUIRES: nothing is stored under that id.
  void Link(const std::shared_ptr<const StoredTensor>& stored)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts `stored` in the place of what is returned. REQUIRES: something is
  // stored under that id; so for Unlink.
  std::shared_ptr<const StoredTensor> Replace(
      std::shared_ptr<const StoredTensor> stored)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Has Sweep look at the entry at `due`.
  void Reschedule(Entry& entry, absl::Time due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `id` may be a part of what goes.
  std::shared_ptr<const StoredTensor> Unlink(std::string_view id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TensorStoreOptions options_;
  mutable Mutex mutex_;
  // Seeded by the system, which is too slow to be asked for every id.
  absl::BitGen random_ ABSL_GUARDED_BY(mutex_);
  // Sets the etags of this store apart from those of another run.
  const std::uint64_t etag_salt_;
  TensorMap tensors_ ABSL_GUARDED_BY(mutex_);
  // In fewer steps than a map of many takes. Ids are the keys of tensors_.
  IdIndex<TensorMap::iterator> index_ ABSL_GUARDED_BY(mutex_);
  // Ids of the tensors that expire, in the order of Entry::due.
  std::set<std::pair<absl::Time, std::string>> lifetimes_
      ABSL_GUARDED_BY(mutex_);
  // Of the standard library for the same reason as the index.
  std::unordered_set<std::string, absl::Hash<std::string>> claims_
      ABSL_GUARDED_BY(mutex_);
  // One for each device that had tensors.
  std::vector<OnDevice> on_devices_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  // Ids that belong to a tensor, to a claim, or to both; each takes a place of
  // the limits.
  std::int64_t places_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_etag_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_TENSOR_STORE_H_
