// Memory that is lent to gRPC.
#ifndef TENSORD_CLIENT_CPP_SRC_LOANS_H_
#define TENSORD_CLIENT_CPP_SRC_LOANS_H_

#include <grpcpp/support/slice.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace tensord::client {

// Lends memory to gRPC as slices, and waits until all of it came back. gRPC may
// read a message after its call ended: what it has begun to write stands in a
// queue of the connection until the socket takes it or the connection dies. For
// a peer that stopped without closing, TCP ends that after the keepalive
// timeout; on a Unix socket only the peer's end does.
//
// One thread lends; slices are given back by any.
class Loans {
 public:
  Loans();
  // Waits until nothing is lent any more. REQUIRES: the calls that were given
  // slices are destroyed.
  ~Loans();
  Loans(const Loans&) = delete;
  Loans& operator=(const Loans&) = delete;

  // A slice that reads `data` without copying it. Once gRPC gave it back,
  // `*lent`, which has to live as long as this, turns false; it may be null.
  grpc::Slice Lend(const std::byte* data, std::size_t size_bytes,
                   std::atomic<bool>* lent = nullptr);

  // Number of slices that have not come back.
  std::int64_t outstanding() const;

 private:
  struct Loan;
  static void Return(void* loan);

  // Shared with the loans, for the last one to come back after the waiter left.
  std::shared_ptr<std::atomic<std::int64_t>> outstanding_;
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_LOANS_H_
