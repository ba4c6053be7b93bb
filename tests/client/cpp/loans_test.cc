#include "client/cpp/src/loans.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

namespace tensord::client {
namespace {

using std::chrono::milliseconds;

TEST(LoansTest, LendsWithoutCopying) {
  const std::array<std::byte, 3> memory = {};
  Loans loans;
  const grpc::Slice slice = loans.Lend(memory.data(), memory.size());
  EXPECT_EQ(static_cast<const void*>(slice.begin()), memory.data());
  EXPECT_EQ(slice.size(), memory.size());
  EXPECT_EQ(loans.outstanding(), 1);
  std::optional<grpc::Slice> copy(slice);
  EXPECT_EQ(loans.outstanding(), 1);
}

TEST(LoansTest, TellsWhatCameBack) {
  const std::array<std::byte, 3> memory = {};
  std::atomic<bool> lent = false;
  Loans loans;
  std::optional<grpc::Slice> slice(loans.Lend(memory.data(), 3, &lent));
  std::optional<grpc::Slice> copy(*slice);
  EXPECT_TRUE(lent);
  slice.reset();
  EXPECT_TRUE(lent);
  copy.reset();
  EXPECT_FALSE(lent);
  EXPECT_EQ(loans.outstanding(), 0);
}

TEST(LoansTest, WaitsForOtherThreads) {
  const std::array<std::byte, 64> memory = {};
  std::atomic<int> returned = 0;
  std::thread thread;
  {
    Loans loans;
    std::vector<grpc::Slice> slices;
    for (const std::byte& byte : memory) slices.push_back(loans.Lend(&byte, 1));
    thread = std::thread([&returned, held = std::move(slices)]() mutable {
      while (!held.empty()) {
        std::this_thread::sleep_for(milliseconds(1));
        ++returned;
        held.pop_back();
      }
    });
  }
  EXPECT_EQ(returned, 64);
  thread.join();
}

}  // namespace
}  // namespace tensord::client
