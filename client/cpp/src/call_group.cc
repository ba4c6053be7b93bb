#include "client/cpp/src/call_group.h"

#include <algorithm>

namespace tensord::client {

CallGroup::CallGroup(CallGroup* parent) : parent_(parent) {
  if (parent_ != nullptr) parent_->Add(*this);
}

CallGroup::~CallGroup() {
  if (parent_ != nullptr) parent_->Remove(*this);
}

void CallGroup::Cancel() {
  MutexLock lock(mutex_);
  is_cancelled_ = true;
  for (Cancellable* const member : members_) member->Cancel();
}

bool CallGroup::is_cancelled() const {
  MutexLock lock(mutex_);
  return is_cancelled_;
}

void CallGroup::Add(Cancellable& member) {
  MutexLock lock(mutex_);
  members_.push_back(&member);
  if (is_cancelled_) member.Cancel();
}

void CallGroup::Remove(const Cancellable& member) {
  MutexLock lock(mutex_);
  members_.erase(std::find(members_.begin(), members_.end(), &member));
}

}  // namespace tensord::client
