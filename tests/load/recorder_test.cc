#include "tests/load/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "core/error.h"

namespace tensord::load {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST(RecorderTest, KeepsHowEachCallEnded) {
  Recorder recorder(4);
  recorder.Sent(0, 5);
  recorder.Sent(1, 6);
  recorder.NotSent(2);
  EXPECT_EQ(recorder.in_flight(), 2);
  recorder.Ended(1, 100, absl::OkStatus(), 64);
  recorder.Ended(0, 200,
                 MakeError(absl::StatusCode::kResourceExhausted,
                           reason::kTooManyRequests, "too many"),
                 0);
  EXPECT_EQ(recorder.in_flight(), 0);
  EXPECT_THAT(recorder.Outcomes(),
              ElementsAre("PENDING", "NOT_SENT", "OK",
                          "RESOURCE_EXHAUSTED/TOO_MANY_REQUESTS"));
  EXPECT_EQ(recorder.At(0).outcome, 3);
  EXPECT_EQ(recorder.At(0).lag_ns, 5);
  EXPECT_EQ(recorder.At(0).latency_ns, 200);
  EXPECT_FALSE(recorder.At(0).has_retry_info);
  EXPECT_EQ(recorder.At(1).outcome, kOk);
  EXPECT_EQ(recorder.At(1).bytes, 64);
  EXPECT_EQ(recorder.At(2).outcome, kNotSent);
  EXPECT_EQ(recorder.At(3).outcome, kPending);
}

TEST(RecorderTest, TakesCallsFromManyThreads) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kEach = 2000;
  Recorder recorder(kThreads * kEach);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&recorder, t] {
        for (std::size_t i = 0; i < kEach; ++i) {
          const std::size_t number = t * kEach + i;
          recorder.Sent(number, 0);
          recorder.Ended(
              number, static_cast<std::int64_t>(number),
              i % 2 == 0 ? absl::OkStatus() : absl::UnavailableError("gone"),
              1);
        }
      });
    }
  }
  EXPECT_EQ(recorder.in_flight(), 0);
  EXPECT_THAT(recorder.Outcomes(),
              UnorderedElementsAre("PENDING", "NOT_SENT", "OK", "UNAVAILABLE"));
  for (std::size_t i = 0; i < recorder.size(); ++i) {
    EXPECT_EQ(recorder.At(i).latency_ns, static_cast<std::int64_t>(i));
    EXPECT_EQ(recorder.At(i).outcome, i % 2 == 0 ? kOk : 3);
  }
}

}  // namespace
}  // namespace tensord::load
