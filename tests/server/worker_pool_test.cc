#include "server/worker_pool.h"

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tensord {
namespace {

TEST(WorkerPoolTest, CallsEveryIndexOnce) {
  WorkerPool pool(3);
  for (const std::size_t count : {0, 1, 2, 3, 4, 1000}) {
    std::vector<std::atomic<int>> calls(count);
    pool.Run(count, [&](std::size_t i) { ++calls[i]; });
    for (const std::atomic<int>& call : calls) EXPECT_EQ(call, 1);
  }
}

TEST(WorkerPoolTest, WorksInSeveralThreads) {
  WorkerPool pool(1);
  std::atomic<int> inside = 0;
  // Either body waits for the other.
  pool.Run(2, [&](std::size_t /*i*/) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 2);
}

TEST(WorkerPoolTest, BodiesMayShareWorkThemselves) {
  WorkerPool pool(2);
  std::atomic<int> calls = 0;
  pool.Run(8, [&](std::size_t /*i*/) {
    pool.Run(8, [&](std::size_t /*j*/) { ++calls; });
  });
  EXPECT_EQ(calls, 64);
}

TEST(WorkerPoolTest, ServesSeveralCallers) {
  WorkerPool pool(2);
  std::atomic<int> calls = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        pool.Run(10, [&](std::size_t /*i*/) { ++calls; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(calls, 2000);
}

}  // namespace
}  // namespace tensord
