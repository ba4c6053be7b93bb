// The messages of the three streams of the API, read and written around their
// payload, which stays where it is.
//
// UploadTensorRequest and ConvertArrayRequest have the same fields under the
// same numbers, and so have DownloadTensorResponse and ConvertArrayResponse;
// static assertions hold that. What is small (declarations, headers) goes
// through protobuf.
#ifndef TENSORD_SERVER_WIRE_ENVELOPE_H_
#define TENSORD_SERVER_WIRE_ENVELOPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "google/protobuf/message_lite.h"

namespace tensord {

// A Chunk whose data is still in the pieces of the message.
struct ChunkView {
  std::int64_t offset = 0;
  std::optional<std::uint32_t> crc32c;
  std::vector<std::string_view> data;
  // Bytes in `data`.
  std::size_t data_bytes = 0;
};

// A request of a stream but for its declaration, which ParseEnvelope puts
// elsewhere.
struct Envelope {
  enum class Payload : std::uint8_t { kNone, kDeclaration, kChunk };
  Payload payload = Payload::kNone;
  // Empty unless `payload` is kChunk.
  ChunkView chunk;
  bool finish = false;
};

// Reads an UploadTensorRequest or a ConvertArrayRequest from `pieces`, with the
// same result as protobuf's parser: fields in any order, unknown ones skipped,
// of repeated scalars the last wins, a repeated submessage is merged, another
// member of the oneof drops the one before. `declaration` and `envelope` are
// overwritten; envelope.chunk.data points into `pieces`.
//
// INVALID_ARGUMENT (MESSAGE_MALFORMED) for what protobuf refuses, and besides
// for groups and for known fields of a wrong wire type, which protobuf would
// take for unknown ones; no writer makes them.
absl::Status ParseEnvelope(absl::Span<const std::string_view> pieces,
                           google::protobuf::MessageLite& declaration,
                           Envelope& envelope);

// The bytes in front of the data of a DownloadTensorResponse or a
// ConvertArrayResponse that holds a chunk of `data_bytes` bytes at `offset`,
// with the checksum if there is one; the data follow and end the message.
// REQUIRES: offset >= 0.
std::string ChunkPrefix(std::int64_t offset,
                        std::optional<std::uint32_t> crc32c,
                        std::size_t data_bytes);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_ENVELOPE_H_
