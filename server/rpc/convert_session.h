// One ConvertArray, without the stream.
#ifndef TENSORD_SERVER_RPC_CONVERT_SESSION_H_
#define TENSORD_SERVER_RPC_CONVERT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/cast/cast_stream.h"
#include "server/rpc/array_source.h"
#include "server/rpc/chunk_protocol.h"
#include "server/rpc/service_context.h"
#include "server/wire/envelope.h"
#include "server/wire/proto_convert.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Bytes of the encoded result.
struct ConvertedChunk {
  std::int64_t offset = 0;
  std::size_t size_bytes = 0;
  std::optional<std::uint32_t> crc32c;
  std::shared_ptr<std::byte> data;
};

// What is sent next; monostate: nothing until there is more input.
using ConvertOutput =
    std::variant<std::monostate, v1::ArrayHeader, ConvertedChunk>;

// Takes the messages of the client and gives those for it, a block at a time:
// after each Take, Next is called until it has nothing more. Holds one block
// at most. After an error the session is good for nothing but being dropped.
// Not thread-safe.
class ConvertSession {
 public:
  // `context`, whose chunk_arena the data of results come from, has to outlive
  // the session.
  explicit ConvertSession(const ServiceContext& context,
                          ChunkProtocol::Clock clock = absl::Now);

  // The next message. What `envelope` refers to has to live until Next has
  // nothing more. Errors of ChunkProtocol, of ArraySource, those of the fields
  // of the declaration; ORDER_INVALID: a .npy can not say the order.
  absl::Status Take(const Envelope& envelope,
                    const v1::ConvertDeclaration& declaration);

  // RESOURCE_EXHAUSTED: no memory for a block.
  absl::StatusOr<ConvertOutput> Next();

  // The client sends no more: the verdict on the whole. OUT_OF_RANGE
  // (CAST_VALUE_OUT_OF_RANGE), INVALID_ARGUMENT (HEADER_MISSING,
  // UPLOAD_INCOMPLETE).
  absl::Status End();

 private:
  absl::Status Declare(const v1::ConvertDeclaration& declaration);
  absl::Status TakeChunk(const ChunkView& chunk);
  // Sets up the cast and the header once the format of the source is known.
  absl::Status Prepare();
  absl::Status Finish();
  // Bytes that the input which is not converted yet will make.
  std::size_t PendingOutputBytes() const;
  // Moves as much input as there is, and as fits, into `block`.
  std::size_t Fill(std::byte* block, std::size_t room);
  ConvertedChunk Chunk(std::shared_ptr<std::byte> data, std::size_t size_bytes);

  const ServiceContext& context_;
  std::size_t block_bytes_;
  ChunkProtocol protocol_;
  // What the declaration asks for.
  Overflow overflow_ = Overflow::kTorch;
  ByteOrder byte_order_ = ByteOrder::kLittle;
  Encoding encoding_ = Encoding::kRaw;
  bool send_checksums_ = false;
  std::optional<ArraySource> source_;
  // Set once the format is known.
  std::optional<CastStream> stream_;
  // To be sent before anything else.
  std::optional<v1::ArrayHeader> header_;
  // Of the .npy file that is sent; to be sent after header_.
  std::string prefix_;
  // Input that is not converted yet, from next_ on.
  std::vector<std::string_view> pending_;
  std::size_t next_ = 0;
  std::int64_t sent_bytes_ = 0;
  absl::Duration conversion_time_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_CONVERT_SESSION_H_
