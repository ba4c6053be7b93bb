// What is left of the client in a process that was forked from one that used
// it: nothing, because the threads of gRPC are not there, and calls would wait
// for them for ever.
#ifndef TENSORD_CLIENT_CPP_SRC_FORK_H_
#define TENSORD_CLIENT_CPP_SRC_FORK_H_

#include "absl/status/status.h"

namespace tensord::client {

// Has processes that are forked from this one know of it. To be called before
// gRPC is used; again makes no difference. Thread-safe.
void WatchForks();

// Whether this process was forked from one that called WatchForks. Thread-safe.
bool IsForked();

// FAILED_PRECONDITION (FORKED) in such a process.
absl::Status CheckNotForked();

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_FORK_H_
