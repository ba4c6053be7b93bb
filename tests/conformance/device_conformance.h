// What every device backend has to do, as one suite.
//
// A backend's test instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Cpu, DeviceConformanceTest,
//                            testing::Values(BackendFactory{...}));
// The rules of casts are not at stake here: what a backend gives is compared,
// bit by bit, with CastPacked on single elements.
#ifndef TENSORD_TESTS_CONFORMANCE_DEVICE_CONFORMANCE_H_
#define TENSORD_TESTS_CONFORMANCE_DEVICE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_comparison.h"
#include "core/cast/conversion_report.h"
#include "core/device/device_backend.h"
#include "core/error.h"

namespace tensord {

using BackendFactory = std::function<std::unique_ptr<DeviceBackend>()>;

class DeviceConformanceTest : public testing::TestWithParam<BackendFactory> {
 protected:
  using Bytes = std::vector<std::byte>;

  static constexpr Overflow kPolicies[] = {
      Overflow::kTorch, Overflow::kSaturate, Overflow::kError};

  // Any bits at all: NaNs of every kind, subnormals, bools of any byte.
  Bytes RandomBytes(std::size_t size) {
    Bytes bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }

  std::shared_ptr<Buffer> Allocate(std::size_t size_bytes) {
    auto buffer = backend_->Allocate(size_bytes);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    return buffer.ok() ? *std::move(buffer) : nullptr;
  }

  // Hands `bytes` to a writer in pieces of random sizes; the verdict.
  absl::Status WriteInPieces(const Bytes& bytes, std::shared_ptr<Buffer> buffer,
                             const CastStream::Options& conversion) {
    const auto writer = backend_->NewWriter(std::move(buffer), 0, conversion);
    absl::Span<const std::byte> rest(bytes);
    while (!rest.empty()) {
      Bytes piece(std::min<std::size_t>(rest.size(), random_() % 40));
      std::copy_n(rest.begin(), piece.size(), piece.begin());
      absl::Status status = writer->Write(piece);
      if (status.ok() && random_() % 8 == 0) status = writer->Flush();
      if (!status.ok()) return status;
      // The writer may not look at a piece again.
      std::fill(piece.begin(), piece.end(), std::byte{0xa5});
      rest.remove_prefix(piece.size());
    }
    CastFailures failures;
    absl::Status status = writer->Finish(&failures);
    return status.ok()
               ? CastFailuresStatus(failures, conversion.from, conversion.to)
               : status;
  }

  // A buffer with these elements, as they are.
  std::shared_ptr<const Buffer> Store(DType dtype, const Bytes& elements) {
    std::shared_ptr<Buffer> buffer = Allocate(elements.size());
    const absl::Status status =
        WriteInPieces(elements, buffer, {.from = dtype, .to = dtype});
    EXPECT_TRUE(status.ok()) << status;
    return buffer;
  }

  // The packed bytes of a buffer.
  Bytes Load(std::shared_ptr<const Buffer> buffer) {
    Bytes bytes(buffer->size_bytes());
    const auto size = static_cast<std::int64_t>(bytes.size());
    const absl::Status status = backend_->ReadToHost(
        {std::move(buffer), DType::kUInt8, DenseLayout({size})}, 0, size,
        DType::kUInt8, ByteOrder::kLittle, Overflow::kTorch, bytes.data(),
        nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return bytes;
  }

  // Casts one element at a time.
  static Bytes Expected(DType from, const Bytes& elements, DType to,
                        Overflow overflow, CastFailures* failures) {
    const std::size_t from_size = ItemSize(from);
    const std::size_t to_size = ItemSize(to);
    const std::size_t count = elements.size() / from_size;
    Bytes result(count * to_size);
    for (std::size_t i = 0; i < count; ++i) {
      CastFailures found;
      CastPacked(from, elements.data() + i * from_size, to,
                 result.data() + i * to_size, 1, overflow, &found);
      failures->Merge(found, i);
    }
    return result;
  }

  static void ExpectSameFailures(const CastFailures& actual,
                                 const CastFailures& expected) {
    EXPECT_EQ(actual.count, expected.count);
    EXPECT_EQ(actual.first_index, expected.first_index);
    EXPECT_EQ(actual.first_value, expected.first_value);
  }

  // The elements of a layout, in C order, found one by one.
  static Bytes Gather(DType dtype, const Bytes& storage, const Layout& layout) {
    const std::size_t item_size = ItemSize(dtype);
    const std::int64_t count = ElementCount(layout.shape);
    Bytes elements;
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = i;
      std::int64_t position = layout.offset;
      for (std::size_t dim = layout.shape.size(); dim-- > 0;) {
        position += rest % layout.shape[dim] * layout.strides[dim];
        rest /= layout.shape[dim];
      }
      const auto begin =
          storage.begin() + position * static_cast<std::int64_t>(item_size);
      elements.insert(elements.end(), begin,
                      begin + static_cast<std::int64_t>(item_size));
    }
    return elements;
  }

  // Views of 60 elements: dense in both orders, cut out, backwards, repeated,
  // empty, a single element.
  static std::vector<Layout> LayoutsOf60() {
    return {
        {{60}, {1}, 0},
        {{3, 4, 5}, {20, 5, 1}, 0},
        {{5, 4, 3}, {1, 5, 20}, 0},
        {{4, 3, 5}, {5, 20, 1}, 0},
        {{3, 2, 2}, {20, 10, 3}, 1},
        {{30}, {-2}, 59},
        {{3, 5}, {-20, -1}, 59},
        {{7, 3}, {0, 2}, 9},
        {{2, 0, 3}, {1, 1, 1}, 0},
        {{}, {}, 59},
        {{1, 12, 1}, {100, 5, -7}, 4},
    };
  }

  std::mt19937_64 random_{1};
  std::unique_ptr<DeviceBackend> backend_ = GetParam()();
};

TEST_P(DeviceConformanceTest, DescribesItself) {
  EXPECT_FALSE(backend_->description().empty());
  EXPECT_GT(backend_->memory_bytes(), 0);
  EXPECT_EQ(backend_->may_wait(), backend_->device() != kCpuDevice);
  EXPECT_TRUE(backend_->health().ok());
}

TEST_P(DeviceConformanceTest, TellsOfTheMemoryItUses) {
  const std::size_t used_before = backend_->pool_stats().used_bytes;
  std::shared_ptr<Buffer> buffer = Allocate(3 << 20);
  ASSERT_NE(buffer, nullptr);
  const auto stats = backend_->pool_stats();
  EXPECT_GE(stats.used_bytes, used_before + (3 << 20));
  EXPECT_GE(stats.reserved_bytes, stats.used_bytes);
  buffer.reset();
  EXPECT_EQ(backend_->pool_stats().used_bytes, used_before);
  backend_->Trim(absl::ZeroDuration());
  EXPECT_EQ(backend_->pool_stats().reserved_bytes, used_before);
}

TEST_P(DeviceConformanceTest, AllocatesAlignedBuffersOnItsDevice) {
  std::set<std::uint64_t> ids;
  for (const std::size_t size : {0, 1, 63, 4096, 3 << 20}) {
    const std::shared_ptr<Buffer> buffer = Allocate(size);
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(buffer->device(), backend_->device());
    EXPECT_EQ(buffer->size_bytes(), size);
    ASSERT_NE(buffer->data(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0);
    EXPECT_TRUE(ids.insert(buffer->id()).second);
  }
}

TEST_P(DeviceConformanceTest, RefusesMoreMemoryThanThereIs) {
  const auto buffer = backend_->Allocate(std::size_t{1} << 60);
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(buffer.status()),
            backend_->device() == kCpuDevice ? reason::kMemoryExhausted
                                             : reason::kDeviceMemoryExhausted);
  EXPECT_NE(Allocate(64), nullptr);
}

TEST_P(DeviceConformanceTest, KeepsBuffersApart) {
  std::vector<std::pair<std::shared_ptr<const Buffer>, Bytes>> stored;
  for (const std::size_t size : {1, 64, 65, 1000, 100000}) {
    const Bytes bytes = RandomBytes(size);
    stored.emplace_back(Store(DType::kUInt8, bytes), bytes);
  }
  for (const auto& [buffer, bytes] : stored) EXPECT_EQ(Load(buffer), bytes);
}

TEST_P(DeviceConformanceTest, WritesEveryPairOfDTypes) {
  for (const DType from : AllDTypes()) {
    const Bytes source = RandomBytes(67 * ItemSize(from));
    for (const DType to : AllDTypes()) {
      for (const Overflow overflow : kPolicies) {
        CastFailures failures;
        const Bytes expected = Expected(from, source, to, overflow, &failures);
        const std::shared_ptr<Buffer> buffer = Allocate(expected.size());
        const absl::Status verdict = WriteInPieces(
            source, buffer, {.from = from, .to = to, .overflow = overflow});
        const std::string label =
            std::string(Name(from)) + " to " + std::string(Name(to));
        EXPECT_EQ(verdict, CastFailuresStatus(failures, from, to)) << label;
        EXPECT_EQ(Load(buffer), expected) << label;
      }
    }
  }
}

TEST_P(DeviceConformanceTest, WritersReportOnConversions) {
  for (const DType from : AllDTypes()) {
    const Bytes source = RandomBytes(67 * ItemSize(from));
    for (const DType to : AllDTypes()) {
      CastFailures none;
      const Bytes result =
          Expected(from, source, to, Overflow::kSaturate, &none);
      ConversionReport expected;
      ConversionComparison(from, ByteOrder::kLittle, to, ByteOrder::kLittle)
          .Compare(source.data(), result.data(), 67, &expected);
      const auto writer = backend_->NewWriter(Allocate(result.size()), 0,
                                              {.from = from,
                                               .to = to,
                                               .overflow = Overflow::kSaturate,
                                               .report = true});
      const std::size_t half = source.size() / 2 - 1;
      const absl::Span<const std::byte> bytes(source);
      EXPECT_TRUE(writer->Write(bytes.first(half)).ok());
      EXPECT_TRUE(writer->Write(bytes.subspan(half)).ok());
      EXPECT_TRUE(writer->Finish(nullptr).ok());
      EXPECT_EQ(writer->report(), expected) << Name(from) << " to " << Name(to);
    }
  }
}

TEST_P(DeviceConformanceTest, WritesBigEndianSources) {
  for (const DType dtype : AllDTypes()) {
    Bytes source = RandomBytes(67 * ItemSize(dtype));
    CastFailures none;
    const Bytes expected =
        Expected(dtype, source, DType::kFloat64, Overflow::kTorch, &none);
    SwapBytes(dtype, source.data(), source.data(), 67);
    const std::shared_ptr<Buffer> buffer = Allocate(expected.size());
    const absl::Status verdict = WriteInPieces(
        source, buffer,
        {.from = dtype, .from_order = ByteOrder::kBig, .to = DType::kFloat64});
    EXPECT_TRUE(verdict.ok()) << verdict;
    EXPECT_EQ(Load(buffer), expected) << Name(dtype);
  }
}

TEST_P(DeviceConformanceTest, RefusesToWritePastTheEnd) {
  const Bytes bytes = RandomBytes(8);
  for (const DType to : {DType::kUInt8, DType::kFloat64}) {
    const std::shared_ptr<Buffer> buffer = Allocate(8 * ItemSize(to));
    const auto writer =
        backend_->NewWriter(buffer, 0, {.from = DType::kUInt8, .to = to});
    EXPECT_TRUE(writer->Write(bytes).ok());
    EXPECT_EQ(writer->Write(absl::MakeConstSpan(bytes).first(1)).code(),
              absl::StatusCode::kInternal);
  }
}

TEST_P(DeviceConformanceTest, WritersShareABuffer) {
  constexpr std::int64_t kCount = 301;
  for (const DType from : AllDTypes()) {
    const Bytes source = RandomBytes(kCount * ItemSize(from));
    for (const DType to : {from, DType::kInt8, DType::kFloat64}) {
      CastFailures expected_failures;
      const Bytes expected =
          Expected(from, source, to, Overflow::kError, &expected_failures);
      const std::shared_ptr<Buffer> buffer = Allocate(expected.size());
      const std::int64_t middle =
          1 + static_cast<std::int64_t>(random_() % 300);
      const std::int64_t begins[] = {0, middle, kCount};
      CastFailures failures[2];
      {
        std::vector<std::jthread> threads;
        for (int part = 0; part < 2; ++part) {
          threads.emplace_back([&, part] {
            const auto item = static_cast<std::int64_t>(ItemSize(from));
            const std::int64_t begin = begins[part];
            const auto writer = backend_->NewWriter(
                buffer, begin,
                {.from = from, .to = to, .overflow = Overflow::kError});
            const absl::Span<const std::byte> bytes =
                absl::MakeConstSpan(source).subspan(
                    static_cast<std::size_t>(begin * item),
                    static_cast<std::size_t>((begins[part + 1] - begin) *
                                             item));
            EXPECT_TRUE(writer->Write(bytes).ok());
            EXPECT_TRUE(writer->Finish(&failures[part]).ok());
          });
        }
      }
      failures[0].Merge(failures[1], static_cast<std::uint64_t>(middle));
      const std::string label =
          std::string(Name(from)) + " to " + std::string(Name(to));
      EXPECT_EQ(CastFailuresStatus(failures[0], from, to),
                CastFailuresStatus(expected_failures, from, to))
          << label;
      EXPECT_EQ(Load(buffer), expected) << label;
    }
  }
}

TEST_P(DeviceConformanceTest, ReadsPartsOfAnyLayout) {
  for (const DType from : {DType::kUInt8, DType::kBFloat16, DType::kFloat32,
                           DType::kInt64, DType::kComplex128}) {
    const Bytes storage = RandomBytes(60 * ItemSize(from));
    const auto buffer = Store(from, storage);
    for (const Layout& layout : LayoutsOf60()) {
      const std::int64_t count = ElementCount(layout.shape);
      for (const DType to : {from, DType::kFloat16, DType::kFloat64}) {
        CastFailures none;
        const Bytes whole = Expected(from, Gather(from, storage, layout), to,
                                     Overflow::kTorch, &none);
        const auto item_size = static_cast<std::int64_t>(ItemSize(to));
        const std::int64_t begin =
            static_cast<std::int64_t>(random_() % (count + 1));
        const std::int64_t length =
            static_cast<std::int64_t>(random_() % (count - begin + 1));
        for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
          Bytes expected(whole.begin() + begin * item_size,
                         whole.begin() + (begin + length) * item_size);
          if (order == ByteOrder::kBig) {
            SwapBytes(to, expected.data(), expected.data(), length);
          }
          Bytes actual(expected.size());
          const absl::Status status = backend_->ReadToHost(
              {buffer, from, layout}, begin, length, to, order,
              Overflow::kTorch, actual.data(), nullptr);
          EXPECT_TRUE(status.ok()) << status;
          EXPECT_EQ(actual, expected)
              << Name(from) << " to " << Name(to) << ", shape "
              << ShapeString(layout.shape) << ", strides "
              << ShapeString(layout.strides) << ", from " << begin;
        }
      }
    }
  }
}

TEST_P(DeviceConformanceTest, CountsFailuresFromWhereAReadBegins) {
  Bytes storage = RandomBytes(60 * sizeof(float));
  std::vector<float> values(60, 1.0F);
  values[20] = 300.0F;
  values[40] = -1000.0F;
  std::memcpy(storage.data(), values.data(), storage.size());
  const auto buffer = Store(DType::kFloat32, storage);
  Bytes actual(50);
  CastFailures failures;
  const absl::Status status = backend_->ReadToHost(
      {buffer, DType::kFloat32, DenseLayout({60})}, 10, 50, DType::kUInt8,
      ByteOrder::kLittle, Overflow::kError, actual.data(), &failures);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(failures.count, 2);
  EXPECT_EQ(failures.first_index, 10);
  EXPECT_EQ(failures.first_value, "300.0");
}

TEST_P(DeviceConformanceTest, CastsEveryPairOfDTypesAndAnyLayout) {
  std::size_t turn = 0;
  const std::vector<Layout> layouts = LayoutsOf60();
  for (const DType from : AllDTypes()) {
    const Bytes storage = RandomBytes(60 * ItemSize(from));
    // As a bool is kept: 0 or 1.
    const auto buffer = Store(from, storage);
    for (const DType to : AllDTypes()) {
      for (const Overflow overflow : kPolicies) {
        const Layout& layout = layouts[turn++ % layouts.size()];
        CastFailures expected_failures;
        const Bytes expected = Expected(from, Gather(from, storage, layout), to,
                                        overflow, &expected_failures);
        const std::shared_ptr<Buffer> result = Allocate(expected.size());
        CastFailures failures;
        const absl::Status status = backend_->Cast(
            {buffer, from, layout}, to, overflow, *result, &failures, {});
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(Load(result), expected)
            << Name(from) << " to " << Name(to) << ", shape "
            << ShapeString(layout.shape);
        ExpectSameFailures(failures, expected_failures);
      }
    }
  }
}

TEST_P(DeviceConformanceTest, RefusesToCastPastTheEnd) {
  const auto buffer = Store(DType::kUInt8, RandomBytes(9));
  const std::shared_ptr<Buffer> result = Allocate(8 * 9 - 1);
  EXPECT_EQ(backend_
                ->Cast({buffer, DType::kUInt8, DenseLayout({9})},
                       DType::kFloat64, Overflow::kTorch, *result, nullptr, {})
                .code(),
            absl::StatusCode::kInternal);
}

TEST_P(DeviceConformanceTest, ShowsTheHostWhatItCanReadInPlace) {
  const Bytes bytes = RandomBytes(100);
  const auto buffer = Store(DType::kUInt8, bytes);
  const std::byte* const address = backend_->HostAddress(*buffer);
  if (address == nullptr) GTEST_SKIP() << "out of the host's reach";
  EXPECT_EQ(Bytes(address, address + 100), bytes);
}

TEST_P(DeviceConformanceTest, ServesManyThreads) {
  const Bytes shared_bytes = RandomBytes(1000);
  const auto shared = Store(DType::kUInt8, shared_bytes);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const Bytes mine(1 + static_cast<std::size_t>(i * 37 % 500),
                         static_cast<std::byte>(t));
        const auto buffer = backend_->Allocate(mine.size());
        ASSERT_TRUE(buffer.ok());
        const auto writer = backend_->NewWriter(
            *buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt8});
        ASSERT_TRUE(writer->Write(mine).ok());
        ASSERT_TRUE(writer->Finish(nullptr).ok());
        ASSERT_EQ(Load(*buffer), mine);
        ASSERT_EQ(Load(shared), shared_bytes);
      }
    });
  }
}

// A binary may include this without a device to run it on.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceConformanceTest);

}  // namespace tensord

#endif  // TENSORD_TESTS_CONFORMANCE_DEVICE_CONFORMANCE_H_
