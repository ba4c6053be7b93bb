#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "native/bind.h"
#include "native/buffer.h"
#include "native/convert.h"
#include "tensord/remote_tensor.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

ReadOptions ToReadOptions(nb::handle index, std::optional<int> dtype,
                          int overflow, bool force) {
  return {.index = ToIndexTerms(index),
          .dtype = ToDType(dtype),
          .overflow = ToOverflow(overflow),
          .force = force};
}

TensorHandle Transform(TensorHandle& self, nb::handle operations,
                       std::string id, std::optional<double> ttl,
                       std::optional<double> lease, bool replace,
                       std::string if_match) {
  const std::vector<Operation> steps = ToOperations(operations);
  const TransformOptions options{.id = std::move(id),
                                 .ttl = ToDuration(ttl),
                                 .lease = ToDuration(lease),
                                 .replace = replace,
                                 .if_match = std::move(if_match)};
  absl::StatusOr<RemoteTensor> result = [&] {
    nb::gil_scoped_release release;
    return self->Transform(steps, options);
  }();
  return TensorHandle(Take(std::move(result)));
}

void SetRequiresGrad(TensorHandle& self, bool requires_grad) {
  absl::Status status;
  {
    nb::gil_scoped_release release;
    status = self->SetRequiresGrad(requires_grad);
  }
  Check(status);
}

nb::tuple ReadLayout(TensorHandle& self, nb::handle index,
                     std::optional<int> dtype, int overflow, bool force) {
  return FromLayout(
      Take(self->ReadLayout(ToReadOptions(index, dtype, overflow, force))));
}

void ReadInto(TensorHandle& self, nb::handle destination, nb::handle index,
              std::optional<int> dtype, int overflow, bool force) {
  const PinnedBuffer memory(destination, PinnedBuffer::kWritable);
  const ReadOptions options = ToReadOptions(index, dtype, overflow, force);
  absl::Status status;
  {
    nb::gil_scoped_release release;
    status = self->ReadInto(memory.data(), memory.size_bytes(), options);
  }
  Check(status);
}

void Delete(TensorHandle& self) {
  absl::Status status;
  {
    nb::gil_scoped_release release;
    status = self->Delete();
  }
  Check(status);
}

}  // namespace

void BindTensor(nb::module_& module) {
  nb::class_<TensorHandle>(module, "Tensor")
      .def("info",
           [](TensorHandle& self) { return FromTensorInfo(self->info()); })
      .def("owned", [](TensorHandle& self) { return self->owned(); })
      .def("transform", &Transform, nb::arg("operations"), nb::arg("id"),
           nb::arg("ttl").none(), nb::arg("lease").none(), nb::arg("replace"),
           nb::arg("if_match"))
      .def("set_requires_grad", &SetRequiresGrad)
      .def("read_layout", &ReadLayout, nb::arg("index"),
           nb::arg("dtype").none(), nb::arg("overflow"), nb::arg("force"))
      .def("read_into", &ReadInto, nb::arg("destination"), nb::arg("index"),
           nb::arg("dtype").none(), nb::arg("overflow"), nb::arg("force"))
      .def("delete", &Delete)
      .def("release", [](TensorHandle& self) { self->Release(); });
}

}  // namespace tensord::python
