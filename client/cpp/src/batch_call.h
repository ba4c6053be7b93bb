// Many small calls in one stream.
#ifndef TENSORD_CLIENT_CPP_SRC_BATCH_CALL_H_
#define TENSORD_CLIENT_CPP_SRC_BATCH_CALL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "client/cpp/src/connections.h"
#include "client/cpp/src/execution.h"
#include "client/cpp/src/task.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord::client {

// Writes the call for place `i` of a batch; false if there is none.
using FillCall = absl::FunctionRef<bool(std::size_t i, v1::BatchCall& call)>;
// Takes what came of it, which is no refusal.
using TakeResult =
    absl::FunctionRef<void(std::size_t i, const v1::BatchResult& result)>;
// Takes its refusal.
using TakeRefusal = absl::FunctionRef<void(std::size_t i, absl::Status status)>;

// Runs calls for places 0 to `count` - 1, in this order, and ends when all are
// over. Messages are sent when they have more than `message_bytes`, while
// results are taken; all functions, which have to outlive the task, are called
// by one thread at a time, `fill` once for each place.
//
// What the server said of the stream, else INTERNAL (MESSAGE_MALFORMED) if
// there are more results than calls, or fewer; DEADLINE_EXCEEDED as of
// RunStreamCall. Results may have been taken even so.
Task<absl::Status> RunBatchCall(const Execution& execution,
                                Connection& connection, std::size_t count,
                                FillCall fill, TakeResult take,
                                TakeRefusal refuse, std::size_t message_bytes);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_BATCH_CALL_H_
