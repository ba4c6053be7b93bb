#include "server/wire/byte_buffer.h"

#include <string>
#include <utility>

#include "core/tsan.h"
#include "server/wire/envelope.h"

namespace tensord {

bool MessagePieces::Reset(const grpc::ByteBuffer& message) {
  Clear();
  if (!message.Valid() || !message.Dump(&slices_).ok()) return false;
  for (const grpc::Slice& slice : slices_) {
    pieces_.emplace_back(reinterpret_cast<const char*>(slice.begin()),
                         slice.size());
  }
  return true;
}

void MessagePieces::Clear() {
  pieces_.clear();
  slices_.clear();
}

grpc::Slice BorrowedSlice(const void* data, std::size_t size_bytes,
                          std::shared_ptr<const void> owner) {
  using Owner = std::shared_ptr<const void>;
  auto held = std::make_unique<Owner>(std::move(owner));
  grpc::Slice slice(
      const_cast<void*>(data), size_bytes,
      [](void* user_data) {
        TakeOver(user_data);
        delete static_cast<Owner*>(user_data);
      },
      held.get());
  HandOver(held.release());
  return slice;
}

bool ParseMessage(const grpc::ByteBuffer& bytes,
                  google::protobuf::MessageLite& message) {
  MessagePieces pieces;
  if (!pieces.Reset(bytes)) return false;
  std::string joined;
  joined.reserve(bytes.Length());
  for (const std::string_view piece : pieces.pieces()) joined.append(piece);
  return message.ParseFromString(joined);
}

grpc::ByteBuffer MakeMessage(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer SerializeMessage(
    const google::protobuf::MessageLite& message) {
  return MakeMessage(message.SerializeAsString());
}

grpc::ByteBuffer ChunkMessage(std::int64_t offset,
                              std::optional<std::uint32_t> crc32c,
                              std::vector<grpc::Slice> data) {
  std::size_t data_bytes = 0;
  for (const grpc::Slice& slice : data) data_bytes += slice.size();
  data.insert(data.begin(),
              grpc::Slice(ChunkPrefix(offset, crc32c, data_bytes)));
  return grpc::ByteBuffer(data.data(), data.size());
}

}  // namespace tensord
