#include "client/cpp/src/retry.h"

#include <gtest/gtest.h>

#include <vector>

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
    return {max_attempts, absl::Seconds(5), throttle_,
            [this](absl::Duration wait) { waits_.push_back(wait); }};
  }

  RetryThrottle throttle_{1};
  std::vector<absl::Duration> waits_;
};

TEST_F(RetryTest, WaitsLongerEachTime) {
  Retry retry = Make(5);
  int attempts = 1;
  while (retry.Again(kUnavailable)) ++attempts;
  EXPECT_EQ(attempts, 5);
  ASSERT_EQ(waits_.size(), 4U);
  absl::Duration usual = absl::Milliseconds(100);
  for (const absl::Duration wait : waits_) {
    EXPECT_GE(wait, 0.8 * usual);
    EXPECT_LE(wait, 1.2 * usual);
    usual *= 2;
  }
}

TEST_F(RetryTest, NeverWaitsMuchLongerThanASecond) {
  Retry retry = Make(1000);
  for (int i = 0; i < 20; ++i) {
    retry.Again(kUnavailable);
    for (int j = 0; j < 10; ++j) throttle_.Succeeded();
  }
  for (const absl::Duration wait : waits_) EXPECT_LE(wait, absl::Seconds(1.2));
}

TEST_F(RetryTest, OnlyForWhatMayPass) {
  EXPECT_FALSE(Make(9).Again(absl::OkStatus()));
  for (const absl::StatusCode code :
       {absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kCancelled,
        absl::StatusCode::kInvalidArgument, absl::StatusCode::kAborted,
        absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal}) {
    EXPECT_FALSE(Make(9).Again(absl::Status(code, "")));
  }
  EXPECT_TRUE(Make(9).Again(
      MakeError(absl::StatusCode::kAborted, reason::kRequestInProgress, "")));
}

TEST_F(RetryTest, DoesWhatTheServerSays) {
  using Code = absl::StatusCode;
  EXPECT_TRUE(Make(9).Again(Refusal(Code::kResourceExhausted, "1234")));
  EXPECT_TRUE(Make(9).Again(Refusal(Code::kUnavailable, "0")));
  EXPECT_EQ(waits_, (std::vector<absl::Duration>{absl::Milliseconds(1234),
                                                 absl::ZeroDuration()}));
  for (const char* const never : {"-1", "", "soon", "99999999999"}) {
    EXPECT_FALSE(Make(9).Again(Refusal(Code::kResourceExhausted, never)));
    EXPECT_FALSE(Make(9).Again(Refusal(Code::kUnavailable, never)));
    for (int i = 0; i < 20; ++i) throttle_.Succeeded();
  }
  EXPECT_FALSE(Make(9).Again(Refusal(Code::kUnavailable, "5001")));
  EXPECT_FALSE(Make(9).Again(Refusal(Code::kInvalidArgument, "1")));
}

TEST_F(RetryTest, CountsAnewAfterProgress) {
  Retry retry = Make(2);
  EXPECT_TRUE(retry.Again(kUnavailable));
  retry.Progressed();
  EXPECT_TRUE(retry.Again(kUnavailable));
  EXPECT_FALSE(retry.Again(kUnavailable));
  for (int i = 0; i < 100; ++i) {
    retry.Progressed();
    EXPECT_TRUE(retry.Again(kUnavailable));
  }
}

TEST_F(RetryTest, StopsWhereMostCallsFail) {
  int repeated = 0;
  while (Make(2).Again(kUnavailable)) ++repeated;
  EXPECT_EQ(repeated, 4);
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(Make(2).Again(absl::OkStatus()));
  EXPECT_FALSE(Make(2).Again(kUnavailable));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Make(2).Again(absl::OkStatus()));
  EXPECT_TRUE(Make(2).Again(kUnavailable));
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
