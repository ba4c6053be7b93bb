#include "server/wire/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace tensord {
namespace {

TEST(Crc32cTest, MatchesPublishedValues) {
  const std::string zeros(32, '\0');
  const std::string ones(32, '\xff');
  EXPECT_EQ(Crc32c({}), 0U);
  EXPECT_EQ(Crc32c(std::vector<std::string_view>{"123456789"}), 0xe3069283);
  EXPECT_EQ(Crc32c(std::vector<std::string_view>{zeros}), 0x8a9136aa);
  EXPECT_EQ(Crc32c(std::vector<std::string_view>{ones}), 0x62a8ab43);
}

TEST(Crc32cTest, DoesNotDependOnPieces) {
  const std::string text = "123456789";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view view = text;
    EXPECT_EQ(Crc32c(std::vector<std::string_view>{view.substr(0, cut), "",
                                                   view.substr(cut)}),
              0xe3069283);
  }
}

}  // namespace
}  // namespace tensord
