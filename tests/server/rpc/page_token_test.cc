#include "server/rpc/page_token.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "core/error.h"

namespace tensord {
namespace {

TEST(PageTokenTest, ReadsWhatItMade) {
  const PageTokens tokens;
  for (const std::size_t size : {0, 1, 7, 8, 9, 255}) {
    const std::string id(size, 'i');
    EXPECT_EQ(*tokens.Read(tokens.Make(id, ""), ""), id);
    EXPECT_EQ(*tokens.Read(tokens.Make(id, "filter"), "filter"), id);
  }
}

TEST(PageTokenTest, RefusesEveryChangedBit) {
  const PageTokens tokens;
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(tokens.Make("w/0", ""), &bytes));
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string forged = bytes;
    forged[bit / 8] = static_cast<char>(forged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(GetErrorReason(
                  tokens.Read(absl::WebSafeBase64Escape(forged), "").status()),
              reason::kPageTokenInvalid);
  }
}

TEST(PageTokenTest, BelongsToWhatWasAskedFor) {
  const PageTokens tokens;
  const std::string token = tokens.Make("w/0", "filter");
  for (const char* other : {"", "filte", "filter ", "0filter"}) {
    EXPECT_EQ(GetErrorReason(tokens.Read(token, other).status()),
              reason::kPageTokenInvalid);
  }
  EXPECT_NE(tokens.Make("w", "/0"), tokens.Make("w/0", ""));
}

TEST(PageTokenTest, RefusesJunkAndTokensOfOthers) {
  const PageTokens tokens;
  const PageTokens others;
  for (const std::string& token :
       {std::string("x"), std::string("!!!"), std::string("AAAA"),
        std::string(1000, 'A'), others.Make("w/0", "")}) {
    EXPECT_EQ(GetErrorReason(tokens.Read(token, "").status()),
              reason::kPageTokenInvalid);
  }
}

}  // namespace
}  // namespace tensord
