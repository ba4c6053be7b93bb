// Names in requests to tensors, and to ids for new ones.
#ifndef TENSORD_SERVER_RPC_FIND_TENSOR_H_
#define TENSORD_SERVER_RPC_FIND_TENSOR_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/store/tensor_store.h"
#include "core/tensor.h"
#include "server/rpc/service_context.h"

namespace tensord {

// `status` as it is unless it is NOT_FOUND: then with the metadata `name`; and
// where callers are told apart, PERMISSION_DENIED (TENSOR_DENIED) instead,
// which it would also be if the tensor were another tenant's (AIP-211).
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

// Makes the tensor visible. Errors of TensorStore::Claim::Commit, by way of
// NameIfNotFound.
absl::StatusOr<std::shared_ptr<const StoredTensor>> CommitTensor(
    const ServiceContext& context, TensorStore::Claim&& claim, Tensor tensor,
    const Lifetime& lifetime);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_FIND_TENSOR_H_
