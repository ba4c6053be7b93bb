// The elements of an array as the messages of an upload or a conversion.
#ifndef TENSORD_CLIENT_CPP_SRC_ARRAY_SOURCE_H_
#define TENSORD_CLIENT_CPP_SRC_ARRAY_SOURCE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/execution.h"
#include "client/cpp/src/loans.h"
#include "client/cpp/src/meter.h"
#include "client/cpp/src/stream_call.h"
#include "client/cpp/src/task.h"
#include "core/byte_range.h"

namespace tensord::client {

// Gives a declaration, then chunks that borrow the caller's memory, or
// buffers that the elements are gathered into and that are used again as gRPC
// gives them back, or that own what was read from a file. The destructor waits
// for whatever gRPC still holds: only afterwards may the caller touch or free
// the array.
class ArraySource final : public MessageSource {
 public:
  // `declaration` is the first message, and chunks are of the bytes `range` of
  // the array. With `checksums` they have theirs. REQUIRES: chunk_bytes > 0;
  // the ends of `range` lie in the array, between elements; `meter` outlives
  // this.
  ArraySource(const grpc::ByteBuffer& declaration, SendPlan plan,
              std::int64_t chunk_bytes, bool checksums, ByteRange range,
              Meter& meter);

  // Throws what NpyReader::Read does.
  grpc::ByteBuffer Next(bool* last) override;

  // Pauses until gRPC holds nothing any more, where no thread may wait. To be
  // awaited before this is destroyed.
  Task<Nothing> Settle(const Execution& execution) const;

 private:
  // Memory for a gathered chunk.
  struct Staging {
    explicit Staging(std::size_t size_bytes)
        : bytes(new std::byte[size_bytes]) {}
    std::unique_ptr<std::byte[]> bytes;
    std::atomic<bool> lent = false;
  };

  grpc::Slice NextData(std::int64_t size_bytes);
  Staging& FreeStaging();

  grpc::ByteBuffer declaration_;
  const SendPlan plan_;
  // Whole elements, where they are gathered.
  const std::int64_t chunk_bytes_;
  const bool checksums_;
  bool declared_ = false;
  // Where the next chunk begins, and the last one ends.
  std::int64_t position_;
  const std::int64_t end_;
  Meter& meter_;
  std::vector<std::unique_ptr<Staging>> staging_;
  // The last member: waits before anything that is lent goes.
  Loans loans_;
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_ARRAY_SOURCE_H_
