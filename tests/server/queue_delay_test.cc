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

  // A probe that is sent now and whose turn comes after a while.
  void Probe(int sent_ms, int waited_ms) {
    delay_.Sent(At(sent_ms));
    delay_.Arrived(At(sent_ms + waited_ms));
  }

  double DelayMs(int now_ms) {
    return absl::ToDoubleMilliseconds(delay_.At(At(now_ms)));
  }

  QueueDelay delay_;
};

TEST_F(QueueDelayTest, IsNothingAtFirst) { EXPECT_EQ(DelayMs(0), 0); }

TEST_F(QueueDelayTest, IsWhatAProbeWaits) {
  Probe(0, 30);
  EXPECT_EQ(DelayMs(30), 30);
}

TEST_F(QueueDelayTest, IsTheLeastOfTheLastTenthOfASecond) {
  Probe(0, 10);
  Probe(20, 70);
  Probe(40, 60);
  EXPECT_EQ(DelayMs(100), 10);
  // The turn of the first came at 10 ms.
  EXPECT_EQ(DelayMs(111), 60);
}

TEST_F(QueueDelayTest, StaysWhatItWasWhileNothingIsSent) {
  Probe(0, 10);
  EXPECT_EQ(DelayMs(10'000), 10);
}

TEST_F(QueueDelayTest, GrowsWhileNoTurnComes) {
  Probe(0, 10);
  delay_.Sent(At(20));
  delay_.Sent(At(40));
  EXPECT_EQ(DelayMs(100), 10);
  EXPECT_EQ(DelayMs(220), 200);
  EXPECT_EQ(DelayMs(420), 400);
}

TEST_F(QueueDelayTest, OneThatWaitsForLittleSaysNothing) {
  Probe(0, 40);
  delay_.Sent(At(500));
  EXPECT_EQ(DelayMs(510), 40);
}

TEST_F(QueueDelayTest, TurnsComeInTheOrderOfSending) {
  delay_.Sent(At(0));
  delay_.Sent(At(20));
  delay_.Arrived(At(24));
  EXPECT_EQ(DelayMs(24), 24);
  delay_.Arrived(At(25));
  EXPECT_EQ(DelayMs(25), 5);
  // Of none that was sent.
  delay_.Arrived(At(26));
  EXPECT_EQ(DelayMs(26), 5);
}

TEST_F(QueueDelayTest, OneThatIsLostSaysNothing) {
  Probe(0, 10);
  delay_.Sent(At(20));
  delay_.Lost(At(20));
  EXPECT_EQ(DelayMs(1000), 10);
}

// Twice as many calls come as can be answered: the queue grows by a second in a
// second.
TEST_F(QueueDelayTest, SeesAnOverloadWithinAFifthOfASecond) {
  std::vector<std::pair<int, int>> turns;
  for (int now = -200; now <= 200; ++now) {
    if (now % 20 == 0) {
      delay_.Sent(At(1000 + now));
      turns.emplace_back(now, now + std::max(now, 0));
    }
    for (const auto& [sent, turn] : turns) {
      if (turn == now) delay_.Arrived(At(1000 + now));
    }
  }
  EXPECT_GE(DelayMs(1200), 50);
}

}  // namespace
}  // namespace tensord
