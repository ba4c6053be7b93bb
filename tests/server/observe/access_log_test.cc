#include "server/observe/access_log.h"

#include <string>
#include <vector>

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
            "peer=ipv4:127.0.0.1:40000 received_bytes=0 sent_bytes=0 "
            "duration_ms=1.500\n");
  const std::string json = Line(LogFormat::kJson, call);
  EXPECT_THAT(json, StartsWith("{\"event\":\"call\",\"time\":\""));
  EXPECT_THAT(json,
              HasSubstr("\"method\":\"/tensord.v1.TensorService/GetTensor\","
                        "\"code\":\"NotFound\","
                        "\"peer\":\"ipv4:127.0.0.1:40000\","
                        "\"received_bytes\":0,\"sent_bytes\":0,"
                        "\"duration_ms\":1.500}\n"));
}

TEST(AccessLogTest, SaysWhoseCallItWasAndWhereItBelongs) {
  const TraceContext trace{.trace_id = std::string(32, 'a'),
                           .parent_id = std::string(16, 'b'),
                           .span_id = std::string(16, 'c'),
                           .flags = "01"};
  const FinishedCall call{.method = "/m",
                          .peer = "unix:",
                          .code = grpc::StatusCode::RESOURCE_EXHAUSTED,
                          .reason = "QUOTA_EXCEEDED",
                          .tenant = "team a",
                          .id = "abc",
                          .trace = &trace,
                          .received_bytes = 12,
                          .sent_bytes = 34,
                          .duration = absl::Milliseconds(2)};
  EXPECT_EQ(Line(LogFormat::kText, call),
            "call method=/m code=ResourceExhausted reason=QUOTA_EXCEEDED "
            "peer=unix: tenant=\"team a\" id=abc received_bytes=12 "
            "sent_bytes=34 duration_ms=2.000 "
            "trace_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
            "span_id=cccccccccccccccc parent_id=bbbbbbbbbbbbbbbb\n");
}

TEST(AccessLogTest, LeavesOutAFloodOfRefusalsAndSaysSo) {
  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  std::vector<std::string> lines;
  AccessLog log(
      LogFormat::kText,
      [&](std::string_view line) { lines.emplace_back(line); },
      [&] { return now; });
  const FinishedCall refused{.method = "/m",
                             .peer = "unix:",
                             .code = grpc::StatusCode::UNAUTHENTICATED};
  const FinishedCall served{
      .method = "/m", .peer = "unix:", .code = grpc::StatusCode::OK};
  for (int i = 0; i < 1000; ++i) log.CallFinished(refused);
  EXPECT_EQ(lines.size(), AccessLog::kMaxRefusalsPerSecond);
  for (int i = 0; i < 1000; ++i) log.CallFinished(served);
  EXPECT_EQ(lines.size(), AccessLog::kMaxRefusalsPerSecond + 1000U);
  now += absl::Seconds(1);
  lines.clear();
  log.CallFinished(refused);
  log.CallFinished(refused);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "calls_left_out count=800\n");
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
