#include "client/cpp/src/array_sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "core/error.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord::client {
namespace {

constexpr std::size_t kSize = 100;

ArrayLayout Expected() {
  return {.dtype = DType::kUInt8,
          .shape = {static_cast<std::int64_t>(kSize)},
          .byte_strides = {1},
          .size_bytes = kSize};
}

grpc::ByteBuffer Header(std::int64_t total_bytes = kSize) {
  v1::DownloadTensorResponse response;
  v1::ArrayHeader* header = response.mutable_header();
  header->mutable_spec()->set_dtype(v1::DTYPE_UINT8);
  header->mutable_spec()->add_shape(kSize);
  header->set_total_bytes(total_bytes);
  return SerializeMessage(response);
}

grpc::ByteBuffer Chunk(std::int64_t offset, const std::string& data) {
  v1::DownloadTensorResponse response;
  response.mutable_chunk()->set_offset(offset);
  response.mutable_chunk()->set_data(data);
  return SerializeMessage(response);
}

// A destination between guards that nothing may write.
class ArraySinkTest : public ::testing::Test {
 protected:
  ~ArraySinkTest() override {
    const auto intact = [](std::byte byte) { return byte == kGuard; };
    EXPECT_TRUE(std::all_of(memory_.begin(), memory_.begin() + kSize, intact));
    EXPECT_TRUE(std::all_of(memory_.end() - kSize, memory_.end(), intact));
  }

  std::string Written(std::size_t size_bytes) const {
    return std::string(reinterpret_cast<const char*>(memory_.data()) + kSize,
                       size_bytes);
  }

  static constexpr std::byte kGuard{0xa5};
  Bytes memory_ = Bytes(3 * kSize, kGuard);
  Meter meter_{nullptr, 0, kSize};
  ArraySink sink_{Expected(), {0, kSize}, memory_.data() + kSize, meter_};
};

TEST_F(ArraySinkTest, PutsChunksInTheirPlaces) {
  Random random(1);
  std::string all(kSize, '\0');
  for (char& c : all) c = static_cast<char>(random());
  ASSERT_TRUE(sink_.Take(Header()).ok());
  for (std::size_t at = 0; at < kSize;) {
    EXPECT_FALSE(sink_.CheckComplete().ok());
    const std::string data =
        all.substr(at, static_cast<std::size_t>(Between(random, 0, 9)));
    ASSERT_TRUE(sink_.Take(Chunk(static_cast<std::int64_t>(at), data)).ok());
    at += data.size();
  }
  EXPECT_TRUE(sink_.CheckComplete().ok());
  EXPECT_EQ(Written(kSize), all);
}

TEST_F(ArraySinkTest, ChecksSums) {
  ASSERT_TRUE(sink_.Take(Header()).ok());
  v1::DownloadTensorResponse response;
  response.mutable_chunk()->set_data("123456789");
  response.mutable_chunk()->set_crc32c(0xe3069283);
  const std::string message = response.SerializeAsString();
  const std::array<grpc::Slice, 2> halves = {
      grpc::Slice(message.substr(0, message.size() - 4)),
      grpc::Slice(message.substr(message.size() - 4))};
  EXPECT_TRUE(sink_.Take(grpc::ByteBuffer(halves.data(), 2)).ok());
  EXPECT_EQ(Written(9), "123456789");
  response.mutable_chunk()->set_offset(9);
  response.mutable_chunk()->set_crc32c(0);
  const absl::Status status = sink_.Take(SerializeMessage(response));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(GetErrorReason(status), reason::kChecksumMismatch);
}

TEST_F(ArraySinkTest, RefusesGapsAndOverlaps) {
  ASSERT_TRUE(sink_.Take(Header()).ok());
  ASSERT_TRUE(sink_.Take(Chunk(0, "12345")).ok());
  for (const std::int64_t offset :
       {std::int64_t{0}, std::int64_t{4}, std::int64_t{6}, std::int64_t{-5},
        std::int64_t{1} << 40, INT64_MIN, INT64_MAX}) {
    const absl::Status status = sink_.Take(Chunk(offset, "12345"));
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(GetErrorReason(status), reason::kOffsetMismatch);
  }
  EXPECT_EQ(sink_.CheckComplete().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ArraySinkTest, RefusesMoreThanAnnounced) {
  ASSERT_TRUE(sink_.Take(Header()).ok());
  EXPECT_EQ(sink_.Take(Chunk(0, std::string(kSize + 1, 'x'))).code(),
            absl::StatusCode::kDataLoss);
  ASSERT_TRUE(sink_.Take(Chunk(0, std::string(kSize, 'x'))).ok());
  EXPECT_EQ(sink_.Take(Chunk(kSize, "x")).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(sink_.Take(Chunk(kSize, "")).ok());
}

TEST_F(ArraySinkTest, TakesItsRangeAlone) {
  ArraySink sink(Expected(), {20, 50}, memory_.data() + kSize, meter_);
  ASSERT_TRUE(sink.Take(Header()).ok());
  EXPECT_EQ(GetErrorReason(sink.Take(Chunk(0, "x"))), reason::kOffsetMismatch);
  ASSERT_TRUE(sink.Take(Chunk(20, std::string(29, 'x'))).ok());
  EXPECT_FALSE(sink.CheckComplete().ok());
  EXPECT_EQ(sink.Take(Chunk(49, "xx")).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(sink.position(), 49);
  ASSERT_TRUE(sink.Take(Chunk(49, "x")).ok());
  EXPECT_TRUE(sink.CheckComplete().ok());
  const std::string guard(20, static_cast<char>(kGuard));
  EXPECT_EQ(Written(70), guard + std::string(30, 'x') + guard);
}

TEST_F(ArraySinkTest, RefusesWrongOrderOfMessages) {
  EXPECT_EQ(GetErrorReason(sink_.Take(Chunk(0, "x"))),
            reason::kMessageMalformed);
  EXPECT_EQ(sink_.CheckComplete().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(sink_.Take(Header()).ok());
  EXPECT_EQ(GetErrorReason(sink_.Take(Header())), reason::kMessageMalformed);
}

TEST_F(ArraySinkTest, RefusesOtherHeaders) {
  for (const std::int64_t total :
       {std::int64_t{0}, std::int64_t{kSize - 1}, std::int64_t{kSize + 1},
        std::int64_t{-1}, INT64_MIN, INT64_MAX}) {
    ArraySink sink(Expected(), {0, kSize}, memory_.data() + kSize, meter_);
    EXPECT_EQ(GetErrorReason(sink.Take(Header(total))),
              reason::kMessageMalformed);
  }
  v1::DownloadTensorResponse response;
  response.mutable_header()->mutable_spec()->set_dtype(v1::DTYPE_INT8);
  response.mutable_header()->set_total_bytes(kSize);
  EXPECT_EQ(sink_.Take(SerializeMessage(response)).code(),
            absl::StatusCode::kAborted);
  response.mutable_header()->set_encoding(v1::ENCODING_NPY);
  ArraySink sink(Expected(), {0, kSize}, memory_.data() + kSize, meter_);
  EXPECT_EQ(GetErrorReason(sink.Take(SerializeMessage(response))),
            reason::kMessageMalformed);
}

TEST_F(ArraySinkTest, StaysInsideWhateverComes) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    ArraySink sink(Expected(), {0, kSize}, memory_.data() + kSize, meter_);
    sink.Take(Header()).IgnoreError();
    for (int message = 0; message < 10; ++message) {
      const std::string data(
          static_cast<std::size_t>(Between(random, 0, 2 * kSize)), 'x');
      grpc::ByteBuffer bytes = Chunk(Between(random, -3, 2 * kSize), data);
      sink.Take(bytes).IgnoreError();
    }
  }
}

TEST_F(ArraySinkTest, FillsFromUnaryReads) {
  v1::ReadTensorResponse response;
  response.mutable_spec()->set_dtype(v1::DTYPE_UINT8);
  response.mutable_spec()->add_shape(kSize);
  std::byte* const destination = memory_.data() + kSize;
  for (const std::size_t size : {std::size_t{0}, kSize - 1, kSize + 1}) {
    response.set_data(std::string(size, 'x'));
    EXPECT_EQ(FillFrom(response, Expected(), destination).code(),
              absl::StatusCode::kDataLoss);
  }
  response.set_data(std::string(kSize, 'y'));
  EXPECT_TRUE(FillFrom(response, Expected(), destination).ok());
  EXPECT_EQ(Written(kSize), response.data());
  response.mutable_spec()->set_shape(0, kSize + 1);
  EXPECT_EQ(FillFrom(response, Expected(), destination).code(),
            absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace tensord::client
