#include "core/memory/buffer.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace tensord {
namespace {

TEST(BufferTest, TellsWhatItWasMadeOf) {
  std::array<std::byte, 8> memory;
  const Device device{DeviceType::kCuda, 3};
  const Buffer buffer(device, memory.data(), memory.size(), nullptr);
  EXPECT_EQ(buffer.device(), device);
  EXPECT_EQ(buffer.data(), memory.data());
  EXPECT_EQ(buffer.size_bytes(), memory.size());
}

TEST(BufferTest, DropsItsOwnerWithItself) {
  auto owner = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = owner;
  std::byte memory{};
  auto buffer =
      std::make_shared<const Buffer>(kCpuDevice, &memory, 1, std::move(owner));
  std::shared_ptr<const Buffer> second = buffer;
  buffer.reset();
  EXPECT_FALSE(watched.expired());
  second.reset();
  EXPECT_TRUE(watched.expired());
}

TEST(BufferTest, GivesEveryBufferAnIdOfItsOwn) {
  constexpr int kThreads = 4;
  constexpr int kBuffers = 500;
  std::array<std::vector<std::uint64_t>, kThreads> ids;
  {
    std::vector<std::jthread> threads;
    for (auto& mine : ids) {
      threads.emplace_back([&mine] {
        std::byte memory{};
        for (int i = 0; i < kBuffers; ++i) {
          mine.push_back(Buffer(kCpuDevice, &memory, 1, nullptr).id());
        }
      });
    }
  }
  std::set<std::uint64_t> all;
  for (const auto& mine : ids) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), kThreads * kBuffers);
}

}  // namespace
}  // namespace tensord
