#include "client/cpp/src/retry.h"

#include <gtest/gtest.h>

#include <optional>

#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

const absl::Status kUnavailable = absl::UnavailableError("");

absl::Status Refusal(absl::StatusCode code, const char* pushback) {
  absl::Status status(code, "");
  status.SetPayload("grpc-retry-pushback-ms", absl::Cord(pushback));
  return status;
}

class RetryTest : public ::testing::Test {
 protected:
  Retry Make(int max_attempts) {
    return {max_attempts, absl::Seconds(5), throttle_};
  }

  RetryThrottle throttle_{1};
};

TEST_F(RetryTest, WaitsLongerEachTime) {
  Retry retry = Make(5);
  absl::Duration usual = absl::Milliseconds(100);
  for (int i = 0; i < 4; ++i) {
    const std::optional<absl::Duration> pause = retry.Next(kUnavailable);
    ASSERT_TRUE(pause.has_value());
    EXPECT_GE(*pause, 0.8 * usual);
    EXPECT_LE(*pause, 1.2 * usual);
    usual *= 2;
  }
  EXPECT_EQ(retry.Next(kUnavailable), std::nullopt);
}

TEST_F(RetryTest, NeverWaitsMuchLongerThanASecond) {
  Retry retry = Make(1000);
  for (int i = 0; i < 20; ++i) {
    const std::optional<absl::Duration> pause = retry.Next(kUnavailable);
    ASSERT_TRUE(pause.has_value());
    EXPECT_LE(*pause, absl::Seconds(1.2));
    for (int j = 0; j < 10; ++j) throttle_.Succeeded();
  }
}

TEST_F(RetryTest, OnlyForWhatMayPass) {
  EXPECT_FALSE(Make(9).Next(absl::OkStatus()).has_value());
  for (const absl::StatusCode code :
       {absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kCancelled,
        absl::StatusCode::kInvalidArgument, absl::StatusCode::kAborted,
        absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal}) {
    EXPECT_FALSE(Make(9).Next(absl::Status(code, "")).has_value());
  }
  EXPECT_TRUE(Make(9)
                  .Next(MakeError(absl::StatusCode::kAborted,
                                  reason::kRequestInProgress, ""))
                  .has_value());
}

TEST_F(RetryTest, DoesWhatTheServerSays) {
  using Code = absl::StatusCode;
  EXPECT_EQ(Make(9).Next(Refusal(Code::kResourceExhausted, "1234")),
            absl::Milliseconds(1234));
  EXPECT_EQ(Make(9).Next(Refusal(Code::kUnavailable, "0")),
            absl::ZeroDuration());
  for (const char* const never : {"-1", "", "soon", "99999999999"}) {
    EXPECT_FALSE(
        Make(9).Next(Refusal(Code::kResourceExhausted, never)).has_value());
    EXPECT_FALSE(Make(9).Next(Refusal(Code::kUnavailable, never)).has_value());
    for (int i = 0; i < 20; ++i) throttle_.Succeeded();
  }
  EXPECT_FALSE(Make(9).Next(Refusal(Code::kUnavailable, "5001")).has_value());
  EXPECT_FALSE(Make(9).Next(Refusal(Code::kInvalidArgument, "1")).has_value());
}

TEST_F(RetryTest, CountsAnewAfterProgress) {
  Retry retry = Make(2);
  EXPECT_TRUE(retry.Next(kUnavailable).has_value());
  retry.Progressed();
  EXPECT_TRUE(retry.Next(kUnavailable).has_value());
  EXPECT_FALSE(retry.Next(kUnavailable).has_value());
  for (int i = 0; i < 100; ++i) {
    retry.Progressed();
    EXPECT_TRUE(retry.Next(kUnavailable).has_value());
  }
}

TEST_F(RetryTest, StopsWhereMostCallsFail) {
  int repeated = 0;
  while (Make(2).Next(kUnavailable).has_value()) ++repeated;
  EXPECT_EQ(repeated, 4);
  for (int i = 0; i < 9; ++i)
    EXPECT_FALSE(Make(2).Next(absl::OkStatus()).has_value());
  EXPECT_FALSE(Make(2).Next(kUnavailable).has_value());
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(Make(2).Next(absl::OkStatus()).has_value());
  EXPECT_TRUE(Make(2).Next(kUnavailable).has_value());
}

// A cut line fails the calls over all of them.
TEST_F(RetryTest, BearsAsMuchOnEveryConnection) {
  RetryThrottle throttle(3);
  int allowed = 0;
  while (throttle.Failed()) ++allowed;
  EXPECT_EQ(allowed, 14);
}

}  // namespace
}  // namespace tensord::client
