// gRPC's byte buffers as pieces of memory, and the other way round.
#ifndef TENSORD_SERVER_WIRE_BYTE_BUFFER_H_
#define TENSORD_SERVER_WIRE_BYTE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace tensord {

// The bytes of a message where gRPC left them. Not thread-safe; reusable, so
// that its memory serves message after message.
class MessagePieces {
 public:
  // Refers to the bytes of `message` until the next Reset or Clear. False if
  // the message can not be read (it was compressed and is corrupt).
  bool Reset(const grpc::ByteBuffer& message);
  // Lets go of the bytes.
  void Clear();
  absl::Span<const std::string_view> pieces() const { return pieces_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<std::string_view> pieces_;
};

// A slice of `size_bytes` bytes at `data`, which `owner` keeps alive: not
// copied.
grpc::Slice BorrowedSlice(const void* data, std::size_t size_bytes,
                          std::shared_ptr<const void> owner);

// Reads a small message; false if it is not one.
bool ParseMessage(const grpc::ByteBuffer& bytes,
                  google::protobuf::MessageLite& message);

// A message that is serialized already.
grpc::ByteBuffer MakeMessage(const std::string& bytes);

// A small message.
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

// A DownloadTensorResponse or ConvertArrayResponse that holds a chunk: `data`
// are its bytes, of which it shares the memory, and `crc32c`, if given, their
// checksum. REQUIRES: offset >= 0.
grpc::ByteBuffer ChunkMessage(std::int64_t offset,
                              std::optional<std::uint32_t> crc32c,
                              std::vector<grpc::Slice> data);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_BYTE_BUFFER_H_
