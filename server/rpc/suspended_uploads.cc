#include "server/rpc/suspended_uploads.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "server/absl_text.h"

namespace tensord {

void SuspendedUploads::Keep(std::unique_ptr<Upload> upload) {
  if (window_ <= absl::ZeroDuration()) return;
  // What is dropped goes after the lock is released: that can take a while.
  Entries added;
  added.push_back({clock_() + window_, std::move(upload)});
  Entries dropped;
  MutexLock lock(mutex_);
  entries_.splice(entries_.end(), added);
  if (entries_.size() > kMaxUploads) {
    dropped.splice(dropped.end(), entries_, entries_.begin());
  }
}

SuspendedUploads::Entries::const_iterator SuspendedUploads::Find(
    std::string_view request_id) const {
  const auto is_it = [&](const Entry& entry) {
    return absl::EqualsIgnoreCase(entry.upload->request_id, ToAbsl(request_id));
  };
  return std::find_if(entries_.begin(), entries_.end(), is_it);
}

std::unique_ptr<Upload> SuspendedUploads::Take(std::string_view request_id) {
  Entries taken;
  MutexLock lock(mutex_);
  const auto it = Find(request_id);
  if (it == entries_.end()) return nullptr;
  taken.splice(taken.end(), entries_, it);
  return std::move(taken.front().upload);
}

std::optional<std::int64_t> SuspendedUploads::ReceivedBytes(
    std::string_view request_id) const {
  MutexLock lock(mutex_);
  const auto it = Find(request_id);
  if (it == entries_.end()) return std::nullopt;
  return it->upload->received_bytes;
}

template <class Matches>
std::size_t SuspendedUploads::DropIf(Matches matches) {
  Entries dropped;
  MutexLock lock(mutex_);
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto next = std::next(it);
    if (matches(*it)) dropped.splice(dropped.end(), entries_, it);
    it = next;
  }
  return dropped.size();
}

bool SuspendedUploads::DropOldest() {
  bool is_first = true;
  return DropIf([&](const Entry&) { return std::exchange(is_first, false); }) >
         0;
}

bool SuspendedUploads::DropClaimOf(std::string_view tensor_id) {
  return DropIf([&](const Entry& entry) {
           return entry.upload->claim.id() == tensor_id;
         }) > 0;
}

void SuspendedUploads::Sweep() {
  const absl::Time now = clock_();
  DropIf([&](const Entry& entry) { return entry.end <= now; });
}

void SuspendedUploads::Clear() {
  DropIf([](const Entry&) { return true; });
}

std::size_t SuspendedUploads::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace tensord
