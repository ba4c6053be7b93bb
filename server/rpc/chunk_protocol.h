// The order of messages in streams that carry an array to the server.
#ifndef TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_
#define TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/crc32c.h"
#include "server/wire/envelope.h"

namespace tensord {

// Most chunks without data that are taken in a second: they keep a stream
// alive, and cost as much as others.
inline constexpr int kMaxEmptyChunksPerSecond = 1000;

// Checks one stream: [declaration] [chunk]* [finish]. Knows nothing of what is
// declared but its size. Not thread-safe. After an error the stream is over.
class ChunkProtocol {
 public:
  using Clock = std::function<absl::Time()>;

  explicit ChunkProtocol(std::int64_t max_chunk_bytes, Clock clock = absl::Now)
      : max_chunk_bytes_(max_chunk_bytes), clock_(std::move(clock)) {}

  // Whether such a message may come now. INVALID_ARGUMENT: DATA_AFTER_FINISH,
  // HEADER_MISSING, HEADER_REPEATED, MESSAGE_EMPTY.
  absl::Status CheckOrder(const Envelope& envelope);

  // What the declaration, which CheckOrder let pass, says. REQUIRES:
  // total_bytes >= received_bytes >= 0, which an earlier stream brought.
  void Declare(std::int64_t total_bytes, std::int64_t received_bytes = 0) {
    total_bytes_ = total_bytes;
    received_bytes_ = received_bytes;
  }

  // The next chunk, but for its checksum. INVALID_ARGUMENT: CHUNK_TOO_LARGE,
  // OFFSET_INVALID; OUT_OF_RANGE: OFFSET_MISMATCH with the metadata
  // `committedBytes`, UPLOAD_OVERRUN; RESOURCE_EXHAUSTED: CHUNK_RATE.
  absl::Status CheckChunk(const ChunkView& chunk);

  // Calls take(piece) for the data of a chunk that CheckChunk let pass, until
  // it returns an error. Each piece is read for the checksum, if the chunk has
  // one, right before it is taken: then it is in the cache once.
  // INVALID_ARGUMENT (CHECKSUM_MISMATCH), whatever `take` returned; else its
  // error.
  template <class Take>
  static absl::Status TakeData(const ChunkView& chunk, Take take);

  // After the message with `finish`. INVALID_ARGUMENT (UPLOAD_INCOMPLETE).
  absl::Status CheckFinish();

  // The client sends no more. INVALID_ARGUMENT: HEADER_MISSING,
  // UPLOAD_INCOMPLETE (it never said finish).
  absl::Status CheckEnd() const;

  std::int64_t received_bytes() const { return received_bytes_; }

 private:
  absl::Status CheckOffset(const ChunkView& chunk) const;
  static absl::Status ChecksumMismatch(const ChunkView& chunk,
                                       std::uint32_t crc32c);
  absl::Status CheckRate();

  std::int64_t max_chunk_bytes_;
  Clock clock_;
  bool declared_ = false;
  bool finished_ = false;
  std::int64_t total_bytes_ = 0;
  std::int64_t received_bytes_ = 0;
  // Chunks without data in the second that began then.
  absl::Time second_start_ = absl::InfinitePast();
  int empty_chunks_ = 0;
};

template <class Take>
absl::Status ChunkProtocol::TakeData(const ChunkView& chunk, Take take) {
  absl::Status status;
  std::uint32_t crc32c = 0;
  for (const std::string_view piece : chunk.data) {
    if (chunk.crc32c.has_value()) crc32c = ExtendCrc32c(crc32c, piece);
    if (status.ok()) status = take(piece);
  }
  return chunk.crc32c.value_or(crc32c) == crc32c
             ? status
             : ChecksumMismatch(chunk, crc32c);
}

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_
