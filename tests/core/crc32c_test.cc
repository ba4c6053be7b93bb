#include "core/crc32c.h"

#include <cstddef>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace tensord {
namespace {

// RFC 3720, B.4.
TEST(Crc32cTest, MatchesPublishedValues) {
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending.push_back(c);
  EXPECT_EQ(Crc32c(""), 0U);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aa);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794e);
}

TEST(Crc32cTest, DoesNotDependOnPieces) {
  constexpr std::string_view kText = "123456789";
  for (std::size_t cut = 0; cut <= kText.size(); ++cut) {
    EXPECT_EQ(ExtendCrc32c(Crc32c(kText.substr(0, cut)), kText.substr(cut)),
              0xe3069283);
  }
}

}  // namespace
}  // namespace tensord
