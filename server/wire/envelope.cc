#include "server/wire/envelope.h"

#include "core/error.h"
#include "server/wire/piece_reader.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

// Field numbers of the requests.
constexpr std::uint32_t kDeclaration =
    v1::UploadTensorRequest::kDeclarationFieldNumber;
constexpr std::uint32_t kChunk = v1::UploadTensorRequest::kChunkFieldNumber;
constexpr std::uint32_t kFinish = v1::UploadTensorRequest::kFinishFieldNumber;
static_assert(kDeclaration == v1::ConvertArrayRequest::kDeclarationFieldNumber);
static_assert(kChunk == v1::ConvertArrayRequest::kChunkFieldNumber);
static_assert(kFinish == v1::ConvertArrayRequest::kFinishFieldNumber);

// Field numbers of Chunk, and of the responses.
constexpr std::uint32_t kOffset = v1::Chunk::kOffsetFieldNumber;
constexpr std::uint32_t kCrc32c = v1::Chunk::kCrc32CFieldNumber;
constexpr std::uint32_t kData = v1::Chunk::kDataFieldNumber;
constexpr std::uint32_t kResponseChunk =
    v1::DownloadTensorResponse::kChunkFieldNumber;
static_assert(kResponseChunk == v1::ConvertArrayResponse::kChunkFieldNumber);

absl::Status Malformed(std::string_view what) {
  return InvalidArgument(reason::kMessageMalformed,
                         std::string("malformed message: ").append(what));
}

absl::Status CutShort() {
  return Malformed("a field is cut short or is not well-formed");
}

absl::Status SkipUnknown(PieceReader& reader, WireType type) {
  if (type == WireType::kStartGroup || type == WireType::kEndGroup) {
    return Malformed("groups are not accepted");
  }
  return reader.SkipValue(type) ? absl::OkStatus() : CutShort();
}

absl::Status CheckType(WireType type, WireType expected) {
  return type == expected ? absl::OkStatus()
                          : Malformed("a field has the wrong wire type");
}

absl::Status ParseOffset(PieceReader& reader, ChunkView& chunk) {
  std::uint64_t value = 0;
  if (!reader.ReadVarint(value)) return CutShort();
  chunk.offset = static_cast<std::int64_t>(value);
  return absl::OkStatus();
}

absl::Status ParseCrc32c(PieceReader& reader, ChunkView& chunk) {
  std::uint32_t value = 0;
  if (!reader.ReadFixed32(value)) return CutShort();
  chunk.crc32c = value;
  return absl::OkStatus();
}

absl::Status ParseData(PieceReader& reader, ChunkView& chunk) {
  std::size_t length = 0;
  if (!reader.ReadLength(length)) return CutShort();
  chunk.data.clear();
  chunk.data_bytes = length;
  reader.Take(length, chunk.data);
  return absl::OkStatus();
}

absl::Status ParseChunkField(PieceReader& reader, ChunkView& chunk) {
  std::uint32_t number = 0;
  WireType type{};
  if (!reader.ReadTag(number, type)) return CutShort();
  absl::Status status;
  switch (number) {
    case kOffset:
      status = CheckType(type, WireType::kVarint);
      return status.ok() ? ParseOffset(reader, chunk) : status;
    case kCrc32c:
      status = CheckType(type, WireType::kFixed32);
      return status.ok() ? ParseCrc32c(reader, chunk) : status;
    case kData:
      status = CheckType(type, WireType::kLength);
      return status.ok() ? ParseData(reader, chunk) : status;
    default:
      return SkipUnknown(reader, type);
  }
}

// Merges the chunk that follows into what was read of one before.
absl::Status ParseChunk(PieceReader& reader, ChunkView& chunk) {
  std::size_t length = 0;
  if (!reader.ReadLength(length)) return CutShort();
  const std::size_t outer = reader.PushLimit(length);
  while (reader.remaining() > 0) {
    if (absl::Status status = ParseChunkField(reader, chunk); !status.ok()) {
      return status;
    }
  }
  reader.PopLimit(outer);
  return absl::OkStatus();
}

absl::Status ParseDeclaration(PieceReader& reader,
                              google::protobuf::MessageLite& declaration) {
  std::size_t length = 0;
  if (!reader.ReadLength(length)) return CutShort();
  std::string bytes;
  bytes.reserve(length);
  reader.Copy(length, bytes);
  return declaration.MergeFromString(bytes)
             ? absl::OkStatus()
             : Malformed("the declaration can not be parsed");
}

// Keeps the memory of `data` from message to message.
void ResetChunk(ChunkView& chunk) {
  chunk.offset = 0;
  chunk.crc32c.reset();
  chunk.data.clear();
  chunk.data_bytes = 0;
}

// What `envelope` and `declaration` hold when a member of the oneof begins.
void BeginPayload(Envelope::Payload payload,
                  google::protobuf::MessageLite& declaration,
                  Envelope& envelope) {
  if (envelope.payload == payload) return;
  declaration.Clear();
  ResetChunk(envelope.chunk);
  envelope.payload = payload;
}

absl::Status ParseField(PieceReader& reader,
                        google::protobuf::MessageLite& declaration,
                        Envelope& envelope) {
  std::uint32_t number = 0;
  WireType type{};
  if (!reader.ReadTag(number, type)) return CutShort();
  absl::Status status;
  switch (number) {
    case kDeclaration:
      status = CheckType(type, WireType::kLength);
      if (!status.ok()) return status;
      BeginPayload(Envelope::Payload::kDeclaration, declaration, envelope);
      return ParseDeclaration(reader, declaration);
    case kChunk:
      status = CheckType(type, WireType::kLength);
      if (!status.ok()) return status;
      BeginPayload(Envelope::Payload::kChunk, declaration, envelope);
      return ParseChunk(reader, envelope.chunk);
    case kFinish: {
      status = CheckType(type, WireType::kVarint);
      if (!status.ok()) return status;
      std::uint64_t value = 0;
      if (!reader.ReadVarint(value)) return CutShort();
      envelope.finish = value != 0;
      return absl::OkStatus();
    }
    default:
      return SkipUnknown(reader, type);
  }
}

void AppendVarint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

void AppendFixed32(std::uint32_t value, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
}

void AppendTag(std::uint32_t number, WireType type, std::string& out) {
  AppendVarint(number << 3 | static_cast<std::uint32_t>(type), out);
}

}  // namespace

absl::Status ParseEnvelope(absl::Span<const std::string_view> pieces,
                           google::protobuf::MessageLite& declaration,
                           Envelope& envelope) {
  declaration.Clear();
  envelope.payload = Envelope::Payload::kNone;
  envelope.finish = false;
  ResetChunk(envelope.chunk);
  PieceReader reader(pieces);
  while (reader.remaining() > 0) {
    absl::Status status = ParseField(reader, declaration, envelope);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string ChunkPrefix(std::int64_t offset,
                        std::optional<std::uint32_t> crc32c,
                        std::size_t data_bytes) {
  std::string fields;
  if (offset != 0) {
    AppendTag(kOffset, WireType::kVarint, fields);
    AppendVarint(static_cast<std::uint64_t>(offset), fields);
  }
  if (crc32c.has_value()) {
    AppendTag(kCrc32c, WireType::kFixed32, fields);
    AppendFixed32(*crc32c, fields);
  }
  AppendTag(kData, WireType::kLength, fields);
  AppendVarint(data_bytes, fields);
  std::string prefix;
  AppendTag(kResponseChunk, WireType::kLength, prefix);
  AppendVarint(fields.size() + data_bytes, prefix);
  return prefix + fields;
}

}  // namespace tensord
