// ListTensors.
#ifndef TENSORD_SERVER_RPC_LIST_TENSORS_H_
#define TENSORD_SERVER_RPC_LIST_TENSORS_H_

#include "absl/status/status.h"
#include "server/rpc/page_token.h"
#include "server/rpc/tenant.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Whether it may have to look at all tensors, which takes long where they are
// many.
bool TakesLong(const v1::ListTensorsRequest& request);

// Fills the response, which is empty, with a page. The store is locked for a
// thousand tensors at a time, and what is kept meanwhile is no more than the
// page and as many. INVALID_ARGUMENT (PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID,
// FILTER_INVALID, ORDER_BY_INVALID).
absl::Status ListTensors(const Tenant& tenant, const PageTokens& tokens,
                         const v1::ListTensorsRequest& request,
                         v1::ListTensorsResponse& response);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_LIST_TENSORS_H_
