#include "server/wire/envelope.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;

using Random = std::mt19937_64;

std::size_t Below(Random& random, std::size_t bound) {
  return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

// A varint, now and then longer than it needs to be.
std::string Varint(std::uint64_t value, Random& random) {
  std::string out;
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
  if (Below(random, 8) == 0) {
    for (std::size_t padding = Below(random, 9); padding > 0; --padding) {
      out.back() = static_cast<char>(out.back() | 0x80);
      out.push_back('\0');
    }
  }
  return out;
}

std::string Tag(std::uint32_t number, int type, Random& random) {
  return Varint(number << 3 | static_cast<std::uint32_t>(type), random);
}

std::string Length(std::string_view bytes, Random& random) {
  std::string out = Varint(bytes.size(), random);
  return out.append(bytes);
}

std::uint64_t Number(Random& random) { return random() >> Below(random, 64); }

std::string Text(Random& random, std::size_t most) {
  std::string text(Below(random, most + 1), '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string Unknown(Random& random) {
  const auto number = static_cast<std::uint32_t>(4 + Below(random, 1 << 20));
  switch (Below(random, 6)) {
    case 0:
      return Tag(number, 0, random) + Varint(Number(random), random);
    case 1:
      return Tag(number, 1, random) + "12345678";
    case 2:
      return Tag(number, 5, random) + "1234";
    case 3:
      return Tag(number, 2, random) + Length(Text(random, 20), random);
    case 4:
      return Tag(number, static_cast<int>(Below(random, 8)), random);
    default:
      return Tag(number, 3, random) + Tag(number, 4, random);
  }
}

std::string Declaration(Random& random) {
  v1::UploadDeclaration declaration;
  if (Below(random, 2)) declaration.set_tensor_id("id");
  if (Below(random, 2)) {
    v1::ArrayDeclaration& array = *declaration.mutable_array();
    array.set_total_bytes(static_cast<std::int64_t>(Number(random)));
    if (Below(random, 2)) {
      array.mutable_raw()->add_shape(static_cast<std::int64_t>(random()));
    } else {
      array.mutable_npy();
    }
  }
  std::string bytes = declaration.SerializeAsString();
  if (Below(random, 10) == 0) bytes.resize(Below(random, bytes.size() + 1));
  return bytes;
}

std::string ChunkField(Random& random) {
  switch (Below(random, 8)) {
    case 0:
    case 1:
    case 2:
      return Tag(1, 0, random) + Varint(Number(random), random);
    case 3:
      return Tag(2, 5, random) + "abcd";
    case 4:
    case 5:
      return Tag(3, 2, random) + Length(Text(random, 40), random);
    case 6:
      return Unknown(random);
    default:
      return Tag(static_cast<std::uint32_t>(1 + Below(random, 3)),
                 static_cast<int>(Below(random, 6)), random) +
             Text(random, 8);
  }
}

std::string Fields(Random& random, std::string (*field)(Random&),
                   std::size_t most) {
  std::string out;
  for (std::size_t i = Below(random, most + 1); i > 0; --i) {
    out += field(random);
  }
  return out;
}

std::string Field(Random& random) {
  switch (Below(random, 10)) {
    case 0:
    case 1:
      return Tag(1, 2, random) + Length(Declaration(random), random);
    case 2:
    case 3:
    case 4:
    case 5:
      return Tag(2, 2, random) + Length(Fields(random, ChunkField, 4), random);
    case 6:
    case 7:
      return Tag(3, 0, random) + Varint(Number(random), random);
    case 8:
      return Unknown(random);
    default:
      return Tag(static_cast<std::uint32_t>(Below(random, 4)),
                 static_cast<int>(Below(random, 8)), random) +
             Text(random, 8);
  }
}

std::string RandomMessage(Random& random) {
  std::string message = Fields(random, Field, 5);
  if (!message.empty() && Below(random, 3) == 0) {
    message[Below(random, message.size())] = static_cast<char>(random());
  }
  if (Below(random, 10) == 0) message.resize(Below(random, message.size() + 1));
  return message;
}

std::vector<std::string_view> Split(std::string_view bytes, Random& random) {
  std::vector<std::string_view> pieces;
  const std::size_t most = 1 + Below(random, 20);
  while (!bytes.empty()) {
    pieces.push_back(bytes.substr(0, Below(random, most + 1)));
    bytes.remove_prefix(pieces.back().size());
  }
  return pieces;
}

std::string Join(const std::vector<std::string_view>& pieces) {
  std::string joined;
  for (const std::string_view piece : pieces) joined.append(piece);
  return joined;
}

// The message that was read, as protobuf holds it.
v1::UploadTensorRequest Rebuild(const Envelope& envelope,
                                const v1::UploadDeclaration& declaration) {
  v1::UploadTensorRequest request;
  request.set_finish(envelope.finish);
  if (envelope.payload == Envelope::Payload::kDeclaration) {
    *request.mutable_declaration() = declaration;
  }
  if (envelope.payload != Envelope::Payload::kChunk) return request;
  v1::Chunk& chunk = *request.mutable_chunk();
  chunk.set_offset(envelope.chunk.offset);
  if (envelope.chunk.crc32c.has_value()) {
    chunk.set_crc32c(*envelope.chunk.crc32c);
  }
  chunk.set_data(Join(envelope.chunk.data));
  EXPECT_EQ(chunk.data().size(), envelope.chunk.data_bytes);
  return request;
}

v1::UploadTensorRequest WithoutUnknownFields(v1::UploadTensorRequest request) {
  const v1::UploadDeclaration declaration = request.declaration();
  const bool declares = request.has_declaration();
  request.DiscardUnknownFields();
  // The declaration goes through protobuf, unknown fields and all.
  if (declares) *request.mutable_declaration() = declaration;
  return request;
}

absl::Status Parse(std::string_view bytes, Envelope& envelope,
                   v1::UploadDeclaration& declaration) {
  const std::vector<std::string_view> pieces{bytes};
  return ParseEnvelope(pieces, declaration, envelope);
}

TEST(EnvelopeTest, ReadsWhatProtobufReads) {
  google::protobuf::SetLogHandler(nullptr);
  Random random(1);
  Envelope envelope;
  v1::UploadDeclaration declaration;
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 30000; ++i) {
    const std::string bytes = RandomMessage(random);
    v1::UploadTensorRequest expected;
    const bool ok = expected.ParseFromString(bytes);
    const absl::Status status =
        ParseEnvelope(Split(bytes, random), declaration, envelope);
    if (status.ok()) {
      ++accepted;
      ASSERT_TRUE(ok) << testing::PrintToString(bytes);
      ASSERT_EQ(Rebuild(envelope, declaration).SerializeAsString(),
                WithoutUnknownFields(expected).SerializeAsString())
          << testing::PrintToString(bytes);
      continue;
    }
    ++refused;
    EXPECT_EQ(GetErrorReason(status), reason::kMessageMalformed);
    const bool stricter =
        status.message().find("groups") != std::string_view::npos ||
        status.message().find("wire type") != std::string_view::npos;
    ASSERT_TRUE(stricter || !ok) << status << testing::PrintToString(bytes);
  }
  EXPECT_GT(accepted, 5000);
  EXPECT_GT(refused, 5000);
}

TEST(EnvelopeTest, LeavesDataInPlace) {
  v1::UploadTensorRequest request;
  request.mutable_chunk()->set_data(std::string(1000, 'd'));
  const std::string bytes = request.SerializeAsString();
  Envelope envelope;
  v1::UploadDeclaration declaration;
  ASSERT_TRUE(Parse(bytes, envelope, declaration).ok());
  ASSERT_EQ(envelope.chunk.data.size(), 1U);
  EXPECT_EQ(envelope.chunk.data[0].data(), bytes.data() + bytes.size() - 1000);
}

TEST(EnvelopeTest, RefusesGroupsAndWrongWireTypes) {
  Envelope envelope;
  v1::UploadDeclaration declaration;
  // Field 9 as a group, and `finish` as a fixed32.
  EXPECT_THAT(std::string(Parse("\x4b\x4c", envelope, declaration).message()),
              HasSubstr("groups"));
  EXPECT_THAT(std::string(Parse("\x1d"
                                "1234",
                                envelope, declaration)
                              .message()),
              HasSubstr("wire type"));
}

TEST(EnvelopeTest, KeepsNothingOfTheMessageBefore) {
  v1::UploadTensorRequest request;
  request.mutable_chunk()->set_offset(5);
  request.mutable_chunk()->set_crc32c(6);
  request.mutable_chunk()->set_data("data");
  request.set_finish(true);
  Envelope envelope;
  v1::UploadDeclaration declaration;
  ASSERT_TRUE(Parse(request.SerializeAsString(), envelope, declaration).ok());
  ASSERT_TRUE(Parse("", envelope, declaration).ok());
  EXPECT_EQ(envelope.payload, Envelope::Payload::kNone);
  EXPECT_FALSE(envelope.finish);
  EXPECT_EQ(envelope.chunk.offset, 0);
  EXPECT_FALSE(envelope.chunk.crc32c.has_value());
  EXPECT_TRUE(envelope.chunk.data.empty());
}

TEST(EnvelopeTest, ServesBothRequests) {
  v1::ConvertArrayRequest request;
  request.mutable_declaration()->set_dtype(v1::DTYPE_INT8);
  request.set_finish(true);
  const std::string bytes = request.SerializeAsString();
  const std::vector<std::string_view> pieces{bytes};
  Envelope envelope;
  v1::ConvertDeclaration declaration;
  ASSERT_TRUE(ParseEnvelope(pieces, declaration, envelope).ok());
  EXPECT_EQ(declaration.dtype(), v1::DTYPE_INT8);
  EXPECT_TRUE(envelope.finish);
}

}  // namespace
}  // namespace tensord
