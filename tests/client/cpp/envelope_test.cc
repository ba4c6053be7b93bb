#include "client/cpp/src/envelope.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "tensord/v1/tensord.pb.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord::client {
namespace {

std::string Join(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  return SliceCursor(slices).TakeString();
}

std::string RandomText(Random& random, std::int64_t max_bytes) {
  const Bytes bytes = RandomBytes(
      random, static_cast<std::size_t>(Between(random, 0, max_bytes)));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Cuts a message into slices at random, empty ones included.
std::vector<grpc::Slice> Cut(Random& random, const std::string& message) {
  std::vector<grpc::Slice> slices;
  std::size_t done = 0;
  while (done < message.size()) {
    const auto left = static_cast<std::int64_t>(message.size() - done);
    const auto size = static_cast<std::size_t>(
        Between(random, 0, std::min<std::int64_t>(left, 7)));
    slices.emplace_back(message.data() + done, size);
    done += size;
  }
  return slices;
}

v1::DownloadTensorResponse RandomResponse(Random& random) {
  v1::DownloadTensorResponse response;
  if (Between(random, 0, 3) == 0) {
    response.mutable_header()->set_total_bytes(Between(random, 0, 1000));
    response.mutable_header()->mutable_spec()->add_shape(4);
  } else {
    v1::Chunk* chunk = response.mutable_chunk();
    if (Between(random, 0, 3) > 0) {
      chunk->set_offset(static_cast<std::int64_t>(random()));
    }
    if (Between(random, 0, 1) == 1) chunk->set_crc32c(7);
    chunk->set_data(RandomText(random, 300));
  }
  return response;
}

void ExpectSame(const v1::DownloadTensorResponse& response,
                const ArrayMessage& message) {
  SliceCursor bytes = message.bytes;
  if (response.has_header()) {
    EXPECT_EQ(message.kind, ArrayMessage::Kind::kHeader);
    EXPECT_EQ(bytes.TakeString(), response.header().SerializeAsString());
  } else {
    EXPECT_EQ(message.kind, ArrayMessage::Kind::kChunk);
    EXPECT_EQ(message.offset, response.chunk().offset());
    EXPECT_EQ(message.crc32c.has_value(), response.chunk().has_crc32c());
    EXPECT_EQ(message.crc32c.value_or(0), response.chunk().crc32c());
    EXPECT_EQ(bytes.TakeString(), response.chunk().data());
  }
}

// `number` and `type` as a tag; what follows is up to the caller.
std::string Tagged(int number, int type, const std::string& rest) {
  return std::string(1, static_cast<char>(number << 3 | type)) + rest;
}

std::string Sized(const std::string& bytes) {
  return std::string(1, static_cast<char>(bytes.size())) + bytes;
}

bool Parses(const std::string& message) {
  const std::vector<grpc::Slice> slices = {grpc::Slice(message)};
  return ParseArrayMessage(slices).ok();
}

TEST(EnvelopeTest, WritesChunksAsProtobufWould) {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const std::int64_t offset =
        static_cast<std::int64_t>(random() >> Between(random, 1, 63));
    const bool finish = Between(random, 0, 1) == 1;
    const std::string data = RandomText(random, 5000);
    std::optional<std::uint32_t> crc32c;
    if (Between(random, 0, 1) == 1) {
      crc32c = static_cast<std::uint32_t>(random());
    }
    v1::UploadTensorRequest request;
    ASSERT_TRUE(request.ParseFromString(
        Join(ChunkMessage(offset, crc32c, grpc::Slice(data), finish))));
    EXPECT_EQ(request.chunk().has_crc32c(), crc32c.has_value());
    EXPECT_EQ(request.chunk().crc32c(), crc32c.value_or(0));
    EXPECT_EQ(request.chunk().offset(), offset);
    EXPECT_EQ(request.chunk().data(), data);
    EXPECT_EQ(request.finish(), finish);
    v1::ConvertArrayRequest same;
    ASSERT_TRUE(same.ParseFromString(request.SerializeAsString()));
    EXPECT_EQ(same.chunk().data(), data);
  }
}

TEST(EnvelopeTest, BorrowsTheData) {
  const grpc::Slice data(std::string(1000, 'x'));
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(ChunkMessage(0, {}, data, true).Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[1].begin(), data.begin());
}

TEST(EnvelopeTest, WritesFinish) {
  v1::UploadTensorRequest request;
  ASSERT_TRUE(request.ParseFromString(Join(FinishMessage())));
  EXPECT_TRUE(request.finish());
  EXPECT_EQ(request.payload_case(), v1::UploadTensorRequest::PAYLOAD_NOT_SET);
}

TEST(EnvelopeTest, ReadsWhatProtobufWrites) {
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const v1::DownloadTensorResponse response = RandomResponse(random);
    const std::vector<grpc::Slice> slices =
        Cut(random, response.SerializeAsString());
    const absl::StatusOr<ArrayMessage> message = ParseArrayMessage(slices);
    ASSERT_TRUE(message.ok()) << message.status();
    ExpectSame(response, *message);
  }
}

TEST(EnvelopeTest, SkipsUnknownFields) {
  const std::string unknown = Tagged(9, 0, "\x05") +
                              Tagged(10, 2, Sized("ab")) +
                              Tagged(11, 5, "1234") + Tagged(12, 1, "12345678");
  const std::string chunk = unknown + Tagged(3, 2, Sized("data")) + unknown +
                            Tagged(1, 0, "\x07") + unknown;
  const std::string message = unknown + Tagged(2, 2, Sized(chunk)) + unknown;
  const std::vector<grpc::Slice> slices = {grpc::Slice(message)};
  const absl::StatusOr<ArrayMessage> parsed = ParseArrayMessage(slices);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->offset, 7);
  SliceCursor bytes = parsed->bytes;
  EXPECT_EQ(bytes.TakeString(), "data");
}

TEST(EnvelopeTest, RefusesWhatIsNotOnePayload) {
  const std::string chunk = Tagged(2, 2, Sized(Tagged(3, 2, Sized("x"))));
  const std::string header = Tagged(1, 2, Sized(""));
  EXPECT_TRUE(Parses(chunk));
  EXPECT_TRUE(Parses(header));
  EXPECT_FALSE(Parses(""));
  EXPECT_FALSE(Parses(chunk + chunk));
  EXPECT_FALSE(Parses(chunk + header));
  EXPECT_FALSE(Parses(Tagged(7, 0, "\x01")));
  EXPECT_FALSE(Parses(Tagged(
      2, 2, Sized(Tagged(3, 2, Sized("x")) + Tagged(3, 2, Sized("y"))))));
}

TEST(EnvelopeTest, RefusesWhatIsNotProtobuf) {
  EXPECT_FALSE(Parses(Tagged(2, 2, "\x05x")));                  // cut short
  EXPECT_FALSE(Parses(Tagged(2, 2, "")));                       // no length
  EXPECT_FALSE(Parses(Tagged(9, 0, std::string(11, '\xff'))));  // long varint
  EXPECT_FALSE(Parses(Tagged(9, 1, "1234567")));
  EXPECT_FALSE(Parses(Tagged(9, 5, "123")));
  EXPECT_FALSE(Parses(Tagged(9, 3, "")));  // a group
  EXPECT_FALSE(Parses(Tagged(0, 0, "\x01")));
  EXPECT_FALSE(Parses(Tagged(2, 2, std::string(9, '\xff') + '\x01')));
}

TEST(EnvelopeTest, StaysInsideBrokenMessages) {
  Random random(3);
  for (int i = 0; i < 5000; ++i) {
    std::string message = RandomResponse(random).SerializeAsString();
    for (char& c : message) {
      if (Between(random, 0, 19) == 0) c = static_cast<char>(random());
    }
    message.resize(static_cast<std::size_t>(
        Between(random, 0, static_cast<std::int64_t>(message.size()))));
    const std::vector<grpc::Slice> slices = Cut(random, message);
    absl::StatusOr<ArrayMessage> parsed = ParseArrayMessage(slices);
    if (parsed.ok()) {
      ASSERT_LE(parsed->bytes.remaining(), message.size());
      EXPECT_LE(parsed->bytes.TakeString().size(), message.size());
    } else {
      EXPECT_EQ(GetErrorReason(parsed.status()), reason::kMessageMalformed);
    }
  }
}

TEST(EnvelopeTest, ParsesWholeMessages) {
  v1::Tensor tensor;
  tensor.set_name("tensors/a");
  v1::Tensor same;
  EXPECT_TRUE(ParseMessage(SerializeMessage(tensor), &same).ok());
  EXPECT_EQ(same.name(), "tensors/a");
  const grpc::Slice broken("\xff", 1);
  EXPECT_EQ(ParseMessage(grpc::ByteBuffer(&broken, 1), &same).code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace tensord::client
