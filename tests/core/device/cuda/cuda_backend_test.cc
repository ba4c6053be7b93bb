#include "core/device/cuda/cuda_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/cast/cast.h"
#include "core/device/cuda/staging_pool.h"
#include "core/error.h"
#include "tests/conformance/device_conformance.h"
#include "tests/core/device/cuda/fake_cuda_runtime.h"

namespace tensord {
namespace {

using ::tensord::testing::FakeCudaMachine;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kSlot = StagingPool::kSlotBytes;
// Slots, with what is behind the data, that page-locked memory has room for.
constexpr std::size_t kFewSlots = 2 * (kSlot + kSlot / 8);

std::unique_ptr<DeviceBackend> NewBackend(
    const std::shared_ptr<FakeCudaMachine>& machine, int index = 0) {
  auto backend = NewCudaBackend(machine->NewDevice(index));
  EXPECT_TRUE(backend.ok()) << backend.status();
  return backend.ok() ? *std::move(backend) : nullptr;
}

INSTANTIATE_TEST_SUITE_P(StandIn, DeviceConformanceTest,
                         ::testing::Values(BackendFactory([] {
                           return NewBackend(FakeCudaMachine::Make());
                         })));

INSTANTIATE_TEST_SUITE_P(ShortOfPageLockedMemory, DeviceConformanceTest,
                         ::testing::Values(BackendFactory([] {
                           return NewBackend(FakeCudaMachine::Make(
                               {.pinned_memory_bytes = kFewSlots}));
                         })));

class CudaBackendTest : public ::testing::Test {
 protected:
  using Bytes = std::vector<std::byte>;

  static Bytes RandomBytes(std::size_t size) {
    std::mt19937_64 random{size};
    Bytes bytes(size);
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
      const std::uint64_t word = random();
      std::memcpy(bytes.data() + i, &word, 8);
    }
    return bytes;
  }

  static Bytes Cast(DType from, const Bytes& source, DType to,
                    Overflow overflow = Overflow::kTorch) {
    const std::size_t count = source.size() / ItemSize(from);
    Bytes result(count * ItemSize(to));
    CastFailures failures;
    CastPacked(from, source.data(), to, result.data(), count, overflow,
               &failures);
    return result;
  }

  // What is stored of a source that arrives in one piece.
  std::shared_ptr<const Buffer> Upload(const Bytes& source,
                                       const CastStream::Options& conversion) {
    const std::size_t count = source.size() / ItemSize(conversion.from);
    std::shared_ptr<Buffer> buffer =
        *backend_->Allocate(count * ItemSize(conversion.to));
    const auto writer = backend_->NewWriter(buffer, 0, conversion);
    EXPECT_TRUE(writer->Write(source).ok());
    CastFailures failures;
    EXPECT_TRUE(writer->Finish(&failures).ok());
    return buffer;
  }

  std::shared_ptr<const Buffer> Store(const Bytes& bytes) {
    return Upload(bytes, {.from = DType::kUInt8, .to = DType::kUInt8});
  }

  Bytes Read(const BufferView& source, DType to) {
    const std::int64_t count = ElementCount(source.layout.shape);
    Bytes result(static_cast<std::size_t>(count) * ItemSize(to));
    const absl::Status status =
        backend_->ReadToHost(source, 0, count, to, ByteOrder::kLittle,
                             Overflow::kTorch, result.data(), nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return result;
  }

  Bytes Load(std::shared_ptr<const Buffer> buffer, DType dtype, DType to) {
    const auto count =
        static_cast<std::int64_t>(buffer->size_bytes() / ItemSize(dtype));
    return Read({std::move(buffer), dtype, DenseLayout({count})}, to);
  }

  std::shared_ptr<FakeCudaMachine> machine_ = FakeCudaMachine::Make();
  std::unique_ptr<DeviceBackend> backend_ = NewBackend(machine_);
};

TEST_F(CudaBackendTest, SaysWhatItIs) {
  EXPECT_EQ(backend_->device(), (Device{DeviceType::kCuda, 0}));
  EXPECT_EQ(backend_->description(), "Stand-in");
  EXPECT_EQ(backend_->memory_bytes(), std::size_t{1} << 30);
  EXPECT_EQ(NewBackend(machine_, 3)->device().index, 3);
}

// ---- What goes over the link ------------------------------------------------

TEST_F(CudaBackendTest, TheHostNarrowsWhatItSends) {
  const Bytes source = RandomBytes(400'000);
  const auto buffer =
      Upload(source, {.from = DType::kFloat32, .to = DType::kBFloat16});
  EXPECT_EQ(machine_->traffic().to_device, 200'000U);
  EXPECT_EQ(Load(buffer, DType::kBFloat16, DType::kBFloat16),
            Cast(DType::kFloat32, source, DType::kBFloat16));
}

TEST_F(CudaBackendTest, TheDeviceWidensWhatItGets) {
  const Bytes source = RandomBytes(100'000);
  const auto buffer =
      Upload(source, {.from = DType::kUInt8, .to = DType::kFloat32});
  EXPECT_EQ(machine_->traffic().to_device, 100'000U);
  EXPECT_EQ(Load(buffer, DType::kFloat32, DType::kFloat32),
            Cast(DType::kUInt8, source, DType::kFloat32));
}

TEST_F(CudaBackendTest, TheDeviceNarrowsWhatItSends) {
  const Bytes source = RandomBytes(400'000);
  const auto buffer = Store(source);
  EXPECT_EQ(Load(buffer, DType::kFloat32, DType::kFloat16),
            Cast(DType::kFloat32, source, DType::kFloat16));
  EXPECT_EQ(machine_->traffic().to_host, 200'000U);
}

TEST_F(CudaBackendTest, TheHostWidensWhatItGets) {
  const Bytes source = RandomBytes(100'000);
  const auto buffer = Store(source);
  EXPECT_EQ(Load(buffer, DType::kFloat16, DType::kFloat64),
            Cast(DType::kFloat16, source, DType::kFloat64));
  EXPECT_EQ(machine_->traffic().to_host, 100'000U);
}

TEST_F(CudaBackendTest, ReadsOfSlicesMoveOnlyTheSlice) {
  const Bytes source = RandomBytes(80'000);
  const auto buffer = Store(source);
  // Every other of the first thousand, backwards.
  const Layout layout{{500}, {-2}, 998};
  const Bytes read = Read({buffer, DType::kFloat64, layout}, DType::kFloat64);
  EXPECT_EQ(machine_->traffic().to_host, 4000U);
  const Bytes first(source.begin() + 7984, source.begin() + 7992);
  const Bytes last(source.begin(), source.begin() + 8);
  EXPECT_EQ(Bytes(read.begin(), read.begin() + 8), first);
  EXPECT_EQ(Bytes(read.end() - 8, read.end()), last);
}

// ---- Arrays of many slots ---------------------------------------------------

TEST_F(CudaBackendTest, MovesLargeArrays) {
  const Bytes source = RandomBytes(5 * kSlot + 4096 + 8);
  for (const auto& [from, to] : {std::pair(DType::kUInt8, DType::kUInt8),
                                 std::pair(DType::kFloat32, DType::kFloat16),
                                 std::pair(DType::kBFloat16, DType::kFloat32),
                                 std::pair(DType::kInt32, DType::kFloat32)}) {
    const auto buffer = Upload(source, {.from = from, .to = to});
    const Bytes expected = Cast(from, source, to);
    EXPECT_TRUE(Load(buffer, to, to) == expected) << Name(from);
    EXPECT_TRUE(Load(buffer, to, from) == Cast(to, expected, from))
        << Name(from);
  }
}

TEST_F(CudaBackendTest, MovesLargeArraysThatLieApart) {
  constexpr std::int64_t kRows = 3000;
  constexpr std::int64_t kColumns = 2000;
  const Bytes source = RandomBytes(kRows * kColumns * 8);
  const auto buffer = Store(source);
  const Layout transposed{{kColumns, kRows}, {1, kColumns}, 0};
  for (const DType to : {DType::kInt64, DType::kFloat32, DType::kComplex128}) {
    const Bytes read = Read({buffer, DType::kInt64, transposed}, to);
    std::shared_ptr<Buffer> result = *backend_->Allocate(read.size());
    EXPECT_TRUE(backend_
                    ->Cast({buffer, DType::kInt64, transposed}, to,
                           Overflow::kTorch, *result, nullptr, {})
                    .ok());
    Bytes expected(read.size());
    CastStrided(DType::kInt64, source.data(), transposed, 0, kRows * kColumns,
                to, ByteOrder::kLittle, expected.data(), Overflow::kTorch,
                nullptr);
    EXPECT_TRUE(read == expected) << Name(to);
    EXPECT_TRUE(Load(result, to, to) == expected) << Name(to);
  }
}

// Threads of the host share what is much, in whatever order; pieces need not
// end with an element.
TEST_F(CudaBackendTest, SharesTheWorkOfTheHost) {
  std::size_t most_parts = 0;
  backend_ = *NewCudaBackend(
      machine_->NewDevice(0),
      [&](std::size_t count, const std::function<void(std::size_t)>& body) {
        most_parts = std::max(most_parts, count);
        for (std::size_t i = count; i-- > 0;) body(i);
      });
  const Bytes source = RandomBytes(3 * kSlot + 16);
  for (const auto& [from, to] :
       {std::pair(DType::kUInt8, DType::kUInt8),
        std::pair(DType::kFloat64, DType::kFloat16),
        std::pair(DType::kBFloat16, DType::kFloat32)}) {
    std::shared_ptr<Buffer> buffer =
        *backend_->Allocate(source.size() / ItemSize(from) * ItemSize(to));
    const auto writer =
        backend_->NewWriter(buffer, 0, {.from = from, .to = to});
    absl::Span<const std::byte> rest(source);
    for (const std::size_t size : {2 * kSlot / 3 + 5, std::size_t{3}, kSlot}) {
      EXPECT_TRUE(writer->Write(rest.subspan(0, size)).ok());
      rest.remove_prefix(size);
    }
    EXPECT_TRUE(writer->Write(rest).ok());
    EXPECT_TRUE(writer->Finish(nullptr).ok());
    EXPECT_GT(std::exchange(most_parts, 0), 1U) << Name(from);
    const Bytes expected = Cast(from, source, to);
    EXPECT_TRUE(Load(buffer, to, to) == expected) << Name(from);
    EXPECT_GT(std::exchange(most_parts, 0), 1U);
    EXPECT_TRUE(Load(buffer, to, from) == Cast(to, expected, from));
  }
}

// The positions of what does not fit, in whatever slot it is.
TEST_F(CudaBackendTest, CountsFailuresInLargeArrays) {
  constexpr std::int64_t kCount = 3'000'000;
  std::vector<double> values(kCount, 1.0);
  values[1'500'000] = 300.0;
  values[2'999'999] = -1.5;
  Bytes source(kCount * 8);
  std::memcpy(source.data(), values.data(), source.size());
  const auto buffer = Store(source);
  const BufferView view{buffer, DType::kFloat64, DenseLayout({kCount})};
  const BufferView backwards{buffer, DType::kFloat64,
                             Layout{{kCount}, {-1}, kCount - 1}};
  std::shared_ptr<Buffer> result = *backend_->Allocate(kCount);
  Bytes host(kCount);
  for (const bool is_backwards : {false, true}) {
    for (const bool reads : {false, true}) {
      CastFailures failures;
      const BufferView& source_view = is_backwards ? backwards : view;
      const absl::Status status =
          reads ? backend_->ReadToHost(source_view, 0, kCount, DType::kUInt8,
                                       ByteOrder::kLittle, Overflow::kError,
                                       host.data(), &failures)
                : backend_->Cast(source_view, DType::kUInt8, Overflow::kError,
                                 *result, &failures, {});
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(failures.count, 2U);
      EXPECT_EQ(failures.first_index, is_backwards ? 0U : 1'500'000U);
      EXPECT_EQ(failures.first_value, is_backwards ? "-1.5" : "300.0");
    }
  }
}

// ---- Memory -----------------------------------------------------------------

TEST_F(CudaBackendTest, OutOfMemoryIsToldAsPyTorchDoes) {
  const Bytes bytes = RandomBytes(1000);
  const auto kept = Store(bytes);
  const auto refused = backend_->Allocate(std::size_t{1} << 31);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(refused.status()), reason::kDeviceMemoryExhausted);
  EXPECT_THAT(std::string(refused.status().message()),
              StartsWith("CUDA out of memory. Tried to allocate 2.00 GiB. GPU "
                         "0 has a total capacity of 1024.00 MiB of which "));
  EXPECT_TRUE(backend_->health().ok());
  EXPECT_EQ(Load(kept, DType::kUInt8, DType::kUInt8), bytes);
}

TEST_F(CudaBackendTest, WhatIsFreedCanBeTakenAtOnce) {
  constexpr std::size_t kMost = std::size_t{1} << 29;
  auto buffer = backend_->Allocate(kMost);
  ASSERT_TRUE(buffer.ok());
  machine_->Pause();
  buffer->reset();
  std::thread resuming([this] { machine_->Resume(); });
  EXPECT_TRUE(backend_->Allocate(kMost + kMost / 2).ok());
  resuming.join();
}

TEST_F(CudaBackendTest, GivesBackWhatWasNotNeededForAWhile) {
  absl::Time now = absl::UnixEpoch();
  auto made =
      NewCudaBackend(machine_->NewDevice(1), nullptr, [&] { return now; });
  ASSERT_TRUE(made.ok());
  DeviceBackend& backend = **made;
  backend.Trim(absl::ZeroDuration());
  EXPECT_EQ(backend.pool_stats().reserved_bytes, 0U);
  const auto small = *backend.Allocate(1000);
  backend.Allocate(1'000'000)->reset();
  now += absl::Seconds(59);
  backend.Trim(absl::Seconds(60));
  EXPECT_GE(backend.pool_stats().reserved_bytes, 1'001'000U);
  now += absl::Seconds(1);
  backend.Trim(absl::Seconds(60));
  EXPECT_EQ(backend.pool_stats().used_bytes, 1000U);
  EXPECT_EQ(backend.pool_stats().reserved_bytes, 1000U);
}

TEST_F(CudaBackendTest, HasMemoryFromTheStart) {
  EXPECT_GT(backend_->pool_stats().reserved_bytes, 0U);
  EXPECT_EQ(backend_->pool_stats().used_bytes, 0U);
  // A slot each way.
  EXPECT_EQ(backend_->pool_stats().pinned_bytes,
            2 * (kSlot + StagingPool::kRecordBytes));
}

TEST_F(CudaBackendTest, BuffersOutliveTheBackend) {
  const auto buffer = Store(RandomBytes(1000));
  backend_.reset();
  EXPECT_EQ(buffer->size_bytes(), 1000U);
}

// ---- Asynchrony -------------------------------------------------------------

TEST_F(CudaBackendTest, AbandonedWritersLeaveNothingBehind) {
  for (const DType to : {DType::kUInt8, DType::kFloat64}) {
    std::shared_ptr<Buffer> buffer = *backend_->Allocate(ItemSize(to) * kSlot);
    auto writer =
        backend_->NewWriter(buffer, 0, {.from = DType::kUInt8, .to = to});
    machine_->Pause();
    EXPECT_TRUE(writer->Write(RandomBytes(kSlot - 1)).ok());
    EXPECT_TRUE(writer->Flush().ok());
    EXPECT_TRUE(writer->Write(RandomBytes(1)).ok());
    writer.reset();
    buffer.reset();
    machine_->Resume();
  }
  const Bytes bytes = RandomBytes(1000);
  EXPECT_EQ(Load(Store(bytes), DType::kUInt8, DType::kUInt8), bytes);
  EXPECT_TRUE(backend_->health().ok());
}

TEST_F(CudaBackendTest, WritersFillWhileTheDeviceWorks) {
  std::shared_ptr<Buffer> buffer = *backend_->Allocate(4 * kSlot);
  const auto writer = backend_->NewWriter(
      buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt8});
  machine_->Pause();
  // More than one piece is on its way, and nobody waits.
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(writer->Write(RandomBytes(kSlot)).ok());
  }
  machine_->Resume();
  EXPECT_TRUE(writer->Finish(nullptr).ok());
  EXPECT_EQ(machine_->traffic().to_device, 4 * kSlot);
}

// Each of more writers than there are slots has written a little, and waits for
// its client; none keeps what another needs.
TEST_F(CudaBackendTest, WritersThatWaitHoldNobodyUp) {
  std::vector<std::pair<std::shared_ptr<Buffer>, std::unique_ptr<BufferWriter>>>
      writers;
  for (int i = 0; i < 40; ++i) {
    std::shared_ptr<Buffer> buffer = *backend_->Allocate(2);
    auto writer = backend_->NewWriter(
        buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt8});
    EXPECT_TRUE(writer->Write(Bytes{std::byte(i)}).ok());
    EXPECT_TRUE(writer->Flush().ok());
    writers.emplace_back(std::move(buffer), std::move(writer));
  }
  for (int i = 0; i < 40; ++i) {
    auto& [buffer, writer] = writers[static_cast<std::size_t>(i)];
    EXPECT_TRUE(writer->Write(Bytes{std::byte(100)}).ok());
    EXPECT_TRUE(writer->Finish(nullptr).ok());
    EXPECT_EQ(Load(buffer, DType::kUInt8, DType::kUInt8),
              (Bytes{std::byte(i), std::byte(100)}));
  }
}

TEST_F(CudaBackendTest, ServesMoreThreadsThanSlots) {
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 12; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 8; ++i) {
        const Bytes source = RandomBytes(8 * (20'000 * t + 997 * i + 1));
        const auto buffer =
            Upload(source, {.from = DType::kFloat64, .to = DType::kFloat64});
        EXPECT_TRUE(Load(buffer, DType::kFloat64, DType::kFloat64) == source);
        EXPECT_TRUE(Load(buffer, DType::kFloat64, DType::kFloat16) ==
                    Cast(DType::kFloat64, source, DType::kFloat16));
        std::shared_ptr<Buffer> result = *backend_->Allocate(source.size() / 4);
        const auto count = static_cast<std::int64_t>(source.size() / 8);
        CastFailures failures;
        EXPECT_TRUE(
            backend_
                ->Cast(
                    {buffer, DType::kFloat64, Layout{{count}, {-1}, count - 1}},
                    DType::kInt16, Overflow::kError, *result, &failures, {})
                .ok());
        EXPECT_GT(failures.count, 0U);
        Bytes expected(source.size() / 4);
        CastStrided(DType::kFloat64, source.data(),
                    Layout{{count}, {-1}, count - 1}, 0, count, DType::kInt16,
                    ByteOrder::kLittle, expected.data(), Overflow::kTorch,
                    nullptr);
        EXPECT_TRUE(Load(result, DType::kInt16, DType::kInt16) == expected);
      }
    });
  }
}

// ---- Between devices --------------------------------------------------------

class CudaPeerTest : public CudaBackendTest {
 protected:
  std::unique_ptr<DeviceBackend> peer_ = NewBackend(machine_, 1);
};

TEST_F(CudaPeerTest, CastsFromAPeer) {
  const std::vector<Layout> layouts = {
      {{3000}, {1}, 0},    {{1000, 3}, {3, 1}, 0}, {{30, 100}, {1, 30}, 0},
      {{500}, {-6}, 2999}, {{10, 2}, {0, 3}, 7},   {{0, 4}, {4, 1}, 0},
      {{2000}, {1}, 999}};
  std::size_t turn = 0;
  for (const DType from : AllDTypes()) {
    Bytes source = RandomBytes(3000 * ItemSize(from));
    // As a bool is kept: 0 or 1.
    const auto buffer = Upload(source, {.from = from, .to = from});
    source = Load(buffer, from, from);
    for (const DType to : AllDTypes()) {
      for (const Overflow overflow :
           {Overflow::kTorch, Overflow::kSaturate, Overflow::kError}) {
        const Layout& layout = layouts[turn++ % layouts.size()];
        const std::int64_t count = ElementCount(layout.shape);
        Bytes expected(static_cast<std::size_t>(count) * ItemSize(to));
        CastFailures expected_failures;
        CastStrided(from, source.data(), layout, 0, count, to,
                    ByteOrder::kLittle, expected.data(), overflow,
                    &expected_failures);
        std::shared_ptr<Buffer> result = *peer_->Allocate(expected.size());
        CastFailures failures;
        const absl::Status status =
            peer_->CastFromPeer(*backend_, {buffer, from, layout}, to, overflow,
                                *result, &failures);
        EXPECT_TRUE(status.ok()) << status;
        std::swap(backend_, peer_);
        EXPECT_EQ(Load(result, to, to), expected)
            << Name(from) << " to " << Name(to);
        std::swap(backend_, peer_);
        EXPECT_EQ(failures.count, expected_failures.count);
        EXPECT_EQ(failures.first_index, expected_failures.first_index);
        EXPECT_EQ(failures.first_value, expected_failures.first_value);
      }
    }
  }
}

TEST_F(CudaPeerTest, MovesLargeArraysWithoutTheHost) {
  const Bytes source = RandomBytes(4 * kSlot + 16);
  const auto buffer = Store(source);
  auto before = machine_->traffic();
  for (const DType to :
       {DType::kFloat32, DType::kBFloat16, DType::kFloat64, DType::kInt32}) {
    const auto count = static_cast<std::int64_t>(source.size() / 4);
    std::shared_ptr<Buffer> result =
        *peer_->Allocate(static_cast<std::size_t>(count) * ItemSize(to));
    EXPECT_TRUE(
        peer_
            ->CastFromPeer(*backend_,
                           {buffer, DType::kFloat32, DenseLayout({count})}, to,
                           Overflow::kTorch, *result, nullptr)
            .ok());
    EXPECT_EQ(machine_->traffic().to_host, before.to_host);
    EXPECT_EQ(machine_->traffic().to_device, before.to_device);
    std::swap(backend_, peer_);
    EXPECT_TRUE(Load(result, to, to) == Cast(DType::kFloat32, source, to))
        << Name(to);
    std::swap(backend_, peer_);
    before = machine_->traffic();
  }
  // What it narrows it narrows before it sends it.
  EXPECT_EQ(machine_->traffic().between_devices,
            source.size() * 3 + source.size() / 2);
}

// The wait for a copy fails while the copy is on its way; then its source goes.
TEST_F(CudaPeerTest, NothingIsReadAfterAnError) {
  constexpr std::size_t kSize = 4 * kSlot;
  for (int i = 0; i < 5; ++i) {
    auto source = Store(RandomBytes(kSize));
    const std::shared_ptr<Buffer> result = *peer_->Allocate(kSize);
    machine_->Pause();
    machine_->FailAfter(1, FakeCudaMachine::Fault::kOnce);
    std::jthread resuming([this] {
      absl::SleepFor(absl::Milliseconds(5));
      machine_->Resume();
    });
    EXPECT_FALSE(peer_
                     ->CastFromPeer(*backend_,
                                    {std::exchange(source, nullptr),
                                     DType::kUInt8, DenseLayout({kSize})},
                                    DType::kUInt8, Overflow::kTorch, *result,
                                    nullptr)
                     .ok());
  }
  EXPECT_TRUE(peer_->health().ok());
}

TEST_F(CudaPeerTest, RefusesWhatDoesNotFit) {
  const auto buffer = Store(RandomBytes(9));
  std::shared_ptr<Buffer> result = *peer_->Allocate(8);
  EXPECT_EQ(
      peer_
          ->CastFromPeer(*backend_, {buffer, DType::kUInt8, DenseLayout({9})},
                         DType::kUInt8, Overflow::kTorch, *result, nullptr)
          .code(),
      absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace tensord
