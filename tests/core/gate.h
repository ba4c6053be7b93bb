// A place where threads wait.
#ifndef TENSORD_TESTS_CORE_GATE_H_
#define TENSORD_TESTS_CORE_GATE_H_

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"

namespace tensord {

// Holds up whoever passes while it is closed. Thread-safe.
class Gate {
 public:
  explicit Gate(bool is_open = true) : is_open_(is_open) {}

  void Close() {
    MutexLock lock(mutex_);
    is_open_ = false;
  }
  void Open() {
    MutexLock lock(mutex_);
    is_open_ = true;
    opened_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(mutex_);
    ++waiting_;
    while (!is_open_) opened_.Wait(mutex_);
    --waiting_;
  }
  // Those that are held up.
  int waiting() const {
    MutexLock lock(mutex_);
    return waiting_;
  }

 private:
  mutable Mutex mutex_;
  Condition opened_;
  bool is_open_ ABSL_GUARDED_BY(mutex_);
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_CORE_GATE_H_
