// What an UpdateTensorRequest asks for.
#ifndef TENSORD_SERVER_RPC_UPDATE_H_
#define TENSORD_SERVER_RPC_UPDATE_H_

#include "absl/time/time.h"
#include "core/store/tensor_store.h"
#include "server/wire/violations.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// The changes by the field mask; lifetimes count from `now`.
// FIELD_MASK_INVALID: a path that does not exist or can not be changed, or one
// of the two ways to say the lifetime while the value is given in the other;
// TTL_INVALID; LEASE_INVALID, also for a lease with another lifetime. What is
// returned means nothing if `violations` found anything.
TensorStore::Changes ParseChanges(const v1::UpdateTensorRequest& request,
                                  absl::Time now, Violations& violations);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPDATE_H_
