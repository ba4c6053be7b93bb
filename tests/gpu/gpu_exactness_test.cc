// Casts on the device give the bits that casts on the host give, and count the
// same failures: all elements of 8 and 16 bits, and many patterns of wider
// ones, into every dtype under every policy. tests/core/cast checks the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/cast/cast.h"
#include "core/device/cuda/find_cuda_devices.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_patterns.h"

namespace tensord {
namespace {

using Bytes = std::vector<std::byte>;

// Elements that are cast at a time.
constexpr std::size_t kBlockElements = std::size_t{4} << 20;

// Patterns of each wide source, for each destination and policy.
std::size_t PatternCount() {
  const char* const count = std::getenv("TENSORD_GPU_PATTERNS");
  return count == nullptr ? 100'000'000 : std::strtoull(count, nullptr, 10);
}

class GpuExactnessTest : public ::testing::TestWithParam<DType> {
 protected:
  // Casts elements to every dtype, on the device and on the host; different
  // dtypes at the same time. True if all is the same.
  bool Check(DType from, const Bytes& elements) {
    std::shared_ptr<Buffer> source = *backend_->Allocate(elements.size());
    const auto writer =
        backend_->NewWriter(source, 0, {.from = from, .to = from});
    EXPECT_TRUE(writer->Write(elements).ok());
    EXPECT_TRUE(writer->Finish(nullptr).ok());
    std::array<std::string, kDTypeCount> differences;
    {
      std::vector<std::jthread> threads;
      for (const DType to : AllDTypes()) {
        threads.emplace_back([&, to] {
          differences[static_cast<std::size_t>(to)] =
              Difference(from, elements, source, to);
        });
      }
    }
    bool same = true;
    for (const std::string& difference : differences) {
      EXPECT_EQ(difference, "");
      same = same && difference.empty();
    }
    return same;
  }

 private:
  // What is not the same; empty if nothing.
  std::string Difference(DType from, const Bytes& elements,
                         const std::shared_ptr<const Buffer>& source,
                         DType to) {
    const std::size_t count = elements.size() / ItemSize(from);
    const auto signed_count = static_cast<std::int64_t>(count);
    Bytes expected(count * ItemSize(to));
    Bytes actual(expected.size());
    auto result = backend_->Allocate(expected.size());
    if (!result.ok()) return std::string(result.status().message());
    for (const Overflow overflow :
         {Overflow::kTorch, Overflow::kSaturate, Overflow::kError}) {
      CastFailures expected_failures;
      CastFailures failures;
      CastPacked(from, elements.data(), to, expected.data(), count, overflow,
                 &expected_failures);
      absl::Status status =
          backend_->Cast({source, from, DenseLayout({signed_count})}, to,
                         overflow, **result, &failures, {});
      if (status.ok()) {
        status = backend_->ReadToHost(
            {*result, to, DenseLayout({signed_count})}, 0, signed_count, to,
            ByteOrder::kLittle, Overflow::kTorch, actual.data(), nullptr);
      }
      const std::string label = std::string(Name(from)) + " to " +
                                std::string(Name(to)) + ", policy " +
                                std::to_string(static_cast<int>(overflow));
      if (!status.ok()) return label + ": " + std::string(status.message());
      if (failures.count != expected_failures.count ||
          failures.first_index != expected_failures.first_index ||
          failures.first_value != expected_failures.first_value) {
        return label + ": other failures";
      }
      if (actual != expected) {
        const auto [at, other] =
            std::mismatch(actual.begin(), actual.end(), expected.begin());
        return label + ": other bits at element " +
               std::to_string(static_cast<std::size_t>(at - actual.begin()) /
                              ItemSize(to));
      }
    }
    return "";
  }

  std::unique_ptr<DeviceBackend> backend_ =
      std::move(FindCudaDevices().backends.front());
};

TEST_P(GpuExactnessTest, GivesTheBitsOfTheHost) {
  const DType from = GetParam();
  ASSERT_TRUE(Check(from, testing::CastInputs(from, 1'000'000)));
  if (ItemSize(from) < 4) return;
  testing::CastPatterns patterns(from, 1);
  Bytes block;
  for (std::size_t left = PatternCount(); left > 0;) {
    const std::size_t count = std::min(left, kBlockElements);
    block.resize(count * ItemSize(from));
    patterns.Fill(block.data(), count);
    ASSERT_TRUE(Check(from, block));
    left -= count;
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, GpuExactnessTest,
                         ::testing::ValuesIn(AllDTypes()),
                         [](const auto& test) {
                           return std::string(Name(test.param));
                         });

}  // namespace
}  // namespace tensord
