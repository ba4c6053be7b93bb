#include "client/cpp/src/array_source.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "client/cpp/src/envelope.h"
#include "core/crc32c.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord::client {
namespace {

SendPlan Plan(const std::string& bytes) {
  SendPlan plan;
  plan.data = reinterpret_cast<const std::byte*>(bytes.data());
  plan.total_bytes = static_cast<std::int64_t>(bytes.size());
  return plan;
}

// The chunks of an array, of `chunk_bytes` each.
std::vector<v1::Chunk> Chunks(SendPlan plan, std::int64_t chunk_bytes,
                              bool checksums) {
  ArraySource source(SerializeMessage(v1::UploadTensorRequest()),
                     std::move(plan), chunk_bytes, checksums);
  bool last = false;
  source.Next(&last);
  std::vector<v1::Chunk> chunks;
  while (!last) {
    v1::UploadTensorRequest request;
    EXPECT_TRUE(ParseMessage(source.Next(&last), &request).ok());
    EXPECT_EQ(request.finish(), last);
    chunks.push_back(request.chunk());
  }
  return chunks;
}

TEST(ArraySourceTest, SendsChecksumsIfAsked) {
  const std::string bytes = "123456789abc";
  for (const bool checksums : {true, false}) {
    std::string joined;
    for (const v1::Chunk& chunk : Chunks(Plan(bytes), 5, checksums)) {
      EXPECT_EQ(chunk.has_crc32c(), checksums);
      if (checksums) {
        EXPECT_EQ(chunk.crc32c(), Crc32c(chunk.data()));
      }
      EXPECT_EQ(chunk.offset(), static_cast<std::int64_t>(joined.size()));
      joined += chunk.data();
    }
    EXPECT_EQ(joined, bytes);
  }
}

}  // namespace
}  // namespace tensord::client
