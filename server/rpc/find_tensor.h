// Names in requests to tensors, and to ids for new ones.
#ifndef TENSORD_SERVER_RPC_FIND_TENSOR_H_
#define TENSORD_SERVER_RPC_FIND_TENSOR_H_

#include <memory>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/store/tensor_store.h"
#include "core/tensor.h"
#include "server/rpc/service_context.h"

namespace tensord {

// Whether callers must not learn what there is that they can not have: then all
// of it is denied.
bool AreToldApart(const ServiceContext& context);

// PERMISSION_DENIED with `reason`: `what`, a tensor or an upload, is another
// tenant's or not there (AIP-211).
absl::Status Denied(std::string_view reason, std::string_view what);

// `status` as it is unless it is NOT_FOUND: then with the metadata `name`; and
// where callers are told apart, PERMISSION_DENIED (TENSOR_DENIED) instead.
absl::Status NameIfNotFound(const ServiceContext& context, absl::Status status,
                            std::string_view name);

// The tensor that is called `tensors/{id}`. INVALID_ARGUMENT (NAME_INVALID),
// errors of NameIfNotFound.
absl::StatusOr<std::shared_ptr<const StoredTensor>> FindTensor(
    const ServiceContext& context, std::string_view name);

// The same, and a use of it.
absl::StatusOr<std::shared_ptr<const StoredTensor>> UseTensor(
    const ServiceContext& context, std::string_view name);

// Claims the id of a new tensor, or makes one up if it is empty; a suspended
// upload is no obstacle. Errors of TensorStore::ClaimId, by way of
// NameIfNotFound.
absl::StatusOr<TensorStore::Claim> ClaimTensorId(const ServiceContext& context,
                                                 std::string_view id,
                                                 const ClaimOptions& options);

// Makes the tensor visible, and calls `write_answer` with it before that.
// Errors of TensorStore::Claim::Commit, by way of NameIfNotFound.
absl::StatusOr<std::shared_ptr<const StoredTensor>> CommitTensor(
    const ServiceContext& context, TensorStore::Claim&& claim, Tensor tensor,
    const Lifetime& lifetime,
    absl::FunctionRef<void(const StoredTensor&)> write_answer);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_FIND_TENSOR_H_
