#include "core/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/store/quota.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

constexpr Device kCuda0{DeviceType::kCuda, 0};
constexpr Device kCuda1{DeviceType::kCuda, 1};
constexpr Autograd kLeaf{.requires_grad = true, .grad_fn = {}};

ToOptions ToDType(DType dtype, Overflow overflow = Overflow::kTorch) {
  return {.dtype = dtype, .device = {}, .copy = false, .overflow = overflow};
}

ToOptions ToDevice(Device device) {
  return {.dtype = {},
          .device = device,
          .copy = false,
          .overflow = Overflow::kTorch};
}

ToOptions Copied() {
  return {
      .dtype = {}, .device = {}, .copy = true, .overflow = Overflow::kTorch};
}

// Where the elements of a layout lie, in C order, found one by one.
std::vector<double> Positions(const Layout& layout) {
  std::vector<double> positions;
  const std::int64_t count = ElementCount(layout.shape);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i;
    std::int64_t position = layout.offset;
    for (std::size_t dim = layout.shape.size(); dim-- > 0;) {
      position += rest % layout.shape[dim] * layout.strides[dim];
      rest /= layout.shape[dim];
    }
    positions.push_back(static_cast<double>(position));
  }
  return positions;
}

class TransformTest : public testing::Test {
 protected:
  TransformTest() {
    for (const Device device : {kCpuDevice, kCuda0, kCuda1}) {
      devices_.Add(std::make_unique<FakeBackend>(device, faults_));
    }
  }

  // A buffer that is charged until it goes.
  absl::StatusOr<std::shared_ptr<Buffer>> AllocateCharged(
      Device device, std::int64_t size_bytes) {
    auto charge = quota_.Reserve(size_bytes);
    if (!charge.ok()) return charge.status();
    auto buffer = (*devices_.Find(device))
                      ->Allocate(static_cast<std::size_t>(size_bytes));
    if (!buffer.ok()) return buffer.status();
    Buffer* const address = buffer->get();
    auto both = std::make_shared<
        std::pair<std::shared_ptr<Buffer>, std::shared_ptr<void>>>(
        *std::move(buffer), *std::move(charge));
    return std::shared_ptr<Buffer>(std::move(both), address);
  }

  // A view of `storage_elements` elements with these values.
  Tensor Make(const std::vector<double>& storage, Layout layout, DType dtype,
              Device device = kCpuDevice, Autograd autograd = {}) {
    const auto size = storage.size() * ItemSize(dtype);
    auto buffer = *AllocateCharged(device, static_cast<std::int64_t>(size));
    const auto writer =
        (*devices_.Find(device))
            ->NewWriter(buffer, 0, {.from = DType::kFloat64, .to = dtype});
    const auto* const bytes =
        reinterpret_cast<const std::byte*>(storage.data());
    EXPECT_TRUE(writer->Write({bytes, storage.size() * sizeof(double)}).ok());
    EXPECT_TRUE(writer->Finish(nullptr).ok());
    return Tensor(dtype, std::move(layout), std::move(buffer), autograd);
  }

  // A view of a storage in which every element is its own position.
  Tensor Make(Layout layout, DType dtype = DType::kFloat32,
              Device device = kCpuDevice, Autograd autograd = {}) {
    const std::vector<double> positions = Positions(layout);
    const double last = positions.empty() ? 0.0
                                          : *std::max_element(positions.begin(),
                                                              positions.end());
    std::vector<double> storage(static_cast<std::size_t>(last) + 1);
    std::iota(storage.begin(), storage.end(), 0.0);
    return Make(storage, std::move(layout), dtype, device, autograd);
  }

  std::vector<double> Values(const Tensor& tensor) {
    std::vector<double> values(
        static_cast<std::size_t>(tensor.element_count()));
    const absl::Status status =
        (*devices_.Find(tensor.device()))
            ->ReadToHost(tensor.view(), 0, tensor.element_count(),
                         DType::kFloat64, ByteOrder::kLittle, Overflow::kTorch,
                         reinterpret_cast<std::byte*>(values.data()), nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return values;
  }

  std::shared_ptr<FaultPlan> faults_ = std::make_shared<FaultPlan>();
  DeviceRegistry devices_{{.built = true}};
  Quota quota_{std::int64_t{1} << 27};
  const Allocator allocate_ = [this](Device device, std::int64_t size_bytes) {
    return AllocateCharged(device, size_bytes);
  };
  const TransformContext context_{devices_, allocate_};
};

TEST_F(TransformTest, EndsForWhoHasGivenUp) {
  const Tensor here = Make(DenseLayout({5'000'000}));
  const Tensor there = Make(DenseLayout({5'000'000}), DType::kFloat32, kCuda0);
  const std::int64_t used = quota_.used_bytes();
  ConversionReport report;
  for (ConversionReport* const asked :
       {&report, static_cast<ConversionReport*>(nullptr)}) {
    const TransformContext given_up{devices_, allocate_, asked,
                                    [] { return true; }};
    for (const auto& result :
         {To(here, ToDType(DType::kInt32), given_up), Clone(here, given_up),
          To(here, ToDevice(kCuda0), given_up),
          To(there, ToDevice(kCuda1), given_up)}) {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
    }
    EXPECT_EQ(quota_.used_bytes(), used);
  }
}

TEST_F(TransformTest, ToIsTheSameTensorWhereNothingChanges) {
  const Tensor tensor =
      Make({{3, 2}, {1, 3}, 1}, DType::kFloat32, kCuda0, kLeaf);
  for (const ToOptions& options :
       {ToOptions{}, ToDType(DType::kFloat32), ToDevice(kCuda0)}) {
    const auto same = To(tensor, options, context_);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(same->buffer(), tensor.buffer());
    EXPECT_EQ(same->layout(), tensor.layout());
    EXPECT_EQ(same->autograd(), kLeaf);
  }
}

TEST_F(TransformTest, ToCopiesWhenAsked) {
  const Tensor tensor = Make({{3, 2}, {1, 3}, 1});
  const auto copy = To(tensor, Copied(), context_);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_NE(copy->buffer(), tensor.buffer());
  EXPECT_EQ(copy->buffer()->size_bytes(), 24);
  EXPECT_EQ(copy->layout(), (Layout{{3, 2}, {1, 3}, 0}));
  EXPECT_EQ(Values(*copy), Values(tensor));
}

struct StridesCase {
  Dims shape;
  Dims strides;
  Dims copied;
};

// What PyTorch 2.15 says of the strides of
// empty_strided(shape, strides).double(), and of clone().
TEST_F(TransformTest, CopiesHaveTheStridesOfPyTorch) {
  const std::vector<StridesCase> cases = {
      // Dense: kept, with whatever dimensions of size 1 say.
      {{}, {}, {}},
      {{2, 3, 4}, {12, 4, 1}, {12, 4, 1}},
      {{4, 2, 3}, {1, 12, 4}, {1, 12, 4}},
      {{3, 1, 2}, {1, 3, 3}, {1, 3, 3}},
      {{2, 1, 3}, {1, 100, 2}, {1, 100, 2}},
      {{1, 3}, {1, 1}, {1, 1}},
      {{3, 1}, {1, 77}, {1, 77}},
      // Without elements: kept.
      {{0, 3}, {1, 7}, {1, 7}},
      {{3, 0, 2}, {1, 7, 9}, {1, 7, 9}},
      // With gaps.
      {{1, 3, 4}, {24, 4, 1}, {24, 4, 1}},
      {{2, 3, 2}, {12, 4, 2}, {6, 2, 1}},
      {{2, 2, 3}, {2, 12, 4}, {1, 6, 2}},
      {{4, 2, 2}, {1, 12, 8}, {1, 8, 4}},
      {{2, 4}, {12, 1}, {4, 1}},
      {{4, 2}, {1, 12}, {1, 4}},
      {{2, 3}, {2, 4}, {1, 2}},
      {{3, 1, 2}, {4, 5, 1}, {2, 6, 1}},
      // Repeated.
      {{4, 3}, {0, 1}, {3, 1}},
      {{3, 4}, {1, 0}, {4, 1}},
      {{4, 5, 2}, {1, 0, 12}, {1, 4, 20}},
      {{2, 3}, {0, 0}, {3, 1}},
      {{4, 3, 2}, {1, 0, 4}, {1, 4, 12}},
      // Overlapping.
      {{3, 3}, {1, 1}, {3, 1}},
      {{3, 4}, {1, 2}, {1, 3}},
      // At random.
      {{2, 4, 1}, {1, 24, 1}, {1, 2, 1}},
      {{1, 2, 1}, {1, 8, 8}, {1, 1, 1}},
      {{1, 1, 2, 1}, {8, 0, 3, 0}, {2, 2, 1, 1}},
      {{4, 3, 4, 4}, {6, 4, 3, 2}, {48, 16, 4, 1}},
      {{4, 3, 1}, {1, 24, 8}, {1, 4, 4}},
      {{3, 3, 4}, {12, 1, 1}, {12, 1, 3}},
      {{4, 1, 1}, {4, 12, 4}, {1, 4, 1}},
      {{3, 1, 4, 3}, {2, 1, 12, 0}, {3, 3, 9, 1}},
      {{4, 1, 2, 4}, {8, 24, 4, 2}, {8, 32, 4, 1}},
      {{3, 4, 3, 4}, {3, 2, 1, 2}, {48, 12, 1, 3}},
      {{3, 3, 2, 1}, {12, 24, 8, 8}, {2, 6, 1, 1}},
      {{4, 1, 4, 4}, {0, 3, 1, 3}, {16, 4, 1, 4}},
  };
  for (const StridesCase& c : cases) {
    const Tensor tensor = Make({c.shape, c.strides, 0});
    const std::string label =
        ShapeString(c.shape) + " with strides " + ShapeString(c.strides);
    for (const auto& copy :
         {To(tensor, ToDType(DType::kFloat64), context_),
          To(tensor, Copied(), context_), Clone(tensor, context_),
          To(tensor, ToDevice(kCuda0), context_)}) {
      ASSERT_TRUE(copy.ok()) << copy.status();
      EXPECT_EQ(copy->layout(), (Layout{c.shape, c.copied, 0})) << label;
      EXPECT_EQ(Values(*copy), Values(tensor)) << label;
    }
  }
}

// PyTorch has no negative strides.
TEST_F(TransformTest, CopiesOfArraysThatGoBackwardsAreContiguous) {
  for (const Layout& layout : {Layout{{4}, {-1}, 3}, Layout{{2, 3}, {1, -2}, 4},
                               Layout{{2, 1, 3}, {1, -5, 2}, 0}}) {
    const auto copy = Clone(Make(layout), context_);
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(copy->layout(), DenseLayout(layout.shape));
    EXPECT_EQ(Values(*copy), Positions(layout));
  }
}

// Any layout, between any two devices, as any dtype.
TEST_F(TransformTest, ToKeepsEveryElementInItsPlace) {
  std::mt19937 random(5);
  const std::vector<Device> devices = {kCpuDevice, kCuda0, kCuda1};
  const std::vector<DType> dtypes = {DType::kInt16, DType::kFloat32,
                                     DType::kFloat64, DType::kComplex128};
  for (int i = 0; i < 600; ++i) {
    Layout layout;
    const std::size_t dims = random() % 4;
    for (std::size_t dim = 0; dim < dims; ++dim) {
      layout.shape.push_back(static_cast<std::int64_t>(random() % 5));
      layout.strides.push_back(static_cast<std::int64_t>(random() % 15) - 5);
      layout.offset += 4 * 5;
    }
    const Tensor tensor = Make(layout, dtypes[random() % dtypes.size()],
                               devices[random() % devices.size()]);
    const ToOptions options{.dtype = dtypes[random() % dtypes.size()],
                            .device = devices[random() % devices.size()],
                            .copy = true,
                            .overflow = static_cast<Overflow>(random() % 3)};
    const auto result = To(tensor, options, context_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->dtype(), options.dtype);
    EXPECT_EQ(result->device(), options.device);
    EXPECT_EQ(result->shape(), layout.shape);
    EXPECT_TRUE(IsDense(result->layout()));
    EXPECT_EQ(static_cast<std::int64_t>(result->buffer()->size_bytes()),
              result->size_bytes());
    EXPECT_EQ(Values(*result), Positions(layout));
  }
}

TEST_F(TransformTest, ToMovesMoreThanOneChunk) {
  // A little more than 4 MiB, in an order that no device can write at once.
  const Layout layout{{3, 5, 70001}, {70001, 210003, 1}, 0};
  const Tensor tensor = Make(layout, DType::kInt32);
  const std::vector<double> values = Values(tensor);
  const auto there = To(tensor, ToDevice(kCuda0), context_);
  ASSERT_TRUE(there.ok()) << there.status();
  const auto back = To(*there,
                       {.dtype = DType::kFloat64,
                        .device = kCuda1,
                        .copy = false,
                        .overflow = Overflow::kSaturate},
                       context_);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(Values(*back), values);
}

TEST_F(TransformTest, ToReportsFailuresBeyondTheFirstChunk) {
  std::vector<double> storage((std::size_t{1} << 20) + 100);
  storage[storage.size() - 5] = 1e10;
  const Tensor tensor =
      Make(storage, DenseLayout({static_cast<std::int64_t>(storage.size())}),
           DType::kFloat32, kCuda0);
  const absl::Status status = To(tensor,
                                 {.dtype = DType::kInt32,
                                  .device = kCuda1,
                                  .copy = false,
                                  .overflow = Overflow::kError},
                                 context_)
                                  .status();
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.metadata.at("count"), "1");
  EXPECT_EQ(details.metadata.at("firstIndex"),
            std::to_string(storage.size() - 5));
}

TEST_F(TransformTest, ToSendsTheNarrowerElements) {
  auto* const receiver = static_cast<FakeBackend*>(*devices_.Find(kCuda1));
  const Tensor tensor = Make(DenseLayout({100}), DType::kFloat32, kCuda0);
  for (const auto& [dtype, sent_bytes] :
       {std::pair{DType::kUInt8, 100}, std::pair{DType::kFloat32, 400},
        std::pair{DType::kComplex128, 400}}) {
    const std::size_t before = receiver->received_bytes();
    const auto result = To(tensor,
                           {.dtype = dtype,
                            .device = kCuda1,
                            .copy = false,
                            .overflow = Overflow::kTorch},
                           context_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(receiver->received_bytes() - before, sent_bytes) << Name(dtype);
  }
}

TEST_F(TransformTest, NoWriterKeepsAnythingWhileAnotherDeviceIsWaitedFor) {
  auto* const sender = static_cast<FakeBackend*>(*devices_.Find(kCuda0));
  auto* const receiver = static_cast<FakeBackend*>(*devices_.Find(kCuda1));
  // Read in three chunks.
  const Tensor tensor =
      Make(DenseLayout({std::int64_t{5} << 19}), DType::kFloat32, kCuda0);
  int reads = 0;
  sender->SetHook([&] {
    ++reads;
    EXPECT_EQ(receiver->unflushed_writers(), 0);
  });
  ASSERT_TRUE(To(tensor, {.dtype = {}, .device = kCuda1}, context_).ok());
  EXPECT_EQ(reads, 3);
}

TEST_F(TransformTest, ToReportsTheFirstFailureInTheOrderOfTheSource) {
  // In memory the first that does not fit into a byte is 1000, at index 4.
  const std::vector<double> storage = {0, 1, 1000, 3, 4, 2000};
  for (const Device from : {kCpuDevice, kCuda0}) {
    for (const Device to : {kCpuDevice, kCuda0, kCuda1}) {
      const Tensor tensor =
          Make(storage, {{2, 3}, {3, 1}, 0}, DType::kFloat32, from);
      const Tensor transposed = Make(
          {0, 1, 3, 2000, 1000, 4}, {{2, 3}, {1, 2}, 0}, DType::kFloat32, from);
      const ToOptions options{.dtype = DType::kUInt8,
                              .device = to,
                              .copy = false,
                              .overflow = Overflow::kError};
      const absl::Status status = To(tensor, options, context_).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
      ErrorDetails details = GetErrorDetails(status);
      EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
      EXPECT_EQ(details.metadata.at("firstIndex"), "2");
      EXPECT_EQ(details.metadata.at("firstValue"), "1000.0");
      EXPECT_EQ(details.metadata.at("count"), "2");
      details = GetErrorDetails(To(transposed, options, context_).status());
      EXPECT_EQ(details.metadata.at("firstIndex"), "2");
      EXPECT_EQ(details.metadata.at("firstValue"), "1000.0");
      EXPECT_EQ(details.metadata.at("count"), "2");
    }
  }
  EXPECT_EQ(quota_.used_bytes(), 0);
}

TEST_F(TransformTest, ToHonoursTheOverflowPolicyOnEveryWay) {
  const std::vector<double> storage = {-1, 300};
  for (const Device from : {kCpuDevice, kCuda0}) {
    for (const Device to : {kCpuDevice, kCuda0, kCuda1}) {
      // Once the source is the wider side, once the destination.
      for (const auto& [source, target, top] :
           {std::tuple{DType::kFloat32, DType::kUInt8, 255.0},
            std::tuple{DType::kInt16, DType::kUInt64, 300.0}}) {
        const Tensor tensor = Make(storage, DenseLayout({2}), source, from);
        const auto result = To(tensor,
                               {.dtype = target,
                                .device = to,
                                .copy = false,
                                .overflow = Overflow::kSaturate},
                               context_);
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(Values(*result), (std::vector<double>{0.0, top}));
      }
    }
  }
}

TEST_F(TransformTest, ToReportsWhatItDidOnEveryWay) {
  // 1000 elements, every fourth of which is -1, 300, 1.5 or 7.
  const std::vector<double> values = {-1, 300, 1.5, 7};
  std::vector<double> storage;
  for (int i = 0; i < 1000; ++i) storage.push_back(values[i % 4]);
  const std::vector<Layout> layouts = {
      DenseLayout({1000}), {{10, 100}, {1, 10}, 0}, {{250, 4}, {-4, 1}, 996}};
  for (const Device from : {kCpuDevice, kCuda0}) {
    for (const Device to : {kCpuDevice, kCuda0, kCuda1}) {
      for (const Layout& layout : layouts) {
        const Tensor tensor = Make(storage, layout, DType::kFloat32, from);
        const ToOptions options{.dtype = DType::kUInt8,
                                .device = to,
                                .copy = false,
                                .overflow = Overflow::kSaturate};
        ConversionReport report{1, 1, 1, 2.0};
        const auto result = To(tensor, options, {devices_, allocate_, &report});
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(report, (ConversionReport{251, 501, 1, 45.0}));
        const auto unreported = To(tensor, options, context_);
        EXPECT_EQ(Values(*result), Values(*unreported));
        EXPECT_EQ(result->layout(), unreported->layout());
      }
    }
  }
}

TEST_F(TransformTest, ToReportsOnMoreThanOneChunk) {
  const std::vector<double> storage((std::size_t{1} << 20) + 123, 0.1);
  const Tensor tensor = Make(storage,
                             {{static_cast<std::int64_t>(storage.size())},
                              {-1},
                              static_cast<std::int64_t>(storage.size()) - 1},
                             DType::kFloat64);
  ConversionReport report;
  ASSERT_TRUE(
      To(tensor, ToDType(DType::kFloat32), {devices_, allocate_, &report})
          .ok());
  EXPECT_EQ(report, (ConversionReport{static_cast<std::int64_t>(storage.size()),
                                      0, 0, double{0.1F} - 0.1}));
}

TEST_F(TransformTest, RefusalsComeWithoutAReport) {
  const std::vector<double> storage = {0.5, 0.5, 3, 2000, 1000, 4};
  const Layout transposed{{2, 3}, {1, 2}, 0};
  for (const Device from : {kCpuDevice, kCuda0}) {
    for (const Device to : {kCpuDevice, kCuda1}) {
      const Tensor tensor = Make(storage, transposed, DType::kFloat32, from);
      const ToOptions options{.dtype = DType::kUInt8,
                              .device = to,
                              .copy = false,
                              .overflow = Overflow::kError};
      ConversionReport report;
      const absl::Status status =
          To(tensor, options, {devices_, allocate_, &report}).status();
      EXPECT_EQ(status, To(tensor, options, context_).status());
      EXPECT_EQ(GetErrorReason(status), reason::kCastValueOutOfRange);
      EXPECT_EQ(report, ConversionReport{});
    }
  }
}

TEST_F(TransformTest, CopiesWithoutACastReportNothing) {
  const Tensor tensor = Make(DenseLayout({5}), DType::kFloat32);
  ConversionReport report;
  const TransformContext context{devices_, allocate_, &report};
  ASSERT_TRUE(To(tensor, ToDevice(kCuda0), context).ok());
  ASSERT_TRUE(To(tensor, Copied(), context).ok());
  ASSERT_TRUE(Clone(tensor, context).ok());
  EXPECT_EQ(report, ConversionReport{});
}

TEST_F(TransformTest, ToRemembersThatItCopied) {
  const Tensor tensor =
      Make(DenseLayout({2}), DType::kFloat32, kCpuDevice, kLeaf);
  for (const ToOptions& options :
       {Copied(), ToDevice(kCuda0), ToDType(DType::kFloat64),
        ToDType(DType::kComplex64), ToDType(DType::kFloat8E5M2)}) {
    const auto result = To(tensor, options, context_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->requires_grad());
    EXPECT_EQ(result->grad_fn(), "ToCopyBackward0");
  }
  for (const DType dtype : {DType::kInt32, DType::kUInt64, DType::kBool}) {
    EXPECT_EQ(To(tensor, ToDType(dtype), context_)->autograd(), Autograd{});
  }
  EXPECT_EQ(To(tensor.Detach(), Copied(), context_)->autograd(), Autograd{});
}

TEST_F(TransformTest, ToRefusesDevicesThatAreNotThere) {
  const Tensor tensor = Make(DenseLayout({2}));
  const absl::Status status =
      To(tensor, ToDevice({DeviceType::kCuda, 9}), context_).status();
  EXPECT_EQ(GetErrorReason(status), reason::kDeviceNotPresent);
}

TEST_F(TransformTest, ToRefusesWhatDoesNotFitInTheQuota) {
  const Tensor tensor =
      Make({0.0}, {{std::int64_t{1} << 26}, {0}, 0}, DType::kUInt8);
  EXPECT_EQ(
      GetErrorReason(To(tensor, ToDType(DType::kFloat32), context_).status()),
      reason::kMemoryExhausted);
}

TEST_F(TransformTest, ToRefusesSizesThatOverflow) {
  const Tensor tensor =
      Make({0.0}, {{std::int64_t{1} << 61}, {0}, 0}, DType::kUInt8);
  EXPECT_EQ(
      GetErrorReason(To(tensor, ToDType(DType::kFloat32), context_).status()),
      reason::kShapeOverflow);
}

TEST_F(TransformTest, CloneCopiesOnTheSameDevice) {
  const Tensor tensor =
      Make({{3, 2}, {1, 3}, 2}, DType::kFloat32, kCuda1, kLeaf);
  const auto clone = Clone(tensor, context_);
  ASSERT_TRUE(clone.ok()) << clone.status();
  EXPECT_NE(clone->buffer(), tensor.buffer());
  EXPECT_EQ(clone->device(), kCuda1);
  EXPECT_EQ(clone->grad_fn(), "CloneBackward0");
  EXPECT_EQ(Values(*clone), Values(tensor));
  EXPECT_EQ(Clone(tensor.Detach(), context_)->autograd(), Autograd{});
}

TEST_F(TransformTest, ContiguousCopiesOnlyWhatIsNot) {
  const Tensor plain =
      Make({{2, 3}, {3, 1}, 1}, DType::kFloat32, kCpuDevice, kLeaf);
  const auto same = Contiguous(plain, context_);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->buffer(), plain.buffer());
  EXPECT_EQ(same->autograd(), kLeaf);

  const Tensor transposed =
      Make({{2, 3}, {1, 2}, 0}, DType::kFloat32, kCpuDevice, kLeaf);
  const auto copy = Contiguous(transposed, context_);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->layout(), DenseLayout({2, 3}));
  EXPECT_EQ(copy->grad_fn(), "CloneBackward0");
  EXPECT_EQ(Values(*copy), Values(transposed));
}

TEST_F(TransformTest, ReshapeViewsWhatItCan) {
  const Tensor plain =
      Make({{2, 6}, {6, 1}, 1}, DType::kFloat32, kCpuDevice, kLeaf);
  const auto view = Reshape(plain, Dims{3, -1}, context_);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->buffer(), plain.buffer());
  EXPECT_EQ(view->layout(), (Layout{{3, 4}, {4, 1}, 1}));
  EXPECT_EQ(view->grad_fn(), "ViewBackward0");

  const Tensor strided =
      Make({{2, 6}, {1, 2}, 0}, DType::kFloat32, kCpuDevice, kLeaf);
  const auto alias = Reshape(strided, Dims{2, 2, 3}, context_);
  ASSERT_TRUE(alias.ok()) << alias.status();
  EXPECT_EQ(alias->buffer(), strided.buffer());
  EXPECT_EQ(alias->layout(), (Layout{{2, 2, 3}, {1, 6, 2}, 0}));
  EXPECT_EQ(alias->grad_fn(), "ReshapeAliasBackward0");
  EXPECT_EQ(Reshape(strided.Detach(), Dims{2, 2, 3}, context_)->autograd(),
            Autograd{});
}

TEST_F(TransformTest, ReshapeCopiesWhatItMust) {
  const Tensor strided =
      Make({{2, 6}, {1, 2}, 0}, DType::kFloat32, kCuda0, kLeaf);
  const auto copy = Reshape(strided, Dims{12}, context_);
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_NE(copy->buffer(), strided.buffer());
  EXPECT_EQ(copy->device(), kCuda0);
  EXPECT_EQ(copy->layout(), DenseLayout({12}));
  EXPECT_EQ(copy->grad_fn(), "UnsafeViewBackward0");
  EXPECT_EQ(Values(*copy), Values(strided));
}

TEST_F(TransformTest, ReshapeRefusesOtherSizes) {
  for (const Layout& layout :
       {DenseLayout({2, 6}), Layout{{2, 6}, {1, 2}, 0}}) {
    const Tensor tensor = Make(layout);
    EXPECT_EQ(GetErrorReason(Reshape(tensor, Dims{5}, context_).status()),
              reason::kSizeMismatch);
    EXPECT_EQ(GetErrorReason(Reshape(tensor, Dims{-1, -1}, context_).status()),
              reason::kShapeInvalid);
  }
}

// Every call on a device that an operation makes fails once: the operation
// fails with it, and what it took is given back.
TEST_F(TransformTest, FaultsLeaveNothingBehind) {
  for (const Device from : {kCpuDevice, kCuda0}) {
    const Tensor strided = Make({{40, 30}, {1, 40}, 0}, DType::kFloat32, from);
    const Tensor plain = Make(DenseLayout({40, 30}), DType::kFloat32, from);
    const std::int64_t used_before = quota_.used_bytes();
    std::vector<std::function<absl::Status()>> operations = {
        [&] { return Clone(strided, context_).status(); },
        [&] { return Contiguous(strided, context_).status(); },
        [&] { return Reshape(strided, Dims{1200}, context_).status(); },
    };
    for (const Device to : {kCpuDevice, kCuda0, kCuda1}) {
      for (const Tensor* tensor : {&strided, &plain}) {
        for (const DType dtype : {DType::kUInt8, DType::kFloat64}) {
          operations.emplace_back([this, to, tensor, dtype] {
            const ToOptions options{.dtype = dtype,
                                    .device = to,
                                    .copy = false,
                                    .overflow = Overflow::kTorch};
            return To(*tensor, options, context_).status();
          });
        }
      }
    }
    for (const auto& operation : operations) {
      int faults = 0;
      for (;; ++faults) {
        faults_->FailAfter(faults);
        const absl::Status status = operation();
        EXPECT_EQ(quota_.used_bytes(), used_before);
        EXPECT_EQ(status.ok(), !faults_->fired());
        if (status.ok()) break;
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      }
      // At least to allocate and to copy.
      EXPECT_GE(faults, 2);
      faults_->FailAfter(1 << 30);
    }
  }
}

}  // namespace
}  // namespace tensord
