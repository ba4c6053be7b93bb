// Messages of the streams, to and from bytes without a copy of the elements.
//
// A chunk to send is a few bytes of protobuf in front of borrowed memory; a
// chunk that came is walked where gRPC left it. Functions and values;
// thread-safe on distinct objects. Everything that is read is untrusted.
#ifndef TENSORD_CLIENT_CPP_SRC_ENVELOPE_H_
#define TENSORD_CLIENT_CPP_SRC_ENVELOPE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"

namespace tensord::client {

// An UploadTensorRequest or ConvertArrayRequest (their numbers are the same)
// with a chunk, with its checksum if there is one, and with `finish` on the
// last.
grpc::ByteBuffer ChunkMessage(std::int64_t offset,
                              std::optional<std::uint32_t> crc32c,
                              const grpc::Slice& data, bool finish);

// The same without a chunk, to end an array of no bytes.
grpc::ByteBuffer FinishMessage();

// Any message, whole.
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

// Reads any message, whole. INTERNAL (MESSAGE_MALFORMED).
absl::Status ParseMessage(const grpc::ByteBuffer& bytes,
                          google::protobuf::MessageLite* message);

// A stretch of bytes that is spread over slices, read from front to back. A
// cheap value; refers to slices that it does not own.
class SliceCursor {
 public:
  SliceCursor() = default;
  // All bytes of `slices`, which have to outlive the cursor.
  explicit SliceCursor(const std::vector<grpc::Slice>& slices);

  std::uint64_t remaining() const { return remaining_; }

  // Takes the next byte. REQUIRES: remaining() > 0.
  std::uint8_t TakeByte();
  // Takes `size_bytes` bytes, which the result reads. REQUIRES: that many
  // remain; so for CopyTo.
  SliceCursor Take(std::uint64_t size_bytes);
  void CopyTo(std::byte* destination, std::uint64_t size_bytes);
  // The same; returns the checksum of the bytes.
  std::uint32_t CopyWithCrc32c(std::byte* destination,
                               std::uint64_t size_bytes);
  // Takes everything that remains.
  std::string TakeString();

 private:
  // Calls visit(pointer, size) for the pieces of the next `size_bytes` bytes.
  template <class Visit>
  void Advance(std::uint64_t size_bytes, Visit visit);

  const grpc::Slice* slice_ = nullptr;
  std::size_t offset_ = 0;
  std::uint64_t remaining_ = 0;
};

// A DownloadTensorResponse or ConvertArrayResponse (their numbers are the
// same).
struct ArrayMessage {
  enum class Kind { kHeader, kChunk };
  Kind kind = Kind::kChunk;
  // Of a chunk; may be anything, negative values included.
  std::int64_t offset = 0;
  // Of a chunk; absent if the server sent none.
  std::optional<std::uint32_t> crc32c;
  // The serialized header, or the chunk's data.
  SliceCursor bytes;
};

// Reads the envelope of a message. INTERNAL (MESSAGE_MALFORMED): no protobuf,
// neither header nor chunk, or more than one of them. Unknown fields are
// skipped. The result refers to `slices`.
absl::StatusOr<ArrayMessage> ParseArrayMessage(
    const std::vector<grpc::Slice>& slices);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_ENVELOPE_H_
