#include "core/store/tensor_store.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error.h"

namespace tensord {
namespace {

constexpr std::size_t kMaxIdBytes = 255;
// Before others get to the store: less than a millisecond.
constexpr int kSweptAtOnce = 128;
// For others to get there: whoever takes a mutex again at once is faster than
// those who have to wake up first.
constexpr absl::Duration kSweepPause = absl::Microseconds(10);

bool IsIdCharacter(char c) {
  constexpr std::string_view kPunctuation = "._-~:/";
  return absl::ascii_isalnum(c) ||
         kPunctuation.find(c) != std::string_view::npos;
}

absl::Status BadId(std::string_view id, std::string_view problem) {
  return InvalidArgument(
      reason::kNameInvalid,
      absl::StrCat("invalid tensor id ", QuoteForMessage(id), ": ",
                   std::string(problem),
                   "; an id is 1 to 255 characters out of A-Z a-z 0-9 . _ - ~ "
                   ": and /, where no segment between slashes is empty, '.' "
                   "or '..'"));
}

// A bijection that leaves no visible order: SplitMix64's finaliser.
std::uint64_t Scramble(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

absl::Status NotFound(std::string_view id) {
  return MakeError(absl::StatusCode::kNotFound, reason::kTensorNotFound,
                   absl::StrCat("there is no tensor ", QuoteForMessage(id)));
}

// Whether `etag`, if not empty, is the current one.
absl::Status CheckEtag(const StoredTensor& stored, std::string_view etag) {
  if (etag.empty() || etag == stored.etag) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch,
                   absl::StrCat("tensor ", QuoteForMessage(stored.id),
                                " has changed: its etag is ", stored.etag,
                                ", not ", QuoteForMessage(etag)));
}

bool IsExpired(const StoredTensor& stored, absl::Time now) {
  return stored.end() <= now;
}

absl::Status LimitReached(std::int64_t limit, std::int64_t used) {
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kQuotaExceeded,
      absl::StrCat("tensor limit reached: there are ", used, " of ", limit,
                   " tensors, those that are being made included"));
  AddErrorMetadata(status, "limitTensors", absl::StrCat(limit));
  AddErrorMetadata(status, "usedTensors", absl::StrCat(used));
  return status;
}

}  // namespace

absl::Status CheckTensorId(std::string_view id) {
  if (id.empty()) return BadId(id, "it is empty");
  if (id.size() > kMaxIdBytes) {
    return BadId(id, absl::StrCat("it has ", id.size(), " characters"));
  }
  for (const char c : id) {
    if (!IsIdCharacter(c)) {
      return BadId(id, absl::StrCat("it contains ",
                                    QuoteForMessage(std::string_view(&c, 1))));
    }
  }
  for (std::size_t begin = 0; begin <= id.size();) {
    const std::size_t end = std::min(id.find('/', begin), id.size());
    const std::string_view segment = id.substr(begin, end - begin);
    if (segment.empty() || segment == "." || segment == "..") {
      return BadId(
          id, absl::StrCat("it has the segment ", QuoteForMessage(segment)));
    }
    begin = end + 1;
  }
  return absl::OkStatus();
}

absl::Status ReplacesNothing() {
  return InvalidArgument(reason::kNameInvalid,
                         "the id of the tensor that is to be replaced is "
                         "missing");
}

// Tensors that left the store. To be declared before the lock is taken, so that
// their memory is given back, and their leaving told of, after it is released:
// that can take a while.
class TensorStore::Dropped {
 public:
  using Tensors = std::vector<std::shared_ptr<const StoredTensor>>;

  explicit Dropped(StoreEvents* events) : events_(events) {}
  Dropped(const Dropped&) = delete;
  Dropped& operator=(const Dropped&) = delete;
  ~Dropped() {
    if (events_ == nullptr) return;
    for (const auto& stored : expired) {
      events_->Expired(stored->tensor.device());
    }
    for (const auto& stored : evicted) {
      events_->Evicted(stored->tensor.device());
    }
  }

  Tensors expired;
  Tensors evicted;
  // On somebody's behalf.
  Tensors deleted;

 private:
  StoreEvents* const events_;
};

TensorStore::TensorStore(TensorStoreOptions options)
    : options_(std::move(options)),
      etag_salt_(absl::Uniform<std::uint64_t>(random_)) {}

TensorStore::~TensorStore() {
  if (options_.limit_of_all != nullptr) {
    options_.limit_of_all->GiveBack(places_);
  }
}

TensorStore::Claim::Claim(TensorStore* store, std::string id,
                          ClaimOptions options)
    : store_(store), id_(std::move(id)), options_(std::move(options)) {}

TensorStore::Claim::Claim(Claim&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)),
      id_(std::move(other.id_)),
      options_(std::move(other.options_)) {}

TensorStore::Claim::~Claim() {
  if (store_ == nullptr) return;
  MutexLock lock(store_->mutex_);
  store_->claims_.erase(id_);
  if (!store_->index_.Contains(id_)) store_->GivePlaceBack();
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> TensorStore::Claim::Commit(
    Tensor tensor, const Lifetime& lifetime,
    absl::FunctionRef<void(const StoredTensor&)> prepare) && {
  const absl::Time now = store_->options_.clock();
  auto stored = std::make_shared<StoredTensor>(StoredTensor{
      .id = id_,
      .tensor = std::move(tensor),
      .etag = {},
      .create_time = now,
      .update_time = now,
      .expire_time = lifetime.ttl.has_value() ? now + *lifetime.ttl
                                              : absl::InfiniteFuture(),
      .lease = lifetime.lease.has_value()
                   ? std::make_shared<Lease>(*lifetime.lease, now)
                   : nullptr});
  Dropped dropped(store_->options_.events);
  // The old tensor has a place before the new one takes its own.
  dropped.deleted.reserve(1);
  {
    MutexLock lock(store_->mutex_);
    stored->etag = store_->NewEtag();
  }
  prepare(*stored);
  MutexLock lock(store_->mutex_);
  absl::Status status = store_->CheckIfMatch(id_, options_.if_match, now);
  if (!status.ok()) return status;
  if (store_->index_.Contains(id_)) {
    dropped.deleted.push_back(store_->Replace(stored));
  } else {
    store_->Link(stored);
  }
  store_->claims_.erase(id_);
  store_ = nullptr;
  return stored;
}

absl::StatusOr<TensorStore::Claim> TensorStore::ClaimId(std::string_view id,
                                                        ClaimOptions options) {
  if (!id.empty()) {
    if (absl::Status status = CheckTensorId(id); !status.ok()) return status;
  } else if (options.replaces()) {
    return ReplacesNothing();
  }
  const absl::Time now = options_.clock();
  Dropped dropped(options_.events);
  MutexLock lock(mutex_);
  std::string claimed = id.empty() ? NewId() : std::string(id);
  const auto it = Find(claimed);
  if (it != tensors_.end() && IsExpired(*it->second.stored, now)) {
    dropped.expired.push_back(Unlink(claimed));
  } else if (it != tensors_.end() && !options.replaces()) {
    return MakeError(absl::StatusCode::kAlreadyExists, reason::kTensorExists,
                     absl::StrCat("there is a tensor ", QuoteForMessage(id)));
  }
  absl::Status status = CheckIfMatch(claimed, options.if_match, now);
  if (!status.ok()) return status;
  if (claims_.contains(claimed)) {
    return MakeError(absl::StatusCode::kAborted, reason::kUploadConflict,
                     absl::StrCat("another call is about to make the tensor ",
                                  QuoteForMessage(id)));
  }
  const bool is_new = !index_.Contains(claimed);
  if (is_new) status = TakePlace(now, dropped);
  if (!status.ok()) return status;
  absl::Cleanup undo_place = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (is_new) GivePlaceBack();
  };
  claims_.insert(claimed);
  std::move(undo_place).Cancel();
  return Claim(this, std::move(claimed), std::move(options));
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> TensorStore::Get(
    std::string_view id) const {
  const absl::Time now = options_.clock();
  MutexLock lock(mutex_);
  return GetLocked(id, now);
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> TensorStore::Use(
    std::string_view id) {
  const absl::Time now = options_.clock();
  MutexLock lock(mutex_);
  const TensorMap::iterator* const position = index_.Find(id);
  if (position == nullptr) return NotFound(id);
  Entry& entry = (*position)->second;
  if (IsExpired(*entry.stored, now)) return NotFound(id);
  if (entry.stored->lease != nullptr) entry.stored->lease->Renew(now);
  if (entry.rank.has_value()) CountUse(entry);
  return entry.stored;
}

void TensorStore::EndUse(const StoredTensor& stored) const {
  if (stored.lease != nullptr) stored.lease->Renew(options_.clock());
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> TensorStore::Update(
    std::string_view id, std::string_view etag, const Changes& changes,
    absl::FunctionRef<void(const StoredTensor&)> prepare) {
  const absl::Time now = options_.clock();
  Dropped dropped(options_.events);
  // The old tensor has a place before the new one takes its own.
  dropped.deleted.reserve(1);
  MutexLock lock(mutex_);
  const auto current = GetLocked(id, now);
  if (!current.ok()) return current.status();
  absl::Status status = CheckEtag(**current, etag);
  if (!status.ok()) return status;
  auto changed = std::make_shared<StoredTensor>(**current);
  if (changes.requires_grad.has_value()) {
    auto tensor = changed->tensor.WithRequiresGrad(*changes.requires_grad);
    if (!tensor.ok()) return tensor.status();
    changed->tensor = *std::move(tensor);
  }
  if (changes.expire_time.has_value()) {
    changed->expire_time = *changes.expire_time;
    changed->lease = nullptr;
  }
  if (changes.lease.has_value()) {
    changed->expire_time = absl::InfiniteFuture();
    changed->lease = std::make_shared<Lease>(*changes.lease, now);
  }
  changed->update_time = now;
  changed->etag = NewEtag();
  prepare(*changed);
  dropped.deleted.push_back(Replace(changed));
  return changed;
}

absl::Status TensorStore::Delete(std::string_view id, std::string_view etag) {
  const absl::Time now = options_.clock();
  Dropped dropped(options_.events);
  MutexLock lock(mutex_);
  const auto it = Find(id);
  if (it == tensors_.end() || IsExpired(*it->second.stored, now)) {
    return NotFound(id);
  }
  absl::Status status = CheckEtag(*it->second.stored, etag);
  if (status.ok()) dropped.deleted.push_back(Unlink(id));
  return status;
}

std::optional<std::string> TensorStore::Walk(
    std::string_view from, std::size_t limit,
    absl::FunctionRef<bool(const std::shared_ptr<const StoredTensor>&)> visit)
    const {
  const absl::Time now = options_.clock();
  MutexLock lock(mutex_);
  auto it = tensors_.lower_bound(from);
  for (; it != tensors_.end() && limit > 0; ++it, --limit) {
    const auto& stored = it->second.stored;
    if (!IsExpired(*stored, now) && !visit(stored)) break;
  }
  if (it == tensors_.end()) return std::nullopt;
  return it->first;
}

std::size_t TensorStore::Sweep() {
  std::size_t swept = 0;
  while (const std::optional<std::size_t> dropped = SweepSome()) {
    swept += *dropped;
    absl::SleepFor(kSweepPause);
  }
  return swept;
}

std::optional<std::size_t> TensorStore::SweepSome() {
  const absl::Time now = options_.clock();
  Dropped dropped(options_.events);
  MutexLock lock(mutex_);
  if (!SweepSomeLocked(now, dropped)) return std::nullopt;
  return dropped.expired.size();
}

bool TensorStore::SweepSomeLocked(absl::Time now, Dropped& dropped) {
  for (int i = 0; i < kSweptAtOnce; ++i) {
    if (lifetimes_.empty() || lifetimes_.begin()->first > now) return i > 0;
    const std::string& id = lifetimes_.begin()->second;
    Entry& entry = (*index_.Find(id))->second;
    if (IsExpired(*entry.stored, now)) {
      dropped.expired.push_back(Unlink(id));
    } else {
      Reschedule(entry, entry.stored->end());
    }
  }
  return true;
}

std::size_t TensorStore::size() const {
  MutexLock lock(mutex_);
  return tensors_.size();
}

DeviceUsage TensorStore::UsageOf(Device device) const {
  MutexLock lock(mutex_);
  for (const OnDevice& known : on_devices_) {
    if (known.device == device) return known.usage;
  }
  return {};
}

std::int64_t TensorStore::max_tensors() const {
  return options_.limit_of_all == nullptr
             ? options_.max_tensors
             : std::min(options_.max_tensors,
                        options_.limit_of_all->max_tensors());
}

absl::Status TensorStore::TakePlace(absl::Time now, Dropped& dropped) {
  if (TryTakePlace()) return absl::OkStatus();
  while (SweepSomeLocked(now, dropped)) {
    if (TryTakePlace()) return absl::OkStatus();
  }
  while (EvictAny(dropped)) {
    if (TryTakePlace()) return absl::OkStatus();
  }
  return places_ >= options_.max_tensors
             ? LimitReached(options_.max_tensors, places_)
             : LimitReached(options_.limit_of_all->max_tensors(),
                            options_.limit_of_all->tensors());
}

bool TensorStore::Evict(Device device) {
  Dropped dropped(options_.events);
  MutexLock lock(mutex_);
  // Idle tensors by their buffer. It returns with them if nobody else has it.
  std::unordered_map<const Buffer*, std::vector<const Entry*>> sharers;
  const auto completes =
      [&](const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        if (!IsIdle(entry)) return false;
        const auto& buffer = entry.stored->tensor.buffer();
        auto& found = sharers[buffer.get()];
        found.push_back(&entry);
        return std::ssize(found) == buffer.use_count();
      };
  const Entry* const last = FindEvictable(On(device).order, completes);
  if (last == nullptr) return false;
  for (const Entry* const entry :
       sharers.at(last->stored->tensor.buffer().get())) {
    dropped.evicted.push_back(Unlink(entry->stored->id));
  }
  return true;
}

bool TensorStore::EvictAny(Dropped& dropped) {
  const auto may_go = [this](const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                          mutex_) { return IsIdle(entry); };
  const Entry* oldest = nullptr;
  for (OnDevice& candidates : on_devices_) {
    const Entry* const entry = FindEvictable(candidates.order, may_go);
    if (entry == nullptr) continue;
    if (oldest == nullptr || entry->last_use < oldest->last_use) oldest = entry;
  }
  if (oldest == nullptr) return false;
  dropped.evicted.push_back(Unlink(oldest->stored->id));
  return true;
}

bool TensorStore::IsIdle(const Entry& entry) const {
  // Under the lock nobody comes by another pointer to what only the store has.
  return entry.stored.use_count() == 1 && !claims_.contains(entry.stored->id);
}

const TensorStore::Entry* TensorStore::FindEvictable(
    Order& order, absl::FunctionRef<bool(const Entry&)> may_go) {
  for (std::size_t i = order.size(); i > 0; --i) {
    const Entry& entry = *order.front();
    if (may_go(entry)) return &entry;
    order.splice(order.end(), order, order.begin());
  }
  return nullptr;
}

TensorStore::OnDevice& TensorStore::On(Device device) {
  for (OnDevice& known : on_devices_) {
    if (known.device == device) return known;
  }
  return on_devices_.emplace_back(OnDevice{.device = device});
}

void TensorStore::AddToUsage(const StoredTensor& stored) {
  const Buffer& buffer = *stored.tensor.buffer();
  DeviceUsage& usage = On(buffer.device()).usage;
  ++usage.tensors;
  if (buffer.AddStoredTensor()) {
    usage.stored_bytes += static_cast<std::int64_t>(buffer.size_bytes());
  }
}

void TensorStore::RemoveFromUsage(const StoredTensor& stored) {
  const Buffer& buffer = *stored.tensor.buffer();
  DeviceUsage& usage = On(buffer.device()).usage;
  --usage.tensors;
  if (buffer.RemoveStoredTensor()) {
    usage.stored_bytes -= static_cast<std::int64_t>(buffer.size_bytes());
  }
}

TensorStore::Order TensorStore::NewRank(const Entry& entry,
                                        const StoredTensor& stored) const {
  if (!options_.evicts || stored.lease != nullptr) return {};
  return {&entry};
}

void TensorStore::SetRank(Entry& entry, Order rank) {
  entry.rank.reset();
  if (rank.empty()) return;
  entry.rank = rank.begin();
  Order& order = On(entry.stored->tensor.device()).order;
  order.splice(order.end(), rank);
  entry.last_use = ++uses_;
}

void TensorStore::DropRank(const Entry& entry) {
  if (!entry.rank.has_value()) return;
  On(entry.stored->tensor.device()).order.erase(*entry.rank);
}

void TensorStore::CountUse(Entry& entry) {
  Order& order = On(entry.stored->tensor.device()).order;
  order.splice(order.end(), order, *entry.rank);
  entry.last_use = ++uses_;
}

bool TensorStore::TryTakePlace() {
  if (places_ >= options_.max_tensors) return false;
  if (options_.limit_of_all != nullptr && !options_.limit_of_all->Take()) {
    return false;
  }
  ++places_;
  return true;
}

void TensorStore::GivePlaceBack() {
  --places_;
  if (options_.limit_of_all != nullptr) options_.limit_of_all->GiveBack(1);
}

std::string TensorStore::NewEtag() {
  return absl::StrCat(
      absl::Hex(Scramble(etag_salt_ + next_etag_++), absl::kZeroPad16));
}

std::string TensorStore::NewId() {
  for (;;) {
    std::string id = absl::StrCat(
        "t-",
        absl::Hex(absl::Uniform<std::uint64_t>(random_), absl::kZeroPad16));
    if (!index_.Contains(id) && !claims_.contains(id)) return id;
  }
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> TensorStore::GetLocked(
    std::string_view id, absl::Time now) const {
  const auto it = Find(id);
  if (it == tensors_.end() || IsExpired(*it->second.stored, now)) {
    return NotFound(id);
  }
  return it->second.stored;
}

absl::Status TensorStore::CheckIfMatch(std::string_view id,
                                       std::string_view etag,
                                       absl::Time now) const {
  if (etag.empty()) return absl::OkStatus();
  const auto current = GetLocked(id, now);
  return current.ok() ? CheckEtag(**current, etag) : current.status();
}

TensorStore::TensorMap::const_iterator TensorStore::Find(
    std::string_view id) const {
  const TensorMap::iterator* const position = index_.Find(id);
  return position == nullptr ? tensors_.end() : *position;
}

void TensorStore::Link(const std::shared_ptr<const StoredTensor>& stored) {
  // Here rather than once something has changed: it may fail.
  On(stored->tensor.device());
  const absl::Time due = stored->end();
  const auto position =
      tensors_.emplace(stored->id, Entry{.stored = stored, .due = due}).first;
  absl::Cleanup undo_position = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    tensors_.erase(position);
  };
  index_.Insert(position->first, position);
  absl::Cleanup undo_entry = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    index_.Erase(position->first);
  };
  Order rank = NewRank(position->second, *position->second.stored);
  if (due != absl::InfiniteFuture()) lifetimes_.emplace(due, position->first);
  SetRank(position->second, std::move(rank));
  AddToUsage(*stored);
  std::move(undo_entry).Cancel();
  std::move(undo_position).Cancel();
}

std::shared_ptr<const StoredTensor> TensorStore::Replace(
    std::shared_ptr<const StoredTensor> stored) {
  Entry& entry = (*index_.Find(stored->id))->second;
  // Before anything changes, as in Link.
  On(stored->tensor.device());
  Order rank = NewRank(entry, *stored);
  Reschedule(entry, stored->end());
  DropRank(entry);
  AddToUsage(*stored);
  RemoveFromUsage(*entry.stored);
  std::swap(entry.stored, stored);
  SetRank(entry, std::move(rank));
  return stored;
}

void TensorStore::Reschedule(Entry& entry, absl::Time due) {
  if (due == entry.due) return;
  const std::string& id = entry.stored->id;
  if (due == absl::InfiniteFuture()) {
    lifetimes_.erase({entry.due, id});
  } else if (entry.due == absl::InfiniteFuture()) {
    lifetimes_.emplace(due, id);
  } else {
    auto node = lifetimes_.extract({entry.due, id});
    node.value().first = due;
    lifetimes_.insert(std::move(node));
  }
  entry.due = due;
}

std::shared_ptr<const StoredTensor> TensorStore::Unlink(std::string_view id) {
  const TensorMap::iterator position = *index_.Find(id);
  DropRank(position->second);
  const Entry entry = std::move(position->second);
  RemoveFromUsage(*entry.stored);
  index_.Erase(id);
  tensors_.erase(position);
  if (entry.due != absl::InfiniteFuture()) {
    lifetimes_.erase({entry.due, entry.stored->id});
  }
  if (!claims_.contains(entry.stored->id)) GivePlaceBack();
  return entry.stored;
}

}  // namespace tensord
