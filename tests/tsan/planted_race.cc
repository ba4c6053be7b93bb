// Two threads that increment one counter without a lock, beside one that they
// lock: proof that ThreadSanitizer, as the tests set it up, still reports a
// race of ours.
#include <thread>

#include "core/mutex.h"

namespace {

struct Counters {
  tensord::Mutex mutex;
  int locked ABSL_GUARDED_BY(mutex) = 0;
  int unlocked = 0;
};

void Count(Counters& counters) {
  for (int i = 0; i < 100000; ++i) {
    ++counters.unlocked;
    tensord::MutexLock lock(counters.mutex);
    ++counters.locked;
  }
}

}  // namespace

int main() {
  Counters counters;
  std::thread other(Count, std::ref(counters));
  Count(counters);
  other.join();
  return counters.unlocked == 0;
}
