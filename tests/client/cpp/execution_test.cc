#include "client/cpp/src/execution.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <future>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "core/error.h"

namespace tensord::client {
namespace {

// On a thread that waits, and in the background.
class ExecutionTest : public ::testing::TestWithParam<bool> {
 protected:
  absl::Status Run(Task<absl::Status> task) {
    if (GetParam()) return Wait(execution_, std::move(task));
    std::promise<absl::Status> promise;
    Start(std::move(task),
          [&](absl::Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  }

  EventQueue own_queue_;
  CallGroup group_;
  const Execution execution_{
      .queue = GetParam() ? &own_queue_ : &BackgroundQueue(),
      .owns_thread = GetParam(),
      .group = &group_};
};

INSTANTIATE_TEST_SUITE_P(Both, ExecutionTest, ::testing::Bool(),
                         [](const auto& mode) {
                           return mode.param ? "Waiting" : "Background";
                         });

Task<absl::Status> Throw(bool out_of_memory) {
  if (out_of_memory) throw std::bad_alloc();
  throw std::runtime_error("x");
  co_return absl::OkStatus();
}

TEST_P(ExecutionTest, LetsNoExceptionPass) {
  EXPECT_EQ(GetErrorReason(Run(Throw(true))), reason::kMemoryExhausted);
  EXPECT_EQ(Run(Throw(false)).code(), absl::StatusCode::kInternal);
}

Task<absl::Status> Rest(const Execution& execution, absl::Duration time) {
  co_await Pause(execution, time);
  co_return absl::OkStatus();
}

TEST_P(ExecutionTest, Pauses) {
  const absl::Time start = absl::Now();
  EXPECT_TRUE(Run(Rest(execution_, absl::Milliseconds(20))).ok());
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(15));
  EXPECT_TRUE(Run(Rest(execution_, absl::ZeroDuration())).ok());
}

TEST_P(ExecutionTest, EndsPausesThatAreGivenUp) {
  std::thread giving_up([&] {
    absl::SleepFor(absl::Milliseconds(10));
    group_.Cancel();
  });
  EXPECT_TRUE(Run(Rest(execution_, absl::Hours(1))).ok());
  giving_up.join();
  EXPECT_TRUE(Run(Rest(execution_, absl::Hours(1))).ok());
}

Task<absl::Status> AskBlocking(const Execution& execution, bool throws,
                               std::thread::id* before, std::thread::id* during,
                               std::thread::id* after) {
  // Where the task goes on after it has waited for something.
  co_await Pause(execution, absl::ZeroDuration());
  *before = std::this_thread::get_id();
  absl::Status status = co_await RunBlocking(execution, [=] {
    *during = std::this_thread::get_id();
    if (throws) throw std::bad_alloc();
    return absl::NotFoundError("a result");
  });
  *after = std::this_thread::get_id();
  co_return status;
}

TEST_P(ExecutionTest, BlocksNoThreadOfOthers) {
  std::thread::id before;
  std::thread::id during;
  std::thread::id after;
  EXPECT_EQ(Run(AskBlocking(execution_, false, &before, &during, &after)),
            absl::NotFoundError("a result"));
  const bool waits = GetParam();
  EXPECT_EQ(during == before, waits);
  EXPECT_EQ(during == after, waits);
  EXPECT_EQ(GetErrorReason(
                Run(AskBlocking(execution_, true, &before, &during, &after))),
            reason::kMemoryExhausted);
}

TEST_P(ExecutionTest, DoesAllInParallelOnce) {
  for (const std::size_t count : {0U, 1U, 2U, 16U}) {
    std::array<std::atomic<int>, 16> done = {};
    const auto work = [&](const Execution& part,
                          std::size_t i) -> Task<absl::Status> {
      co_await Pause(part, absl::Milliseconds(i % 3));
      ++done[i];
      co_return absl::OkStatus();
    };
    EXPECT_TRUE(Run(InParallel(execution_, count, work)).ok());
    for (std::size_t i = 0; i < done.size(); ++i) {
      EXPECT_EQ(done[i], i < count ? 1 : 0);
    }
  }
}

TEST_P(ExecutionTest, GivesTheRestUpAfterTheFirstError) {
  std::atomic<int> done = 0;
  const auto work = [&](const Execution& part,
                        std::size_t i) -> Task<absl::Status> {
    if (i == 2) {
      co_await Pause(part, absl::Milliseconds(10));
      ++done;
      co_return absl::AbortedError("first");
    }
    co_await Pause(part, absl::Hours(1));
    ++done;
    co_return absl::UnknownError("later");
  };
  EXPECT_EQ(Run(InParallel(execution_, 4, work)), absl::AbortedError("first"));
  EXPECT_EQ(done, 4);
  EXPECT_FALSE(group_.is_cancelled());
}

TEST_P(ExecutionTest, LetsNoExceptionOfAPartPass) {
  const auto work = [&](const Execution&, std::size_t i) -> Task<absl::Status> {
    if (i == 0) co_return absl::OkStatus();
    co_return co_await Throw(/*out_of_memory=*/true);
  };
  EXPECT_EQ(GetErrorReason(Run(InParallel(execution_, 2, work))),
            reason::kMemoryExhausted);
}

// Pauses that end at any time, on all threads at once.
TEST_P(ExecutionTest, GivesUpAtAnyTime) {
  for (int round = 0; round < 200; ++round) {
    CallGroup group(&group_);
    Execution execution = execution_;
    execution.group = &group;
    std::thread giving_up([&group, round] {
      absl::SleepFor(absl::Microseconds(round));
      group.Cancel();
    });
    const auto work = [&](const Execution& part,
                          std::size_t i) -> Task<absl::Status> {
      co_await Pause(part, absl::Microseconds(50 * i));
      co_return absl::OkStatus();
    };
    EXPECT_TRUE(Run(InParallel(execution, 4, work)).ok());
    giving_up.join();
  }
}

}  // namespace
}  // namespace tensord::client
