// Letting other Python threads run.
#ifndef TENSORD_CLIENT_PYTHON_SRC_NATIVE_GIL_H_
#define TENSORD_CLIENT_PYTHON_SRC_NATIVE_GIL_H_

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace tensord::python {

// Lets them run while it exists. As nanobind::gil_scoped_release, but for
// daemon threads that are in a call when the interpreter ends: CPython before
// 3.14 ends a thread that asks for the GIL afterwards, by unwinding its stack
// (pthread_exit), which no destructor lets pass.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    try {
      PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
      // Until the process ends, which it is about to.
      for (;;) pause();
    }
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* const state_;
};

}  // namespace tensord::python

#endif  // TENSORD_CLIENT_PYTHON_SRC_NATIVE_GIL_H_
