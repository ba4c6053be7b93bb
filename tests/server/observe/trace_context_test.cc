#include "server/observe/trace_context.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tensord {
namespace {

const std::string kSpan(16, 'e');
const std::string kGood =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContextTest, ReadsWhatTheStandardShows) {
  const auto trace = ParseTraceparent(kGood, kSpan);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(trace->parent_id, "b7ad6b7169203331");
  EXPECT_EQ(trace->flags, "01");
  EXPECT_EQ(trace->traceparent(),
            "00-0af7651916cd43dd8448eb211c80319c-eeeeeeeeeeeeeeee-01");
}

TEST(TraceContextTest, ReadsVersionsToCome) {
  for (const char* version : {"01", "cc", "fe"}) {
    const std::string text = version + kGood.substr(2);
    EXPECT_TRUE(ParseTraceparent(text, kSpan).has_value()) << text;
    EXPECT_TRUE(ParseTraceparent(text + "-more", kSpan).has_value());
    EXPECT_FALSE(ParseTraceparent(text + ".", kSpan).has_value());
  }
}

TEST(TraceContextTest, IgnoresWhatIsNotValid) {
  EXPECT_FALSE(ParseTraceparent(kGood + "-more", kSpan).has_value());
  EXPECT_FALSE(ParseTraceparent("ff" + kGood.substr(2), kSpan).has_value());
  EXPECT_FALSE(ParseTraceparent(
                   "00-" + std::string(32, '0') + "-b7ad6b7169203331-01", kSpan)
                   .has_value());
  EXPECT_FALSE(ParseTraceparent("00-0af7651916cd43dd8448eb211c80319c-" +
                                    std::string(16, '0') + "-01",
                                kSpan)
                   .has_value());
  for (std::size_t size = 0; size < kGood.size(); ++size) {
    EXPECT_FALSE(ParseTraceparent(kGood.substr(0, size), kSpan).has_value());
  }
  // Any other character anywhere.
  for (std::size_t i = 0; i < kGood.size(); ++i) {
    for (const char c : {'A', 'g', ' ', '\0', '/', ':'}) {
      std::string text = kGood;
      text[i] = c;
      EXPECT_FALSE(ParseTraceparent(text, kSpan).has_value()) << text;
    }
  }
}

}  // namespace
}  // namespace tensord
