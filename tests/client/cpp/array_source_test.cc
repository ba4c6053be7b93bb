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

// The chunks of a range of an array, of `chunk_bytes` each.
std::vector<v1::Chunk> Chunks(SendPlan plan, ByteRange range,
                              std::int64_t chunk_bytes, bool checksums) {
  Meter meter(nullptr, range.begin, range.end);
  ArraySource source(SerializeMessage(v1::UploadTensorRequest()),
                     std::move(plan), chunk_bytes, checksums, range, meter);
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
    for (const v1::Chunk& chunk : Chunks(Plan(bytes), {0, 12}, 5, checksums)) {
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

TEST(ArraySourceTest, SendsAnyRange) {
  const std::string bytes = "123456789abc";
  for (std::size_t begin = 0; begin < bytes.size(); ++begin) {
    for (std::size_t end = begin + 1; end <= bytes.size(); ++end) {
      const ByteRange range{static_cast<std::int64_t>(begin),
                            static_cast<std::int64_t>(end)};
      std::string joined;
      for (const v1::Chunk& chunk : Chunks(Plan(bytes), range, 5, false)) {
        EXPECT_EQ(chunk.offset(),
                  static_cast<std::int64_t>(begin + joined.size()));
        joined += chunk.data();
      }
      EXPECT_EQ(joined, bytes.substr(begin, end - begin));
    }
  }
}

}  // namespace
}  // namespace tensord::client
