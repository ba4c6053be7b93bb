// Tells ThreadSanitizer what gRPC guarantees: what a thread did before it
// starts an operation of a call happens before what another does on its
// completion.
//
// gRPC's library is not instrumented, so ThreadSanitizer does not see its
// locks. These functions are the one place where that is made up for: call
// HandOver before an operation is started and TakeOver where it completes, with
// the same object. Elsewhere they do nothing.
#ifndef TENSORD_CORE_TSAN_H_
#define TENSORD_CORE_TSAN_H_

#if defined(__SANITIZE_THREAD__)
#define TENSORD_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENSORD_TSAN 1
#endif
#endif

#ifdef TENSORD_TSAN
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace tensord {

inline void HandOver([[maybe_unused]] const void* object) {
#ifdef TENSORD_TSAN
  __tsan_release(const_cast<void*>(object));
#endif
}

inline void TakeOver([[maybe_unused]] const void* object) {
#ifdef TENSORD_TSAN
  __tsan_acquire(const_cast<void*>(object));
#endif
}

}  // namespace tensord

#endif  // TENSORD_CORE_TSAN_H_
