#include "core/memory/freed_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "absl/base/config.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tensord {
namespace {

constexpr std::size_t kMebibyte = std::size_t{1} << 20;

// Of pages that this thread touched for the first time.
long PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

// Those of allocating, filling and freeing a block.
long FaultsOfABlock(std::size_t size_bytes) {
  const long before = PageFaults();
  void* const block = std::malloc(size_bytes);
  std::memset(block, 1, size_bytes);
  // Keeps the calls from being left out.
  asm volatile("" : : "r"(block) : "memory");
  std::free(block);
  return PageFaults() - before;
}

class FreedMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || \
    defined(ABSL_HAVE_THREAD_SANITIZER) || !defined(__GLIBC__)
    GTEST_SKIP() << "the allocator is not glibc's";
#endif
    KeepFreedMemory(kClientFreedBytes);
  }
};

TEST_F(FreedMemoryTest, IsUsedAgainByTheMainThread) {
  FaultsOfABlock(24 * kMebibyte);
  EXPECT_LT(FaultsOfABlock(24 * kMebibyte), 100);
}

TEST_F(FreedMemoryTest, IsUsedAgainByAnotherThread) {
  // Larger than any block before: glibc by itself would map it.
  std::thread([] {
    FaultsOfABlock(28 * kMebibyte);
    EXPECT_LT(FaultsOfABlock(28 * kMebibyte), 100);
  }).join();
}

TEST_F(FreedMemoryTest, GoesBackBeyondTheMost) {
  constexpr int kBlocks = 8;
  void* blocks[kBlocks];
  for (void*& block : blocks) {
    block = std::malloc(24 * kMebibyte);
    std::memset(block, 1, 24 * kMebibyte);
  }
  for (void* const block : blocks) std::free(block);
  long faults = 0;
  for (void*& block : blocks) {
    const long before = PageFaults();
    block = std::malloc(24 * kMebibyte);
    std::memset(block, 1, 24 * kMebibyte);
    faults += PageFaults() - before;
  }
  for (void* const block : blocks) std::free(block);
  EXPECT_GT(faults, 1000);
}

#ifdef __GLIBC__
// How many heaps there are.
int Heaps() {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* const file = open_memstream(&text, &size);
  malloc_info(0, file);
  std::fclose(file);
  int heaps = 0;
  for (const char* at = text; (at = std::strstr(at, "<heap nr=")) != nullptr;
       ++at) {
    ++heaps;
  }
  std::free(text);
  return heaps;
}

// Those of some threads that allocate at the same time.
int HeapsOfThreads(int count) {
  std::barrier barrier(count + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      FaultsOfABlock(1000);
      barrier.arrive_and_wait();
      barrier.arrive_and_wait();
    });
  }
  barrier.arrive_and_wait();
  const int heaps = Heaps();
  barrier.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
  return heaps;
}

TEST_F(FreedMemoryTest, HeapsAreAsFewAsTheyMayBe) {
  // Other tests have made two at most.
  EXPECT_EXIT(
      {
        LimitHeaps(3);
        std::_Exit(HeapsOfThreads(8));
      },
      testing::ExitedWithCode(3), "");
}
#endif

}  // namespace
}  // namespace tensord
