// How long a store of many tensors keeps a caller waiting: on the average, and
// at worst.
//
// store_pauses [TENSORS]
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/store/tensor_store.h"
#include "tests/bench/support.h"

namespace tensord::bench {
namespace {

constexpr int kDefaultTensors = 1'000'000;

class Waits {
 public:
  template <typename Call>
  void Add(const Call& call) {
    const Timer timer;
    call();
    const double seconds = timer.Seconds();
    sum_ += seconds;
    longest_ = std::max(longest_, seconds);
    ++count_;
  }

  void Print(const char* name) const {
    std::printf("%-20s %8lld  mean %7.2f us  longest %8.2f ms\n", name,
                static_cast<long long>(count_),
                sum_ * 1e6 / static_cast<double>(count_), longest_ * 1e3);
  }

 private:
  std::int64_t count_ = 0;
  double sum_ = 0;
  double longest_ = 0;
};

Tensor OneElement() {
  static std::byte memory[4];
  return Tensor(DType::kFloat32, DenseLayout({1}),
                std::make_shared<const Buffer>(kCpuDevice, memory,
                                               sizeof memory, nullptr));
}

void Measure(int count) {
  std::atomic<absl::Time> now = absl::UnixEpoch();
  TensorStore store({.clock = [&] { return now.load(); },
                     .max_tensors = std::int64_t{count} + 1});
  std::vector<std::string> ids;
  ids.reserve(count);
  for (int i = 0; i < count; ++i) {
    ids.push_back(absl::StrCat("datasets/train/shard-", i % 512, "/", i));
  }
  Waits creates;
  const auto create = [&](const std::string& id, const Lifetime& lifetime) {
    auto claim = store.ClaimId(id);
    Check(claim.ok(), "an id is taken");
    Check((*std::move(claim)).Commit(OneElement(), lifetime).ok(),
          "a tensor is not stored");
  };
  for (const std::string& id : ids) {
    creates.Add([&] { create(id, {.ttl = absl::Hours(1)}); });
  }
  creates.Print("create");

  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(1));
  Waits reads;
  for (const std::string& id : ids) {
    reads.Add([&] { Check(store.Get(id).ok(), "a tensor is gone"); });
  }
  reads.Print("get");

  create("kept", {});
  now = absl::UnixEpoch() + absl::Hours(2);
  std::atomic<bool> is_over = false;
  Waits sweep;
  std::thread sweeper([&] {
    sweep.Add([&] {
      Check(store.Sweep() == ids.size(), "not all that has expired is swept");
    });
    is_over = true;
  });
  Waits reads_beside;
  while (!is_over) {
    reads_beside.Add([&] { Check(store.Get("kept").ok(), "it is gone"); });
  }
  sweeper.join();
  sweep.Print("sweep of all");
  reads_beside.Print("get meanwhile");
}

}  // namespace
}  // namespace tensord::bench

int main(int argc, char** argv) {
  tensord::bench::Measure(argc > 1 ? std::atoi(argv[1])
                                   : tensord::bench::kDefaultTensors);
}
