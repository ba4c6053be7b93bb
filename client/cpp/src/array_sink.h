// The messages of a download or a conversion as elements in the caller's
// memory.
#ifndef TENSORD_CLIENT_CPP_SRC_ARRAY_SINK_H_
#define TENSORD_CLIENT_CPP_SRC_ARRAY_SINK_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/meter.h"
#include "client/cpp/src/stream_call.h"
#include "core/byte_range.h"
#include "tensord/array.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord::client {

// Copies chunks from where gRPC received them to their place. Writes nothing
// beyond what `expected` says, whatever a server sends.
class ArraySink final : public MessageSink {
 public:
  // Takes the bytes `range` of the result. `destination` has room for
  // expected.size_bytes, of which bytes outside of `range` are not touched. It
  // and `meter` outlive this.
  ArraySink(ArrayLayout expected, ByteRange range, std::byte* destination,
            Meter& meter);

  // INTERNAL (MESSAGE_MALFORMED): messages out of order, no protobuf; ABORTED
  // (ETAG_MISMATCH): another array than expected; DATA_LOSS (OFFSET_MISMATCH,
  // SIZE_MISMATCH, CHECKSUM_MISMATCH): gaps, more than announced, or other
  // bytes than were sent.
  absl::Status Take(const grpc::ByteBuffer& message) override;

  // To be called before the messages of another call, which starts where this
  // one ended, at `position`. Its array has to be the same: ABORTED
  // (ETAG_MISMATCH) when its header comes otherwise.
  void Resume() { has_header_ = false; }
  std::int64_t position() const { return position_; }
  // The same, from the start on, of whatever array.
  void Restart();

  // Whether its range is the whole result.
  bool takes_all() const;

  // Of the header; empty before that.
  const std::string& etag() const { return etag_; }

  // OK if all of the range came, else DATA_LOSS (SIZE_MISMATCH).
  absl::Status CheckComplete() const;

 private:
  absl::Status TakeHeader(SliceCursor bytes);
  absl::Status TakeChunk(const ArrayMessage& chunk);

  absl::Status WrongSize(std::int64_t end) const;

  const ArrayLayout expected_;
  const ByteRange range_;
  std::byte* const destination_;
  Meter& meter_;
  bool has_header_ = false;
  std::string etag_;
  // Of the next byte.
  std::int64_t position_;
  // Of the message at hand; kept for its capacity.
  std::vector<grpc::Slice> slices_;
};

// ABORTED (ETAG_MISMATCH): parts of a read are not of one tensor.
absl::Status TensorChanged();

// Copies what a unary read brought. ABORTED and DATA_LOSS as above.
absl::Status FillFrom(const v1::ReadTensorResponse& response,
                      const ArrayLayout& expected, std::byte* destination);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_ARRAY_SINK_H_
