#include "core/store/id_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

namespace {
thread_local std::size_t largest_allocation = 0;
}  // namespace

// Not inlined, as GCC takes one of a pair that is for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  if (void* const memory = std::malloc(std::max<std::size_t>(size, 1))) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace tensord {
namespace {

std::vector<std::string> MakeIds(int count) {
  std::vector<std::string> ids;
  ids.reserve(count);
  for (int i = 0; i < count; ++i) ids.push_back(absl::StrCat("set/", i));
  return ids;
}

TEST(IdIndexTest, IsEmptyAtFirst) {
  IdIndex<int> index;
  EXPECT_FALSE(index.Contains("a"));
  EXPECT_EQ(index.Find("a"), nullptr);
  index.Erase("a");
  EXPECT_FALSE(index.Contains(""));
}

TEST(IdIndexTest, DoesAsAMapDoes) {
  const std::vector<std::string> ids = MakeIds(3000);
  IdIndex<int> index;
  std::map<std::string_view, int> map;
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const std::string& id = ids[random() % ids.size()];
    ASSERT_EQ(index.Contains(id), map.contains(id));
    // More comes than goes, so that tables grow.
    if (map.contains(id) && random() % 3 == 0) {
      index.Erase(id);
      map.erase(id);
    } else if (!map.contains(id)) {
      index.Insert(id, i);
      map.emplace(id, i);
    }
    const std::string& other = ids[random() % ids.size()];
    const int* const found = index.Find(other);
    ASSERT_EQ(found != nullptr, map.contains(other));
    if (found != nullptr) {
      ASSERT_EQ(*found, map.at(other));
    }
  }
}

// Whoever needs much memory moves much into it.
TEST(IdIndexTest, GrowsByLittleAtATime) {
  constexpr int kIds = 200'000;
  const std::vector<std::string> ids = MakeIds(kIds);
  IdIndex<int> index;
  largest_allocation = 0;
  for (int i = 0; i < kIds; ++i) index.Insert(ids[i], i);
  EXPECT_LT(largest_allocation, kIds * sizeof(void*) / 32);
  for (int i = 0; i < kIds; ++i) ASSERT_EQ(*index.Find(ids[i]), i);
}

}  // namespace
}  // namespace tensord
