// The operations of TransformTensor.
#ifndef TENSORD_SERVER_RPC_OPERATIONS_H_
#define TENSORD_SERVER_RPC_OPERATIONS_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor.h"
#include "core/transform.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "server/wire/violations.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Makes one tensor out of another.
using Operation = std::function<absl::StatusOr<Tensor>(
    const Tensor&, const TransformContext&)>;

inline constexpr int kMaxOperations = 64;

// Reads the field `operations`. OPERATION_INVALID (none, too many, one of no
// kind), and the reasons of the fields of each. What is returned means nothing
// if `violations` found anything.
std::vector<Operation> ParseOperations(
    const google::protobuf::RepeatedPtrField<v1::Operation>& operations,
    Violations& violations);

// All of them, one after the other. The first error, with the field
// `operations[i]` if an argument is at fault.
absl::StatusOr<Tensor> Apply(const std::vector<Operation>& operations,
                             Tensor tensor, const TransformContext& context);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_OPERATIONS_H_
