#include "server/queue_delay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace tensord {
namespace {

using std::chrono::milliseconds;

class QueueDelayTest : public ::testing::Test {
 protected:
  static QueueDelay::Time At(int ms) {
    return QueueDelay::Time() + milliseconds(ms);
  }

  // A probe that is sent now and is back after a while.
  void Probe(int sent_ms, int took_ms) {
    delay_.Sent(At(sent_ms));
    delay_.Returned(At(sent_ms), At(sent_ms + took_ms));
  }

  double DelayMs(int now_ms) {
    return absl::ToDoubleMilliseconds(delay_.At(At(now_ms)));
  }

  QueueDelay delay_;
};

TEST_F(QueueDelayTest, IsNothingAtFirst) { EXPECT_EQ(DelayMs(0), 0); }

TEST_F(QueueDelayTest, IsHalfOfWhatAProbeTakes) {
  Probe(0, 30);
  EXPECT_EQ(DelayMs(30), 15);
}

TEST_F(QueueDelayTest, IsTheLeastOfTheLastTenthOfASecond) {
  Probe(0, 10);
  Probe(20, 70);
  Probe(40, 60);
  EXPECT_EQ(DelayMs(100), 5);
  // The first came back at 10 ms.
  EXPECT_EQ(DelayMs(111), 30);
}

TEST_F(QueueDelayTest, StaysWhatItWasWhileNothingIsSent) {
  Probe(0, 10);
  EXPECT_EQ(DelayMs(10'000), 5);
}

TEST_F(QueueDelayTest, GrowsWhileNothingComesBack) {
  Probe(0, 10);
  delay_.Sent(At(20));
  delay_.Sent(At(40));
  EXPECT_EQ(DelayMs(100), 5);
  EXPECT_EQ(DelayMs(220), 100);
  EXPECT_EQ(DelayMs(420), 200);
}

TEST_F(QueueDelayTest, OneThatIsUnderWayForLittleSaysNothing) {
  Probe(0, 40);
  delay_.Sent(At(500));
  EXPECT_EQ(DelayMs(510), 20);
}

TEST_F(QueueDelayTest, TellsProbesApartByWhenTheyWereSent) {
  delay_.Sent(At(0));
  delay_.Sent(At(20));
  EXPECT_EQ(delay_.under_way(), 2);
  delay_.Returned(At(20), At(24));
  EXPECT_EQ(delay_.under_way(), 1);
  EXPECT_EQ(DelayMs(24), 2);
}

TEST_F(QueueDelayTest, OneThatIsLostSaysNothing) {
  Probe(0, 10);
  delay_.Sent(At(20));
  delay_.Lost(At(20));
  EXPECT_EQ(delay_.under_way(), 0);
  EXPECT_EQ(DelayMs(1000), 5);
}

// Twice as many calls come as can be answered: the queue grows by a second in
// a second. A probe finds the queue at its way there, and again back.
TEST_F(QueueDelayTest, SeesAnOverloadWithinAFifthOfASecond) {
  const auto queue_ms = [](int now_ms) { return std::max(now_ms, 0); };
  std::vector<std::pair<int, int>> returns;
  for (int now = -200; now < 200; ++now) {
    if (now % 20 == 0) {
      delay_.Sent(At(1000 + now));
      const int there = now + queue_ms(now);
      returns.emplace_back(now, there + queue_ms(there));
    }
    for (const auto& [sent, back] : returns) {
      if (back == now) delay_.Returned(At(1000 + sent), At(1000 + now));
    }
  }
  EXPECT_GT(DelayMs(1200), 50);
}

}  // namespace
}  // namespace tensord
