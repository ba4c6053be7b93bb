#include "tests/load/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace tensord::load {
namespace {

TEST(JsonTest, WritesWhatItHolds) {
  const Json json(Json::Object{
      {"list", Json::Array{1.0, std::string("two"), Json::Array{}}},
      {"nothing", Json::Object{}},
      {"number", 0.1},
      {"none", std::numeric_limits<double>::quiet_NaN()}});
  EXPECT_EQ(json.ToString(),
            "{\"list\": [1, \"two\", []], \"none\": null, \"nothing\": {}, "
            "\"number\": 0.10000000000000001}");
  EXPECT_EQ(json.fields().at("list").items()[1].text(), "two");
  EXPECT_EQ(json.fields().at("number").number(), 0.1);
}

TEST(JsonTest, EscapesText) {
  EXPECT_EQ(Json(std::string("a\"b\\c\n\x01")).ToString(),
            "\"a\\\"b\\\\c\\u000a\\u0001\"");
}

}  // namespace
}  // namespace tensord::load
