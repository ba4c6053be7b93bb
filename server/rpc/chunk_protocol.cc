#include "server/rpc/chunk_protocol.h"

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

absl::Status HeaderMissing() {
  return InvalidArgument(reason::kHeaderMissing,
                         "the first message has to be a declaration",
                         "declaration");
}

absl::Status Incomplete(std::int64_t received_bytes, std::int64_t total_bytes,
                        std::string_view what) {
  return InvalidArgument(
      reason::kUploadIncomplete,
      absl::StrCat(std::string(what), " after ", received_bytes, " of ",
                   total_bytes, " bytes"));
}

}  // namespace

absl::Status ChunkProtocol::CheckOrder(const Envelope& envelope) {
  const bool declares = envelope.payload == Envelope::Payload::kDeclaration;
  if (finished_) {
    return InvalidArgument(reason::kDataAfterFinish,
                           "a message came after the one with finish");
  }
  if (!declared_ && !declares) return HeaderMissing();
  if (declared_ && declares) {
    return InvalidArgument(reason::kHeaderRepeated,
                           "only the first message may be a declaration",
                           "declaration");
  }
  if (envelope.payload == Envelope::Payload::kNone && !envelope.finish) {
    return InvalidArgument(
        reason::kMessageEmpty,
        "a message has neither a declaration, nor a chunk, nor finish",
        "payload");
  }
  declared_ = true;
  return absl::OkStatus();
}

absl::Status ChunkProtocol::CheckOffset(const ChunkView& chunk) const {
  const auto size = static_cast<std::int64_t>(chunk.data_bytes);
  std::int64_t end = 0;
  if (chunk.offset < 0 || __builtin_add_overflow(chunk.offset, size, &end)) {
    return InvalidArgument(
        reason::kOffsetInvalid,
        absl::StrCat("a chunk of ", size, " bytes can not be at the offset ",
                     chunk.offset),
        "chunk.offset");
  }
  if (chunk.offset != received_bytes_) {
    absl::Status status = MakeError(
        absl::StatusCode::kOutOfRange, reason::kOffsetMismatch,
        absl::StrCat("a chunk is at the offset ", chunk.offset, "; after ",
                     received_bytes_, " bytes it has to be there"));
    AddErrorMetadata(status, "committedBytes", absl::StrCat(received_bytes_));
    return status;
  }
  if (end > total_bytes_) {
    return MakeError(absl::StatusCode::kOutOfRange, reason::kUploadOverrun,
                     absl::StrCat("a chunk ends at byte ", end, " of ",
                                  total_bytes_, " that were declared"));
  }
  return absl::OkStatus();
}

absl::Status ChunkProtocol::CheckRate() {
  const absl::Time now = clock_();
  if (now - second_start_ >= absl::Seconds(1) || now < second_start_) {
    second_start_ = now;
    empty_chunks_ = 0;
  }
  if (++empty_chunks_ <= kMaxEmptyChunksPerSecond) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kChunkRate,
                   absl::StrCat("more than ", kMaxEmptyChunksPerSecond,
                                " empty chunks in a second"));
}

absl::Status ChunkProtocol::CheckChunk(const ChunkView& chunk) {
  if (chunk.data_bytes > static_cast<std::size_t>(max_chunk_bytes_)) {
    return InvalidArgument(
        reason::kChunkTooLarge,
        absl::StrCat("a chunk has ", chunk.data_bytes, " bytes, at most ",
                     max_chunk_bytes_, " are accepted"),
        "chunk.data");
  }
  if (absl::Status status = CheckOffset(chunk); !status.ok()) return status;
  if (chunk.data_bytes == 0) return CheckRate();
  received_bytes_ += static_cast<std::int64_t>(chunk.data_bytes);
  return absl::OkStatus();
}

absl::Status ChunkProtocol::ChecksumMismatch(const ChunkView& chunk,
                                             std::uint32_t crc32c) {
  return InvalidArgument(
      reason::kChecksumMismatch,
      absl::StrCat("the chunk at ", chunk.offset, " has the checksum ",
                   absl::Hex(*chunk.crc32c, absl::kZeroPad8),
                   ", its data have ", absl::Hex(crc32c, absl::kZeroPad8)),
      "chunk.crc32c");
}

absl::Status ChunkProtocol::CheckFinish() {
  finished_ = true;
  return received_bytes_ == total_bytes_
             ? absl::OkStatus()
             : Incomplete(received_bytes_, total_bytes_, "finish came");
}

absl::Status ChunkProtocol::CheckEnd() const {
  if (!declared_) return HeaderMissing();
  return finished_ ? absl::OkStatus()
                   : Incomplete(received_bytes_, total_bytes_,
                                "the stream ended without finish");
}

}  // namespace tensord
