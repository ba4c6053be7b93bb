// A mutex that Clang's thread-safety analysis and ThreadSanitizer both see:
// std::mutex with the attributes of Abseil. absl::Mutex itself, from a package
// that is not instrumented, is invisible to ThreadSanitizer.
#ifndef TENSORD_CORE_MUTEX_H_
#define TENSORD_CORE_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace tensord {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a mutex for as long as it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_MUTEX_H_
