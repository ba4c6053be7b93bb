#include "server/rpc/operations.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

Operation ParseTo(const v1::Operation::To& to, const std::string& path,
                  Violations& violations) {
  ToOptions options;
  options.dtype =
      violations.Take(ParseOptionalDType(to.dtype()), path + ".to.dtype");
  if (!to.device().empty()) {
    options.device =
        violations.Take(ParseDevice(to.device()), path + ".to.device");
  }
  options.copy = to.copy();
  options.overflow =
      violations.Take(ParseOverflow(to.overflow()), path + ".to.overflow");
  return [options](const Tensor& tensor, const TransformContext& context) {
    return To(tensor, options, context);
  };
}

Operation ParseIndex(const v1::Operation::Index& index, const std::string& path,
                     Violations& violations) {
  return [terms = ParseIndexTerms(index.terms(), path + ".index.terms",
                                  violations)](const Tensor& tensor,
                                               const TransformContext&) {
    return tensor.Index(terms);
  };
}

Operation ParseReshape(const v1::Operation::Reshape& reshape) {
  Dims shape(reshape.shape().begin(), reshape.shape().end());
  if (reshape.view_only()) {
    return [shape](const Tensor& tensor, const TransformContext&) {
      return tensor.View(shape);
    };
  }
  return [shape](const Tensor& tensor, const TransformContext& context) {
    return Reshape(tensor, shape, context);
  };
}

Operation ParsePermute(const v1::Operation::Permute& permute) {
  return [dims = Dims(permute.dims().begin(), permute.dims().end())](
             const Tensor& tensor, const TransformContext&) {
    return tensor.Permute(dims);
  };
}

Operation ParseOperation(const v1::Operation& operation,
                         const std::string& path, Violations& violations) {
  switch (operation.kind_case()) {
    case v1::Operation::kTo:
      return ParseTo(operation.to(), path, violations);
    case v1::Operation::kDetach:
      return [](const Tensor& tensor, const TransformContext&) {
        return tensor.Detach();
      };
    case v1::Operation::kIndex:
      return ParseIndex(operation.index(), path, violations);
    case v1::Operation::kReshape:
      return ParseReshape(operation.reshape());
    case v1::Operation::kPermute:
      return ParsePermute(operation.permute());
    case v1::Operation::kClone:
      return Clone;
    case v1::Operation::kContiguous:
      return Contiguous;
    case v1::Operation::KIND_NOT_SET:
      break;
  }
  violations.Check(
      InvalidArgument(reason::kOperationInvalid, "an operation says nothing"),
      path);
  return {};
}

}  // namespace

std::vector<Operation> ParseOperations(
    const google::protobuf::RepeatedPtrField<v1::Operation>& operations,
    Violations& violations) {
  if (operations.empty() || operations.size() > kMaxOperations) {
    violations.Check(
        InvalidArgument(
            reason::kOperationInvalid,
            absl::StrCat("there are ", operations.size(), " operations; 1 to ",
                         kMaxOperations, " are accepted")),
        "operations");
    return {};
  }
  std::vector<Operation> parsed;
  for (int i = 0; i < operations.size(); ++i) {
    parsed.push_back(ParseOperation(
        operations[i], absl::StrCat("operations[", i, "]"), violations));
  }
  return parsed;
}

absl::StatusOr<Tensor> Apply(const std::vector<Operation>& operations,
                             Tensor tensor, const TransformContext& context) {
  for (std::size_t i = 0; i < operations.size(); ++i) {
    absl::StatusOr<Tensor> next = operations[i](tensor, context);
    if (!next.ok()) {
      return ArgumentAtField(next.status(),
                             absl::StrCat("operations[", i, "]"));
    }
    tensor = *std::move(next);
  }
  return tensor;
}

}  // namespace tensord
