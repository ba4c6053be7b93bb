#include "server/wire/byte_buffer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

std::string Join(const grpc::ByteBuffer& bytes) {
  MessagePieces pieces;
  EXPECT_TRUE(pieces.Reset(bytes));
  std::string joined;
  for (const std::string_view piece : pieces.pieces()) joined.append(piece);
  return joined;
}

TEST(ByteBufferTest, BorrowsMemoryUntilTheLastSliceGoes) {
  auto owner = std::make_shared<std::string>(1 << 16, 'x');
  const std::weak_ptr<std::string> alive = owner;
  const char* const address = owner->data();
  {
    std::vector<grpc::Slice> data;
    data.push_back(BorrowedSlice(address, owner->size(), owner));
    owner.reset();
    const grpc::ByteBuffer message = ChunkMessage(7, {}, std::move(data));
    data.clear();
    EXPECT_FALSE(alive.expired());
    MessagePieces pieces;
    ASSERT_TRUE(pieces.Reset(message));
    ASSERT_EQ(pieces.pieces().size(), 2U);
    EXPECT_EQ(pieces.pieces()[1].data(), address);
  }
  EXPECT_TRUE(alive.expired());
}

TEST(ByteBufferTest, ChunkMessagesAreWhatProtobufWrites) {
  for (const std::int64_t offset : {0LL, 1LL, 127LL, 128LL, 1LL << 62}) {
    for (const std::size_t size : {1, 127, 128, 100000}) {
      v1::DownloadTensorResponse expected;
      expected.mutable_chunk()->set_offset(offset);
      expected.mutable_chunk()->set_data(std::string(size, 'd'));
      std::vector<grpc::Slice> data;
      data.emplace_back(std::string(size - size / 3, 'd'));
      data.emplace_back(std::string(size / 3, 'd'));
      EXPECT_EQ(Join(ChunkMessage(offset, {}, data)),
                expected.SerializeAsString());
      expected.mutable_chunk()->set_crc32c(0x87654321);
      EXPECT_EQ(Join(ChunkMessage(offset, 0x87654321, std::move(data))),
                expected.SerializeAsString());
    }
  }
}

TEST(ByteBufferTest, ParsesWhatItSerializes) {
  v1::Tensor tensor;
  tensor.set_name("tensors/a");
  v1::Tensor read;
  EXPECT_TRUE(ParseMessage(SerializeMessage(tensor), read));
  EXPECT_EQ(read.name(), "tensors/a");
  const grpc::Slice junk(std::string("\xff\xff\xff"));
  EXPECT_FALSE(ParseMessage(grpc::ByteBuffer(&junk, 1), read));
  EXPECT_FALSE(ParseMessage(grpc::ByteBuffer(), read));
}

}  // namespace
}  // namespace tensord
