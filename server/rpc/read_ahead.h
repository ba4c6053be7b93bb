// Two buffers for the messages of a stream: one is processed while the next
// arrives.
#ifndef TENSORD_SERVER_RPC_READ_AHEAD_H_
#define TENSORD_SERVER_RPC_READ_AHEAD_H_

#include <array>
#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"

namespace tensord {

// Decides who may read and who may process, and starts nothing itself: whoever
// calls a method does what it returns, after it returned. At most one read and
// one message in process are under way at any time, and messages are processed
// in order. Thread-safe.
template <class Message>
class ReadAhead {
 public:
  struct Steps {
    // Start a read into this, unless null.
    Message* read = nullptr;
    // Process this, then call OnProcessed, unless null.
    Message* process = nullptr;
    // The stream has ended and all of it is processed. Said once.
    bool ended = false;
  };

  Steps Start() {
    MutexLock lock(mutex_);
    reading_ = true;
    return {.read = &messages_[0]};
  }

  // A read completed; `ok` is false at the end of the stream.
  Steps OnRead(bool ok) {
    MutexLock lock(mutex_);
    reading_ = false;
    if (ok) {
      ++filled_;
    } else {
      no_more_ = true;
    }
    return Next();
  }

  // The message that was handed out for it is processed.
  Steps OnProcessed() {
    MutexLock lock(mutex_);
    processing_ = false;
    first_ = 1 - first_;
    --filled_;
    return Next();
  }

  // True if all that came is processed and more is waited for: then no steps
  // come any more, as if the stream had ended and that had been said.
  bool TakeOver() {
    MutexLock lock(mutex_);
    if (processing_ || ended_ || filled_ > 0) return false;
    ended_ = no_more_ = processing_ = true;
    return true;
  }

 private:
  Steps Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Steps steps;
    if (!reading_ && !no_more_ && filled_ < messages_.size()) {
      reading_ = true;
      steps.read = &messages_[(first_ + filled_) % messages_.size()];
    }
    if (!processing_ && filled_ > 0) {
      processing_ = true;
      steps.process = &messages_[first_];
    }
    if (!ended_ && no_more_ && filled_ == 0) steps.ended = ended_ = true;
    return steps;
  }

  Mutex mutex_;
  std::array<Message, 2> messages_;
  // Messages that have arrived and are not processed, from first_ on.
  std::size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t filled_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool processing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_READ_AHEAD_H_
