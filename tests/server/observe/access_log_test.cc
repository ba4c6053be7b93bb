#include "server/observe/access_log.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Line(LogFormat format, const FinishedCall& call) {
  std::string lines;
  AccessLog log(format, [&](std::string_view line) { lines += line; });
  log.CallStarted({.method = call.method});
  EXPECT_EQ(lines, "");
  log.CallFinished(call);
  return lines;
}

TEST(AccessLogTest, SaysHowACallEnded) {
  const FinishedCall call{.method = "/tensord.v1.TensorService/GetTensor",
                          .peer = "ipv4:127.0.0.1:40000",
                          .code = grpc::StatusCode::NOT_FOUND,
                          .duration = absl::Microseconds(1500)};
  EXPECT_EQ(Line(LogFormat::kText, call),
            "call method=/tensord.v1.TensorService/GetTensor code=NotFound "
            "peer=ipv4:127.0.0.1:40000 duration_ms=1.500\n");
  const std::string json = Line(LogFormat::kJson, call);
  EXPECT_THAT(json, StartsWith("{\"event\":\"call\",\"time\":\""));
  EXPECT_THAT(json,
              HasSubstr("\"method\":\"/tensord.v1.TensorService/GetTensor\","
                        "\"code\":\"NotFound\","
                        "\"peer\":\"ipv4:127.0.0.1:40000\","
                        "\"duration_ms\":1.500}\n"));
}

TEST(AccessLogTest, MethodsCanNotForgeLines) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line =
        Line(format, {.method = "/x\ncall method=/y code=OK",
                      .peer = "unix:",
                      .code = grpc::StatusCode::UNIMPLEMENTED,
                      .duration = absl::ZeroDuration()});
    EXPECT_EQ(line.find('\n'), line.size() - 1);
  }
}

TEST(AccessLogTest, CutsLongMethods) {
  const std::string method(100'000, 'm');
  const std::string line =
      Line(LogFormat::kText, {.method = method,
                              .peer = "unix:",
                              .code = grpc::StatusCode::UNIMPLEMENTED,
                              .duration = absl::ZeroDuration()});
  EXPECT_LT(line.size(), 400u);
}

}  // namespace
}  // namespace tensord
