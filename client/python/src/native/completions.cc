#include "native/completions.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "nanobind/stl/string.h"
#include "native/gil.h"
#include "tensord/call_options.h"

namespace nb = nanobind;

namespace tensord::python {

Kept::Kept(nb::object object)
    : object_(object.release().ptr(), [](PyObject* kept) {
        if (PyGILState_Check() != 0) Py_DECREF(kept);
      }) {}

Completions::Inbox::~Inbox() {
  close(fd_);
  MutexLock lock(mutex_);
  // What it holds of Python's can not go without the GIL.
  if (PyGILState_Check() == 0) new auto(std::move(ended_));
}

void Completions::Inbox::Put(std::uint64_t key, Finish finish) {
  MutexLock lock(mutex_);
  ended_.push_back({key, std::move(finish)});
  if (ended_.size() == 1) eventfd_write(fd_, 1);
}

Completions::Completions() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    throw nb::python_error();
  }
  inbox_ = std::make_shared<Inbox>(fd);
}

int Completions::fileno() const { return inbox_->fd_; }

nb::list Completions::Drain() {
  std::vector<Inbox::Ended> ended;
  {
    MutexLock lock(inbox_->mutex_);
    ended.swap(inbox_->ended_);
    eventfd_t count;
    eventfd_read(inbox_->fd_, &count);
  }
  nb::list result;
  for (Inbox::Ended& one : ended) {
    nb::object value = nb::none();
    nb::object exception = nb::none();
    try {
      value = one.finish();
    } catch (const nb::python_error& error) {
      exception = nb::borrow(error.value());
    }
    result.append(nb::make_tuple(one.key, value, exception));
  }
  return result;
}

void BindCompletions(nb::module_& module) {
  nb::class_<Completions>(module, "Completions")
      .def(nb::init<>())
      .def("fileno", &Completions::fileno)
      .def("drain", &Completions::Drain);
  nb::class_<Cancellation>(module, "Cancellation")
      .def("cancel", &Cancellation::Cancel, nb::call_guard<GilRelease>());
  nb::class_<Progress>(module, "Progress")
      .def(nb::init<>())
      .def("bytes_done", &Progress::bytes_done);
}

}  // namespace tensord::python
