// Google Benchmark of every cast, beside memcpy of as many bytes:
//
//   packed/FROM/TO/POLICY/COUNT   CastPacked
//   swapped/FROM/TO/COUNT         the same from the other byte order
//   memcpy/BYTES                  that reads and writes BYTES each
//
// Memory is in huge pages where the system gives them, and touched before.
// Rates are of bytes read plus written. --benchmark_filter chooses;
// --benchmark_enable_random_interleaving with --benchmark_repetitions lets a
// slow moment of the machine hit all alike.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/cast/cast.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"

namespace tensord {
namespace {

constexpr std::size_t kMaxItemSize = 16;

// Elements that stay in the first two levels of cache, and that do not.
constexpr std::size_t kCounts[] = {std::size_t{32} << 10,
                                   std::size_t{64} << 20};

// Grows to what the benchmarks that were chosen need.
class Memory {
 public:
  std::byte* Get(std::size_t bytes) {
    if (bytes > bytes_) Grow(bytes);
    return data_;
  }

 private:
  void Grow(std::size_t bytes) {
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    std::free(data_);
    bytes_ = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    data_ = static_cast<std::byte*>(std::aligned_alloc(kHugePage, bytes_));
    if (data_ == nullptr) throw std::bad_alloc();
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes_);
  }

  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

Memory source;
Memory target;

// Numbers from 0 to 99, which every dtype holds.
std::byte* Numbers(DType dtype, std::size_t count) {
  std::byte* const elements = source.Get(count * ItemSize(dtype));
  std::uint8_t block[4096];
  std::uint32_t state = 1;
  for (std::uint8_t& number : block) {
    state = state * 1664525 + 1013904223;
    number = static_cast<std::uint8_t>((state >> 16) % 100);
  }
  for (std::size_t i = 0; i < count; i += sizeof(block)) {
    CastPacked(DType::kUInt8, reinterpret_cast<const std::byte*>(block), dtype,
               elements + i * ItemSize(dtype),
               std::min(sizeof(block), count - i), Overflow::kTorch, nullptr);
  }
  return elements;
}

void SetRate(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) *
                          state.iterations());
}

void Packed(benchmark::State& state, DType from, DType to, Overflow overflow,
            std::size_t count) {
  const std::byte* const src = Numbers(from, count);
  std::byte* const dst = target.Get(count * ItemSize(to));
  CastFailures failures;
  for ([[maybe_unused]] auto _ : state) {
    CastPacked(from, src, to, dst, count, overflow, &failures);
    benchmark::ClobberMemory();
  }
  SetRate(state, count * (ItemSize(from) + ItemSize(to)));
}

void Swapped(benchmark::State& state, DType from, DType to, std::size_t count) {
  const std::byte* const src = Numbers(from, count);
  std::byte* const dst = target.Get(count * ItemSize(to));
  const PackedCast cast(from, ByteOrder::kBig, to, ByteOrder::kLittle,
                        Overflow::kTorch);
  const bool streamed = count * ItemSize(to) >= kMinStreamedBytes;
  for ([[maybe_unused]] auto _ : state) {
    cast.Run(src, dst, count, streamed, nullptr);
    if (streamed) FinishStreaming();
    benchmark::ClobberMemory();
  }
  SetRate(state, count * (ItemSize(from) + ItemSize(to)));
}

void Memcpy(benchmark::State& state, std::size_t bytes) {
  const std::byte* const src = source.Get(bytes);
  std::byte* const dst = target.Get(bytes);
  for ([[maybe_unused]] auto _ : state) {
    std::memcpy(dst, src, bytes);
    benchmark::ClobberMemory();
  }
  SetRate(state, 2 * bytes);
}

void RegisterCasts(DType from, DType to, std::size_t count) {
  const std::string pair =
      absl::StrCat(std::string(Name(from)), "/", std::string(Name(to)), "/");
  for (const auto& [overflow, policy] :
       {std::pair(Overflow::kTorch, "torch"),
        std::pair(Overflow::kSaturate, "saturate"),
        std::pair(Overflow::kError, "error")}) {
    benchmark::RegisterBenchmark(
        absl::StrCat("packed/", pair, policy, "/", count).c_str(), Packed, from,
        to, overflow, count);
  }
  if (SwapUnit(from) > 1) {
    benchmark::RegisterBenchmark(absl::StrCat("swapped/", pair, count).c_str(),
                                 Swapped, from, to, count);
  }
}

void RegisterAll() {
  std::set<std::size_t> totals;
  for (const std::size_t count : kCounts) {
    for (const DType from : AllDTypes()) {
      for (const DType to : AllDTypes()) {
        RegisterCasts(from, to, count);
        totals.insert(count * (ItemSize(from) + ItemSize(to)));
      }
    }
  }
  for (const std::size_t total : totals) {
    benchmark::RegisterBenchmark(absl::StrCat("memcpy/", total / 2).c_str(),
                                 Memcpy, total / 2);
  }
}

}  // namespace
}  // namespace tensord

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  tensord::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
