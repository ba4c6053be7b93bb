#include "client/cpp/src/call_window.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

using std::chrono::milliseconds;

const absl::Status kOverloaded = MakeError(absl::StatusCode::kResourceExhausted,
                                           reason::kOverloaded, "too much");

class CallWindowTest : public ::testing::Test {
 protected:
  using Place = CallWindow::Place;

  absl::StatusOr<Place> Enter(Urgency urgency = Urgency::kOrdinary) {
    return window_.Enter(urgency, now_);
  }

  // So many calls under way, if they are let in.
  std::vector<Place> EnterMany(int count) {
    std::vector<Place> places;
    for (int i = 0; i < count; ++i) {
      if (auto place = Enter(); place.ok()) places.push_back(*std::move(place));
    }
    return places;
  }

  // How many calls may be under way beside those that are.
  std::size_t Room() { return EnterMany(1000).size(); }

  CallWindow window_;
  CallWindow::Time now_ = CallWindow::Time() + std::chrono::hours(1);
};

TEST_F(CallWindowTest, LetsEverythingThroughWhileTheServerIsWell) {
  EXPECT_EQ(EnterMany(1000).size(), 1000);
  auto place = Enter();
  for (const absl::Status& status :
       {absl::OkStatus(), absl::UnavailableError(""),
        absl::DeadlineExceededError(""), absl::ResourceExhaustedError(""),
        MakeError(absl::StatusCode::kResourceExhausted,
                  reason::kMemoryExhausted, "")}) {
    place->Answered(status, now_);
    EXPECT_EQ(Room(), 1000) << status;
  }
}

TEST_F(CallWindowTest, HalvesWhatIsUnderWay) {
  auto places = EnterMany(40);
  places.back().Answered(kOverloaded, now_);
  EXPECT_EQ(Room(), 0);
  while (places.size() > 20) places.pop_back();
  EXPECT_EQ(Room(), 0);
  places.pop_back();
  EXPECT_EQ(Room(), 1);
}

TEST_F(CallWindowTest, HalvesWhereTooManyCallsAreUnderWay) {
  {
    auto places = EnterMany(40);
    places.back().Answered(MakeError(absl::StatusCode::kResourceExhausted,
                                     reason::kTooManyRequests, ""),
                           now_);
  }
  EXPECT_EQ(Room(), 20);
}

TEST_F(CallWindowTest, HalvesAgainWhereCallsAreNotAnsweredInTime) {
  auto places = EnterMany(64);
  places[0].Answered(kOverloaded, now_);
  // Sent before.
  places[1].Answered(absl::DeadlineExceededError(""), now_);
  places.clear();
  EXPECT_EQ(Room(), 32);
  places = EnterMany(32);
  places[0].Answered(absl::DeadlineExceededError(""), now_);
  places.clear();
  EXPECT_EQ(Room(), 16);
  // That says nothing of when the server was overloaded last.
  now_ += milliseconds(1000);
  Enter()->Answered(absl::DeadlineExceededError(""), now_);
  EXPECT_EQ(Room(), 1000);
}

TEST_F(CallWindowTest, RefusesAsTheServerDoes) {
  auto places = EnterMany(3);
  places.back().Answered(kOverloaded, now_);
  const absl::Status status = Enter().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(status), reason::kOverloaded);
  const auto pushback = RetryPushback(status);
  ASSERT_TRUE(pushback.has_value());
  EXPECT_GE(*pushback, absl::Milliseconds(100));
  EXPECT_LE(*pushback, absl::Milliseconds(300));
}

TEST_F(CallWindowTest, OneCallMayAlwaysBeUnderWay) {
  for (int i = 0; i < 10; ++i) {
    auto place = Enter();
    ASSERT_TRUE(place.ok()) << place.status();
    place->Answered(kOverloaded, now_);
  }
}

TEST_F(CallWindowTest, EssentialCallsAlwaysHaveAPlace) {
  auto places = EnterMany(8);
  places.back().Answered(kOverloaded, now_);
  ASSERT_FALSE(Enter().ok());
  std::vector<Place> essential;
  for (int i = 0; i < 100; ++i) {
    auto place = Enter(Urgency::kEssential);
    ASSERT_TRUE(place.ok());
    place->Answered(kOverloaded, now_);
    essential.push_back(*std::move(place));
  }
  places.clear();
  // They neither count nor tell of anything.
  EXPECT_EQ(Room(), 4);
}

TEST_F(CallWindowTest, RefusalsOfWhatWasSentBeforeHalveOnce) {
  auto places = EnterMany(64);
  for (Place& place : places) place.Answered(kOverloaded, now_);
  places.clear();
  EXPECT_EQ(Room(), 32);
  auto later = EnterMany(32);
  later[0].Answered(kOverloaded, now_);
  later[1].Answered(kOverloaded, now_);
  later.clear();
  EXPECT_EQ(Room(), 16);
}

TEST_F(CallWindowTest, GrowsByOneForEveryWindowThatIsAnswered) {
  {
    auto places = EnterMany(20);
    places[0].Answered(kOverloaded, now_);
  }
  EXPECT_EQ(Room(), 10);
  for (int window = 11; window < 14; ++window) {
    for (int i = 0; i < window; ++i) Enter()->Answered({}, now_);
    EXPECT_EQ(Room(), window);
  }
}

TEST_F(CallWindowTest, FailuresOfAnotherKindDoNotGrowIt) {
  {
    auto places = EnterMany(4);
    places[0].Answered(kOverloaded, now_);
  }
  for (int i = 0; i < 100; ++i) {
    Enter()->Answered(absl::UnavailableError(""), now_);
  }
  EXPECT_EQ(Room(), 2);
}

TEST_F(CallWindowTest, EndsASecondAfterTheLastRefusal) {
  auto places = EnterMany(4);
  places[0].Answered(kOverloaded, now_);
  now_ += milliseconds(900);
  EXPECT_FALSE(Enter().ok());
  // Of a call sent before: the server is not well yet.
  places[1].Answered(kOverloaded, now_);
  now_ += milliseconds(999);
  EXPECT_FALSE(Enter().ok());
  now_ += milliseconds(1);
  EXPECT_EQ(Room(), 1000);
}

TEST_F(CallWindowTest, GivesEveryPlaceBack) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20'000; ++i) {
        auto place = window_.Enter(Urgency::kOrdinary);
        if (!place.ok()) continue;
        place->Answered(i % 100 == t ? kOverloaded : absl::OkStatus());
      }
    });
  }
  threads.clear();
  now_ = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  EXPECT_EQ(Room(), 1000);
  // Were one left, half of it and of these would be more than half of these.
  auto places = EnterMany(100);
  places[0].Answered(kOverloaded, now_);
  places.clear();
  EXPECT_EQ(Room(), 50);
}

}  // namespace
}  // namespace tensord::client
