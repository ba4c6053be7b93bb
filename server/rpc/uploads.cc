#include "server/rpc/uploads.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "absl/strings/ascii.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

std::string Key(std::string_view request_id) {
  return absl::AsciiStrToLower(ToAbsl(request_id));
}

template <class Suspended>
auto FindSuspended(Suspended& suspended, const std::string& key) {
  return std::find_if(
      suspended.begin(), suspended.end(),
      [&](const auto& entry) { return entry.upload->request_id() == key; });
}

}  // namespace

absl::StatusOr<std::shared_ptr<Upload>> Uploads::Join(
    std::string_view request_id, Device device) {
  const std::string key = Key(request_id);
  std::list<Suspended> resumed;
  MutexLock lock(mutex_);
  const auto active = active_.find(key);
  if (active != active_.end()) {
    if (active->second.upload->device() != device) return RequestIdReused();
    ++active->second.streams;
    return active->second.upload;
  }
  const auto it = FindSuspended(suspended_, key);
  const bool is_new = it == suspended_.end();
  if (!is_new && it->upload->device() != device) return RequestIdReused();
  auto upload = is_new ? std::make_shared<Upload>(key, device) : it->upload;
  active_.emplace(key, Active{.upload = upload, .streams = 1});
  if (!is_new) resumed.splice(resumed.end(), suspended_, it);
  return upload;
}

void Uploads::Leave(const std::shared_ptr<Upload>& upload) noexcept {
  std::list<Suspended> added;
  try {
    added.push_back({upload, upload->tensor_id(), clock_() + window_});
  } catch (const std::bad_alloc&) {
    // Then nobody can go on with it.
  }
  const bool can_go_on = window_ > absl::ZeroDuration() && !added.empty() &&
                         !added.front().tensor_id.empty();
  std::shared_ptr<Upload> left;
  std::list<Suspended> dropped;
  MutexLock lock(mutex_);
  const auto it = active_.find(upload->request_id());
  if (it == active_.end() || it->second.upload != upload) return;
  if (--it->second.streams > 0) return;
  left = std::move(it->second.upload);
  active_.erase(it);
  if (!can_go_on) return;
  suspended_.splice(suspended_.end(), added);
  if (suspended_.size() > kMaxSuspended) {
    dropped.splice(dropped.end(), suspended_, suspended_.begin());
  }
}

void Uploads::Remove(const std::shared_ptr<Upload>& upload) noexcept {
  std::shared_ptr<Upload> removed;
  MutexLock lock(mutex_);
  const auto it = active_.find(upload->request_id());
  if (it == active_.end() || it->second.upload != upload) return;
  removed = std::move(it->second.upload);
  active_.erase(it);
}

std::shared_ptr<Upload> Uploads::Find(std::string_view request_id) const {
  const std::string key = Key(request_id);
  MutexLock lock(mutex_);
  if (const auto it = active_.find(key); it != active_.end()) {
    return it->second.upload;
  }
  const auto it = FindSuspended(suspended_, key);
  return it == suspended_.end() ? nullptr : it->upload;
}

template <class Matches>
std::size_t Uploads::DropIf(Matches matches) {
  // What is dropped goes after the lock is released: that can take a while.
  std::list<Suspended> dropped;
  MutexLock lock(mutex_);
  for (auto it = suspended_.begin(); it != suspended_.end();) {
    const auto next = std::next(it);
    if (matches(*it)) dropped.splice(dropped.end(), suspended_, it);
    it = next;
  }
  return dropped.size();
}

bool Uploads::DropOldest(Device device) {
  bool is_first = true;
  return DropIf([&](const Suspended& entry) {
           return entry.upload->device() == device &&
                  std::exchange(is_first, false);
         }) > 0;
}

bool Uploads::DropClaimOf(std::string_view tensor_id) {
  return DropIf([&](const Suspended& entry) {
           return entry.tensor_id == tensor_id;
         }) > 0;
}

void Uploads::Sweep() {
  const absl::Time now = clock_();
  DropIf([&](const Suspended& entry) { return entry.end <= now; });
}

void Uploads::Clear() {
  DropIf([](const Suspended&) { return true; });
}

std::size_t Uploads::suspended() const {
  MutexLock lock(mutex_);
  return suspended_.size();
}

}  // namespace tensord
