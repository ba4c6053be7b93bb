#include "nanobind/nanobind.h"
#include "native/bind.h"
#include "native/completions.h"

NB_MODULE(_native, module) {
  // Tensors that live until the interpreter goes are no leaks.
  nanobind::set_leak_warnings(false);
  tensord::python::BindCompletions(module);
  tensord::python::BindClient(module);
  tensord::python::BindTensor(module);
  tensord::python::BindBatch(module);
  tensord::python::BindDlpack(module);
  tensord::python::BindNpy(module);
}
