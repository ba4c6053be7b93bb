#include "server/observe/log_line.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::MatchesRegex;

// All bytes, in one value.
std::string AllBytes() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  return all;
}

google::protobuf::Struct ParseJson(const std::string& line) {
  google::protobuf::Struct object;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &object).ok())
      << line;
  return object;
}

TEST(LogLineTest, WritesText) {
  EXPECT_EQ(LogLine(LogFormat::kText, "call")
                .Add("method", "/a.B/C")
                .Add("bytes", std::int64_t{-3})
                .Add("ms", 1.23456)
                .text(),
            "call method=/a.B/C bytes=-3 ms=1.235\n");
}

TEST(LogLineTest, WritesJson) {
  const std::string line = LogLine(LogFormat::kJson, "call")
                               .Add("method", "/a.B/C")
                               .Add("bytes", std::int64_t{-3})
                               .Add("ms", 1.23456)
                               .text();
  const auto object = ParseJson(line);
  EXPECT_EQ(object.fields().at("event").string_value(), "call");
  EXPECT_EQ(object.fields().at("method").string_value(), "/a.B/C");
  EXPECT_EQ(object.fields().at("bytes").number_value(), -3);
  EXPECT_EQ(object.fields().at("ms").number_value(), 1.235);
  EXPECT_THAT(object.fields().at("time").string_value(),
              MatchesRegex("20..-..-..T..:..:..\\....Z"));
}

TEST(LogLineTest, StaysOneLineOfAsciiWhateverTheValue) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line =
        LogLine(format, "call").Add("method", AllBytes()).text();
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    for (const char c : line.substr(0, line.size() - 1)) {
      ASSERT_GE(c, ' ');
      ASSERT_LT(c, 0x7f);
    }
  }
}

TEST(LogLineTest, JsonHoldsEveryByte) {
  const auto object = ParseJson(
      LogLine(LogFormat::kJson, "call").Add("method", AllBytes()).text());
  const std::string value = object.fields().at("method").string_value();
  // Bytes from 128 on have become code points of two bytes.
  EXPECT_EQ(value.size(), 128u + 2 * 128u);
  EXPECT_EQ(value.substr(0, 128), AllBytes().substr(0, 128));
}

TEST(LogLineTest, ValuesCanNotLookLikeFields) {
  for (const char* value : {"a b=c", "a\"b", "", "a=b", "a\\"}) {
    const std::string line =
        LogLine(LogFormat::kText, "call").Add("method", value).text();
    EXPECT_THAT(line, MatchesRegex("call method=\".*\"\n")) << line;
  }
}

TEST(AddressLineTest, IsWhatScriptsLookFor) {
  EXPECT_EQ(AddressLine(LogFormat::kText, "listening", "127.0.0.1:1"),
            "listening on 127.0.0.1:1\n");
  const auto object =
      ParseJson(AddressLine(LogFormat::kJson, "listening", "127.0.0.1:1"));
  EXPECT_EQ(object.fields().at("event").string_value(), "listening");
  EXPECT_EQ(object.fields().at("address").string_value(), "127.0.0.1:1");
}

}  // namespace
}  // namespace tensord
