#include "server/rpc/read_ahead.h"

#include <gtest/gtest.h>

#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace tensord {
namespace {

TEST(ReadAheadTest, ReadsOneWhileAnotherIsProcessed) {
  ReadAhead<int> messages;
  auto first = messages.Start();
  ASSERT_NE(first.read, nullptr);
  auto steps = messages.OnRead(true);
  EXPECT_EQ(steps.process, first.read);
  ASSERT_NE(steps.read, nullptr);
  EXPECT_NE(steps.read, first.read);
  // Both are taken: nothing to do for whoever brought the second.
  int* const second = steps.read;
  steps = messages.OnRead(true);
  EXPECT_EQ(steps.read, nullptr);
  EXPECT_EQ(steps.process, nullptr);
  steps = messages.OnProcessed();
  EXPECT_EQ(steps.read, first.read);
  EXPECT_EQ(steps.process, second);
}

TEST(ReadAheadTest, EndsOnceAfterTheLastMessage) {
  ReadAhead<int> messages;
  messages.Start();
  messages.OnRead(true);
  auto steps = messages.OnRead(false);
  EXPECT_FALSE(steps.ended);
  EXPECT_EQ(steps.read, nullptr);
  steps = messages.OnProcessed();
  EXPECT_TRUE(steps.ended);
  EXPECT_EQ(steps.read, nullptr);
  EXPECT_EQ(steps.process, nullptr);
}

TEST(ReadAheadTest, EndsAtOnceWithoutMessages) {
  ReadAhead<int> messages;
  messages.Start();
  EXPECT_TRUE(messages.OnRead(false).ended);
}

// A transport that completes reads on threads of its own, as gRPC does.
class FakeStream {
 public:
  explicit FakeStream(int count) : count_(count) {}

  void Run() {
    Do(messages_.Start());
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([this] { Poll(); });
    for (std::thread& thread : threads) thread.join();
  }

  // What was processed, in that order.
  std::vector<int> processed;

 private:
  void Do(ReadAhead<int>::Steps steps) {
    for (;;) {
      if (steps.read != nullptr) {
        const std::lock_guard<std::mutex> lock(mutex_);
        EXPECT_FALSE(wanted_.has_value());
        wanted_ = steps.read;
      }
      if (steps.ended) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ended_ = true;
      }
      if (steps.process == nullptr) return;
      processed.push_back(*steps.process);
      steps = messages_.OnProcessed();
    }
  }

  void Poll() {
    for (;;) {
      bool ok = false;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (ended_) return;
        if (!wanted_.has_value()) continue;
        ok = next_ < count_;
        if (ok) **wanted_ = next_++;
        wanted_.reset();
      }
      Do(messages_.OnRead(ok));
    }
  }

  const int count_;
  ReadAhead<int> messages_;
  std::mutex mutex_;
  std::optional<int*> wanted_;
  int next_ = 0;
  bool ended_ = false;
};

TEST(ReadAheadTest, KeepsTheOrderWhateverThreadsDo) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    FakeStream stream(500);
    stream.Run();
    ASSERT_EQ(stream.processed.size(), 500U);
    for (int i = 0; i < 500; ++i) {
      EXPECT_EQ(stream.processed[static_cast<std::size_t>(i)], i);
    }
  }
}

TEST(ReadAheadTest, IsTakenOverOnlyWhileItWaitsForMessages) {
  ReadAhead<int> messages;
  const auto first = messages.Start();
  // Nothing came yet: it waits.
  ReadAhead<int> idle;
  idle.Start();
  EXPECT_TRUE(idle.TakeOver());
  EXPECT_FALSE(idle.TakeOver());
  const auto none = idle.OnRead(true);
  EXPECT_EQ(none.read, nullptr);
  EXPECT_EQ(none.process, nullptr);
  EXPECT_FALSE(none.ended);

  ASSERT_NE(first.read, nullptr);
  ASSERT_NE(messages.OnRead(true).process, nullptr);
  EXPECT_FALSE(messages.TakeOver());
  messages.OnProcessed();
  EXPECT_TRUE(messages.TakeOver());
  EXPECT_FALSE(messages.OnRead(false).ended);
}

TEST(ReadAheadTest, IsNotTakenOverOnceItHasEnded) {
  ReadAhead<int> messages;
  messages.Start();
  EXPECT_TRUE(messages.OnRead(false).ended);
  EXPECT_FALSE(messages.TakeOver());
}

}  // namespace
}  // namespace tensord
