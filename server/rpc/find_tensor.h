// Names in requests to tensors, and to ids for new ones.
#ifndef TENSORD_SERVER_RPC_FIND_TENSOR_H_
#define TENSORD_SERVER_RPC_FIND_TENSOR_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/store/tensor_store.h"
#include "server/rpc/service_context.h"

namespace tensord {

// `status` as it is, with the metadata `name` if it is NOT_FOUND.
absl::Status NameIfNotFound(absl::Status status, std::string_view name);

// The tensor that is called `tensors/{id}`. INVALID_ARGUMENT (NAME_INVALID),
// NOT_FOUND (TENSOR_NOT_FOUND).
absl::StatusOr<std::shared_ptr<const StoredTensor>> FindTensor(
    const TensorStore& store, std::string_view name);

// Claims the id of a new tensor, or makes one up if it is empty; a suspended
// upload is no obstacle. Errors of TensorStore::ClaimId.
absl::StatusOr<TensorStore::Claim> ClaimTensorId(const ServiceContext& context,
                                                 std::string_view id);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_FIND_TENSOR_H_
