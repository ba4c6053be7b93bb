#include "server/rpc/chunk_protocol.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/error.h"

namespace tensord {
namespace {

using Payload = Envelope::Payload;

Envelope Message(Payload payload, bool finish = false) {
  Envelope envelope;
  envelope.payload = payload;
  envelope.finish = finish;
  return envelope;
}

ChunkView Chunk(std::int64_t offset, std::string_view data) {
  ChunkView chunk;
  chunk.offset = offset;
  chunk.data = {data};
  chunk.data_bytes = data.size();
  return chunk;
}

class ChunkProtocolTest : public testing::Test {
 protected:
  // A stream of `total_bytes` after its declaration.
  void Declare(std::int64_t total_bytes) {
    ASSERT_TRUE(protocol_.CheckOrder(Message(Payload::kDeclaration)).ok());
    protocol_.Declare(total_bytes);
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  ChunkProtocol protocol_{16, [this] { return now_; }};
};

TEST_F(ChunkProtocolTest, TakesAStream) {
  Declare(5);
  EXPECT_TRUE(protocol_.CheckOrder(Message(Payload::kChunk)).ok());
  EXPECT_TRUE(protocol_.CheckChunk(Chunk(0, "abc")).ok());
  EXPECT_TRUE(protocol_.CheckOrder(Message(Payload::kChunk, true)).ok());
  EXPECT_TRUE(protocol_.CheckChunk(Chunk(3, "de")).ok());
  EXPECT_TRUE(protocol_.CheckFinish().ok());
  EXPECT_TRUE(protocol_.CheckEnd().ok());
  EXPECT_EQ(protocol_.received_bytes(), 5);
}

TEST_F(ChunkProtocolTest, RefusesMessagesOutOfOrder) {
  for (const Envelope& first :
       {Message(Payload::kChunk), Message(Payload::kNone, true),
        Message(Payload::kNone)}) {
    EXPECT_EQ(GetErrorReason(protocol_.CheckOrder(first)),
              reason::kHeaderMissing);
  }
  EXPECT_EQ(GetErrorReason(protocol_.CheckEnd()), reason::kHeaderMissing);
  Declare(1);
  EXPECT_EQ(
      GetErrorReason(protocol_.CheckOrder(Message(Payload::kDeclaration))),
      reason::kHeaderRepeated);
  EXPECT_EQ(GetErrorReason(protocol_.CheckOrder(Message(Payload::kNone))),
            reason::kMessageEmpty);
  EXPECT_EQ(GetErrorReason(protocol_.CheckEnd()), reason::kUploadIncomplete);
  EXPECT_EQ(GetErrorReason(protocol_.CheckFinish()), reason::kUploadIncomplete);
  EXPECT_EQ(GetErrorReason(protocol_.CheckOrder(Message(Payload::kChunk))),
            reason::kDataAfterFinish);
}

TEST_F(ChunkProtocolTest, RefusesBadOffsets) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  Declare(10);
  ASSERT_TRUE(protocol_.CheckChunk(Chunk(0, "abcd")).ok());
  for (const std::int64_t offset : {std::int64_t{-1}, kMost, -kMost - 1}) {
    EXPECT_EQ(GetErrorReason(protocol_.CheckChunk(Chunk(offset, "x"))),
              reason::kOffsetInvalid);
  }
  for (const std::int64_t offset : {0, 3, 5, 10, 11}) {
    const absl::Status status = protocol_.CheckChunk(Chunk(offset, "x"));
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(GetErrorReason(status), reason::kOffsetMismatch);
    EXPECT_EQ(GetErrorDetails(status).metadata.at("committedBytes"), "4");
  }
  const absl::Status status = protocol_.CheckChunk(Chunk(4, "1234567"));
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(GetErrorReason(status), reason::kUploadOverrun);
  EXPECT_TRUE(protocol_.CheckChunk(Chunk(4, "123456")).ok());
}

TEST_F(ChunkProtocolTest, BoundsChunks) {
  Declare(100);
  const std::string data(17, 'x');
  EXPECT_EQ(GetErrorReason(protocol_.CheckChunk(Chunk(0, data))),
            reason::kChunkTooLarge);
  EXPECT_TRUE(protocol_.CheckChunk(Chunk(0, data.substr(1))).ok());
}

TEST(TakeDataTest, ChecksSums) {
  std::string taken;
  const auto take = [&](std::string_view piece) {
    taken.append(piece);
    return absl::OkStatus();
  };
  ChunkView chunk = Chunk(0, "123456789");
  chunk.data = {"1234", "", "56789"};
  EXPECT_TRUE(ChunkProtocol::TakeData(chunk, take).ok());
  chunk.crc32c = 0xe3069283;
  EXPECT_TRUE(ChunkProtocol::TakeData(chunk, take).ok());
  EXPECT_EQ(taken, "123456789123456789");
  chunk.crc32c = 0;
  EXPECT_EQ(GetErrorReason(ChunkProtocol::TakeData(chunk, take)),
            reason::kChecksumMismatch);
  // A sum of 0 that is right is not taken for an absent one.
  ChunkView empty = Chunk(9, "");
  empty.crc32c = 1;
  EXPECT_EQ(GetErrorReason(ChunkProtocol::TakeData(empty, take)),
            reason::kChecksumMismatch);
}

TEST(TakeDataTest, BlamesTheWayForWhatDamagedDataMayCause) {
  int pieces = 0;
  const auto refuse = [&](std::string_view) {
    ++pieces;
    return absl::UnimplementedError("");
  };
  ChunkView chunk = Chunk(0, "123456789");
  chunk.data = {"1234", "56789"};
  chunk.crc32c = 0xe3069283;
  EXPECT_TRUE(absl::IsUnimplemented(ChunkProtocol::TakeData(chunk, refuse)));
  EXPECT_EQ(pieces, 1);
  chunk.crc32c = 1;
  EXPECT_EQ(GetErrorReason(ChunkProtocol::TakeData(chunk, refuse)),
            reason::kChecksumMismatch);
}

TEST_F(ChunkProtocolTest, BoundsEmptyChunksPerSecond) {
  Declare(1);
  for (int second = 0; second < 3; ++second) {
    for (int i = 0; i < kMaxEmptyChunksPerSecond; ++i) {
      ASSERT_TRUE(protocol_.CheckChunk(Chunk(0, "")).ok());
    }
    now_ += absl::Seconds(1);
  }
  for (int i = 0; i < kMaxEmptyChunksPerSecond; ++i) {
    ASSERT_TRUE(protocol_.CheckChunk(Chunk(0, "")).ok());
  }
  now_ += absl::Milliseconds(999);
  const absl::Status status = protocol_.CheckChunk(Chunk(0, ""));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(status), reason::kChunkRate);
}

}  // namespace
}  // namespace tensord
