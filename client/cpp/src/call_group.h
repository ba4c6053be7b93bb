// Calls that are given up together.
#ifndef TENSORD_CLIENT_CPP_SRC_CALL_GROUP_H_
#define TENSORD_CLIENT_CPP_SRC_CALL_GROUP_H_

#include <grpcpp/client_context.h>

#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"

namespace tensord::client {

// Something that can be given up, from any thread, before it began as well as
// later.
class Cancellable {
 public:
  virtual void Cancel() = 0;

 protected:
  ~Cancellable() = default;
};

// Calls, pauses and other groups that are given up together. Thread-safe.
class CallGroup final : public Cancellable {
 public:
  // `parent`, to which this group belongs, may be null; outlives it.
  explicit CallGroup(CallGroup* parent = nullptr);
  ~CallGroup();
  CallGroup(const CallGroup&) = delete;
  CallGroup& operator=(const CallGroup&) = delete;

  // Cancels all members, and those to come.
  void Cancel() override;
  bool is_cancelled() const;

 private:
  friend class Membership;
  void Add(Cancellable& member);
  void Remove(const Cancellable& member);

  CallGroup* const parent_;
  mutable Mutex mutex_;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Cancellable*> members_ ABSL_GUARDED_BY(mutex_);
};

// Makes something a member of a group for as long as this lives; both outlive
// it.
class Membership {
 public:
  Membership(CallGroup& group, Cancellable& member)
      : group_(group), member_(member) {
    group_.Add(member_);
  }
  ~Membership() { group_.Remove(member_); }
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

 private:
  CallGroup& group_;
  Cancellable& member_;
};

// A call that belongs to a group.
class CancellableCall final : public Cancellable {
 public:
  explicit CancellableCall(CallGroup& group) : membership_(group, *this) {}

  grpc::ClientContext& context() { return context_; }
  void Cancel() override { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  Membership membership_;
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_CALL_GROUP_H_
