// Results of calls that run in the background, on their way to Python.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_COMPLETIONS_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_COMPLETIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"
#include "nanobind/nanobind.h"

namespace tensord::python {

// A reference to a Python object for threads that may never take the GIL, as
// those that are still there when the interpreter goes: without the GIL, the
// last of its copies to go leaves the object for ever.
class Kept {
 public:
  // Needs the GIL.
  explicit Kept(nanobind::object object);

 private:
  std::shared_ptr<PyObject> object_;
};

// Where calls that ended wait until an event loop takes their results. Nobody
// else waits for the GIL.
class Completions {
 public:
  // Throws nanobind::python_error without a file descriptor.
  Completions();

  // Readable while there is something to take.
  int fileno() const;

  // Gives the result, or throws nanobind::python_error. Has the GIL.
  using Finish = std::function<nanobind::object()>;

  // What calls hold of this. Thread-safe, without the GIL.
  class Inbox {
   public:
    Inbox(int fd) : fd_(fd) {}
    ~Inbox();
    Inbox(const Inbox&) = delete;
    Inbox& operator=(const Inbox&) = delete;

    void Put(std::uint64_t key, Finish finish);

   private:
    friend class Completions;
    struct Ended {
      std::uint64_t key;
      Finish finish;
    };

    const int fd_;
    Mutex mutex_;
    std::vector<Ended> ended_ ABSL_GUARDED_BY(mutex_);
  };
  const std::shared_ptr<Inbox>& inbox() const { return inbox_; }

  // Tuples of the keys of calls that ended, their results, and their
  // exceptions; one of the latter two is None.
  nanobind::list Drain();

 private:
  std::shared_ptr<Inbox> inbox_;
};

// Adds the classes Completions, Cancellation and Progress.
void BindCompletions(nanobind::module_& module);

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_COMPLETIONS_H_
