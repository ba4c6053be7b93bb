#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "native/bind.h"
#include "native/buffer.h"
#include "native/call.h"
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

// A call on a tensor, which stays meanwhile.
class TensorCall {
 protected:
  explicit TensorCall(nb::object tensor)
      : tensor_(nb::cast<TensorHandle&>(tensor)), kept_(std::move(tensor)) {}

  TensorHandle& tensor() const { return tensor_; }

 private:
  TensorHandle& tensor_;
  const Kept kept_;
};

class TransformCall final : TensorCall {
 public:
  using Result = absl::StatusOr<RemoteTensor>;

  TransformCall(nb::object tensor, nb::handle operations, std::string id,
                std::optional<double> ttl, std::optional<double> lease,
                bool replace, std::string if_match)
      : TensorCall(std::move(tensor)),
        operations_(ToOperations(operations)),
        options_{.id = std::move(id),
                 .ttl = ToDuration(ttl),
                 .lease = ToDuration(lease),
                 .replace = replace,
                 .if_match = std::move(if_match)} {}

  Result Run() const { return tensor()->Transform(operations_, options_); }
  Future<Result> Begin(const CallOptions& call) const {
    return tensor()->TransformAsync(operations_, options_, call);
  }
  static nb::object ToPython(RemoteTensor made, Going going) {
    return FromTensor(std::move(made), going);
  }

 private:
  const std::vector<Operation> operations_;
  const TransformOptions options_;
};

class SetRequiresGradCall final : TensorCall {
 public:
  using Result = absl::StatusOr<TensorInfo>;

  SetRequiresGradCall(nb::object tensor, bool requires_grad)
      : TensorCall(std::move(tensor)), requires_grad_(requires_grad) {}

  Result Run() const {
    absl::Status status = tensor()->SetRequiresGrad(requires_grad_);
    if (!status.ok()) return status;
    return tensor()->info();
  }
  Future<Result> Begin(const CallOptions& call) const {
    return tensor()->SetRequiresGradAsync(requires_grad_, call);
  }
  static nb::object ToPython(const TensorInfo& info, Going) {
    return FromTensorInfo(info);
  }

 private:
  const bool requires_grad_;
};

class ReadCall final : TensorCall {
 public:
  using Result = absl::Status;

  ReadCall(nb::object tensor, nb::handle destination, nb::handle index,
           std::optional<int> dtype, int overflow, bool force)
      : TensorCall(std::move(tensor)),
        memory_(destination, PinnedBuffer::kWritable),
        options_(ToReadOptions(index, dtype, overflow, force)) {}

  Result Run() const {
    return tensor()->ReadInto(memory_.data(), memory_.size_bytes(), options_);
  }
  Future<Result> Begin(const CallOptions& call) const {
    return tensor()->ReadIntoAsync(memory_.data(), memory_.size_bytes(),
                                   options_, call);
  }

 private:
  const PinnedBuffer memory_;
  const ReadOptions options_;
};

class DeleteTensorCall final : TensorCall {
 public:
  using Result = absl::Status;

  explicit DeleteTensorCall(nb::object tensor)
      : TensorCall(std::move(tensor)) {}

  Result Run() const { return tensor()->Delete(); }
  Future<Result> Begin(const CallOptions& call) const {
    return tensor()->DeleteAsync(call);
  }
};

nb::tuple ReadLayout(TensorHandle& self, nb::handle index,
                     std::optional<int> dtype, int overflow, bool force) {
  return FromLayout(
      Take(self->ReadLayout(ToReadOptions(index, dtype, overflow, force))));
}

}  // namespace

void BindTensor(nb::module_& module) {
  nb::class_<TensorHandle>(module, "Tensor")
      .def("info",
           [](TensorHandle& self) { return FromTensorInfo(self->info()); })
      .def("owned", [](TensorHandle& self) { return self->owned(); })
      .def("read_layout", &ReadLayout, nb::arg("index"),
           nb::arg("dtype").none(), nb::arg("overflow"), nb::arg("force"))
      .def("release", [](TensorHandle& self) { self->Release(); });
  nb::class_<TransformCall> transform(module, "TransformCall");
  transform.def(
      nb::init<nb::object, nb::handle, std::string, std::optional<double>,
               std::optional<double>, bool, std::string>(),
      nb::arg("tensor"), nb::arg("operations"), nb::arg("id"),
      nb::arg("ttl").none(), nb::arg("lease").none(), nb::arg("replace"),
      nb::arg("if_match"));
  BindCall(transform);
  nb::class_<SetRequiresGradCall> set_requires_grad(module,
                                                    "SetRequiresGradCall");
  set_requires_grad.def(nb::init<nb::object, bool>());
  BindCall(set_requires_grad);
  nb::class_<ReadCall> read(module, "ReadCall");
  read.def(nb::init<nb::object, nb::handle, nb::handle, std::optional<int>, int,
                    bool>(),
           nb::arg("tensor"), nb::arg("destination"), nb::arg("index"),
           nb::arg("dtype").none(), nb::arg("overflow"), nb::arg("force"));
  BindCall(read);
  nb::class_<DeleteTensorCall> remove(module, "DeleteTensorCall");
  remove.def(nb::init<nb::object>());
  BindCall(remove);
}

}  // namespace tensord::python
