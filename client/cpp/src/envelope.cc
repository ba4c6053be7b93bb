#include "client/cpp/src/envelope.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "client/cpp/src/status.h"
#include "core/crc32c.h"

namespace tensord::client {
namespace {

enum WireType : std::uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kFixed32 = 5,
};

constexpr std::uint8_t Tag(std::uint32_t field, WireType type) {
  return static_cast<std::uint8_t>(field << 3 | type);
}

// Field numbers of the proto file.
constexpr std::uint32_t kRequestChunk = 2;
constexpr std::uint32_t kRequestFinish = 3;
constexpr std::uint32_t kResponseHeader = 1;
constexpr std::uint32_t kResponseChunk = 2;
constexpr std::uint32_t kChunkOffset = 1;
constexpr std::uint32_t kChunkCrc32c = 2;
constexpr std::uint32_t kChunkData = 3;

constexpr std::size_t kMaxVarintBytes = 10;

// Protobuf fields in a fixed buffer, as large as those of a chunk can be.
class FieldWriter {
 public:
  void Varint(std::uint64_t value) {
    while (value >= 0x80) {
      Byte(static_cast<std::uint8_t>(value | 0x80));
      value >>= 7;
    }
    Byte(static_cast<std::uint8_t>(value));
  }
  void Fixed32(std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) {
      Byte(static_cast<std::uint8_t>(value >> shift));
    }
  }
  void Byte(std::uint8_t value) { bytes_[size_++] = value; }
  std::size_t size() const { return size_; }
  const std::uint8_t* data() const { return bytes_.data(); }

 private:
  std::array<std::uint8_t, 4 * (1 + kMaxVarintBytes)> bytes_;
  std::size_t size_ = 0;
};

// One field; `bytes` are those of a length-delimited one, `value` of the other
// types.
struct Field {
  std::uint32_t number = 0;
  WireType type = kVarint;
  std::uint64_t value = 0;
  SliceCursor bytes;
};

std::optional<std::uint64_t> TakeVarint(SliceCursor& cursor) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kMaxVarintBytes && cursor.remaining() > 0; ++i) {
    const std::uint8_t byte = cursor.TakeByte();
    value |= std::uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> TakeFixed(SliceCursor& cursor, int size_bytes) {
  if (cursor.remaining() < static_cast<std::uint64_t>(size_bytes)) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  for (int i = 0; i < size_bytes; ++i) {
    value |= std::uint64_t{cursor.TakeByte()} << (8 * i);
  }
  return value;
}

// Takes what follows the tag of `field`; false if it is cut short or is of a
// type that proto3 does not have.
bool TakeValue(SliceCursor& cursor, Field* field) {
  std::optional<std::uint64_t> value;
  switch (field->type) {
    case kVarint:
      value = TakeVarint(cursor);
      break;
    case kFixed64:
      value = TakeFixed(cursor, 8);
      break;
    case kFixed32:
      value = TakeFixed(cursor, 4);
      break;
    case kLengthDelimited:
      value = TakeVarint(cursor);
      if (!value || *value > cursor.remaining()) return false;
      field->bytes = cursor.Take(*value);
      break;
    default:
      return false;
  }
  if (value) field->value = *value;
  return value.has_value();
}

std::optional<Field> TakeField(SliceCursor& cursor) {
  const std::optional<std::uint64_t> tag = TakeVarint(cursor);
  if (!tag || *tag >> 3 == 0 || *tag > UINT32_MAX) return std::nullopt;
  Field field;
  field.number = static_cast<std::uint32_t>(*tag >> 3);
  field.type = static_cast<WireType>(*tag & 7);
  if (!TakeValue(cursor, &field)) return std::nullopt;
  return field;
}

// Calls visit(field) for every field; false if the message can not be read or
// `visit` says false.
template <class Visit>
bool ForEachField(SliceCursor cursor, Visit visit) {
  while (cursor.remaining() > 0) {
    const std::optional<Field> field = TakeField(cursor);
    if (!field || !visit(*field)) return false;
  }
  return true;
}

bool ParseChunk(const SliceCursor& chunk, ArrayMessage* message) {
  bool has_data = false;
  message->kind = ArrayMessage::Kind::kChunk;
  message->bytes = SliceCursor();
  message->crc32c.reset();
  return ForEachField(chunk, [&](const Field& field) {
    if (field.number == kChunkOffset && field.type == kVarint) {
      message->offset = static_cast<std::int64_t>(field.value);
    } else if (field.number == kChunkCrc32c && field.type == kFixed32) {
      message->crc32c = static_cast<std::uint32_t>(field.value);
    } else if (field.number == kChunkData && field.type == kLengthDelimited) {
      if (has_data) return false;
      has_data = true;
      message->bytes = field.bytes;
    }
    return true;
  });
}

}  // namespace

grpc::ByteBuffer ChunkMessage(std::int64_t offset,
                              std::optional<std::uint32_t> crc32c,
                              const grpc::Slice& data, bool finish) {
  FieldWriter chunk;
  if (offset != 0) {
    chunk.Byte(Tag(kChunkOffset, kVarint));
    chunk.Varint(static_cast<std::uint64_t>(offset));
  }
  if (crc32c.has_value()) {
    chunk.Byte(Tag(kChunkCrc32c, kFixed32));
    chunk.Fixed32(*crc32c);
  }
  chunk.Byte(Tag(kChunkData, kLengthDelimited));
  chunk.Varint(data.size());
  FieldWriter message;
  if (finish) {
    message.Byte(Tag(kRequestFinish, kVarint));
    message.Byte(1);
  }
  message.Byte(Tag(kRequestChunk, kLengthDelimited));
  message.Varint(chunk.size() + data.size());
  for (std::size_t i = 0; i < chunk.size(); ++i) message.Byte(chunk.data()[i]);
  const std::array<grpc::Slice, 2> slices = {
      grpc::Slice(message.data(), message.size()), data};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

grpc::ByteBuffer FinishMessage() {
  const std::array<std::uint8_t, 2> bytes = {Tag(kRequestFinish, kVarint), 1};
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer SerializeMessage(
    const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

absl::Status ParseMessage(const grpc::ByteBuffer& bytes,
                          google::protobuf::MessageLite* message) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok() ||
      !message->ParseFromString(SliceCursor(slices).TakeString())) {
    return MalformedAnswer("a message that can not be read");
  }
  return absl::OkStatus();
}

SliceCursor::SliceCursor(const std::vector<grpc::Slice>& slices)
    : slice_(slices.data()) {
  for (const grpc::Slice& slice : slices) remaining_ += slice.size();
}

std::uint8_t SliceCursor::TakeByte() {
  while (offset_ == slice_->size()) {
    ++slice_;
    offset_ = 0;
  }
  --remaining_;
  return slice_->begin()[offset_++];
}

template <class Visit>
void SliceCursor::Advance(std::uint64_t size_bytes, Visit visit) {
  remaining_ -= size_bytes;
  while (size_bytes > 0) {
    const std::uint64_t piece =
        std::min<std::uint64_t>(size_bytes, slice_->size() - offset_);
    visit(slice_->begin() + offset_, piece);
    size_bytes -= piece;
    offset_ += piece;
    if (size_bytes > 0) {
      ++slice_;
      offset_ = 0;
    }
  }
}

SliceCursor SliceCursor::Take(std::uint64_t size_bytes) {
  SliceCursor taken = *this;
  taken.remaining_ = size_bytes;
  Advance(size_bytes, [](const std::uint8_t*, std::uint64_t) {});
  return taken;
}

void SliceCursor::CopyTo(std::byte* destination, std::uint64_t size_bytes) {
  Advance(size_bytes, [&](const std::uint8_t* piece, std::uint64_t size) {
    std::memcpy(destination, piece, size);
    destination += size;
  });
}

std::uint32_t SliceCursor::CopyWithCrc32c(std::byte* destination,
                                          std::uint64_t size_bytes) {
  std::uint32_t crc32c = 0;
  Advance(size_bytes, [&](const std::uint8_t* piece, std::uint64_t size) {
    crc32c = ExtendCrc32c(
        crc32c, std::string_view(reinterpret_cast<const char*>(piece), size));
    std::memcpy(destination, piece, size);
    destination += size;
  });
  return crc32c;
}

std::string SliceCursor::TakeString() {
  std::string text;
  text.reserve(remaining_);
  Advance(remaining_, [&](const std::uint8_t* piece, std::uint64_t size) {
    text.append(reinterpret_cast<const char*>(piece), size);
  });
  return text;
}

absl::StatusOr<ArrayMessage> ParseArrayMessage(
    const std::vector<grpc::Slice>& slices) {
  ArrayMessage message;
  int payloads = 0;
  const bool readable =
      ForEachField(SliceCursor(slices), [&](const Field& field) {
        if (field.type != kLengthDelimited) return true;
        if (field.number == kResponseHeader) {
          ++payloads;
          message.kind = ArrayMessage::Kind::kHeader;
          message.bytes = field.bytes;
        } else if (field.number == kResponseChunk) {
          ++payloads;
          return ParseChunk(field.bytes, &message);
        }
        return true;
      });
  if (!readable) return MalformedAnswer("a message that can not be read");
  if (payloads != 1) {
    return MalformedAnswer("a message that is not one header or one chunk");
  }
  return message;
}

}  // namespace tensord::client
