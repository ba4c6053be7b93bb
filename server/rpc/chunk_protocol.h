// The order of messages in streams that carry an array to the server.
#ifndef TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_
#define TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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
  // total_bytes >= 0.
  void Declare(std::int64_t total_bytes) { total_bytes_ = total_bytes; }

  // The next chunk. INVALID_ARGUMENT: CHUNK_TOO_LARGE, OFFSET_INVALID,
  // CHECKSUM_MISMATCH; OUT_OF_RANGE: OFFSET_MISMATCH with the metadata
  // `committedBytes`, UPLOAD_OVERRUN; RESOURCE_EXHAUSTED: CHUNK_RATE.
  absl::Status CheckChunk(const ChunkView& chunk);

  // After the message with `finish`. INVALID_ARGUMENT (UPLOAD_INCOMPLETE).
  absl::Status CheckFinish();

  // The client sends no more. INVALID_ARGUMENT: HEADER_MISSING,
  // UPLOAD_INCOMPLETE (it never said finish).
  absl::Status CheckEnd() const;

  std::int64_t received_bytes() const { return received_bytes_; }

 private:
  absl::Status CheckOffset(const ChunkView& chunk) const;
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

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_CHUNK_PROTOCOL_H_
