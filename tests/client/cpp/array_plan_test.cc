#include "client/cpp/src/array_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "tensord/client.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord::client {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

// The bytes that go over the wire for `plan`.
Bytes SentBytes(const SendPlan& plan) {
  Bytes bytes(static_cast<std::size_t>(plan.total_bytes));
  if (bytes.empty()) return bytes;
  if (plan.in_place) {
    std::copy_n(plan.data, bytes.size(), bytes.begin());
  } else {
    Gather(plan, 0, ElementCount(plan.layout.shape), bytes.data());
  }
  return bytes;
}

// The array that a receiver sees in `bytes`.
TestArray Receive(const SendPlan& plan, DType dtype, Bytes bytes) {
  TestArray array;
  array.memory = std::move(bytes);
  array.view.data = array.memory.data();
  array.view.dtype = dtype;
  const v1::ArraySpec& spec = plan.spec;
  array.view.shape.assign(spec.shape().begin(), spec.shape().end());
  Dims strides(spec.strides().begin(), spec.strides().end());
  if (strides.empty()) {
    const bool is_f = spec.order() == v1::ORDER_F;
    strides = DenseStrides(array.view.shape, is_f ? Order::kF : Order::kC);
  }
  for (std::int64_t& stride : strides) {
    stride *= static_cast<std::int64_t>(ItemSize(dtype));
  }
  array.view.byte_strides = strides;
  if (spec.byte_order() == v1::BYTE_ORDER_BIG_ENDIAN) {
    array.view.byte_order = ByteOrder::kBig;
  }
  return array;
}

std::string ReasonFor(const ArrayView& view) {
  return GetErrorReason(PlanSend(view).status());
}

TEST(PlanSendTest, SendsTheSameElementsFromEveryLayout) {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    const DType dtype = AllDTypes()[i % kDTypeCount];
    const Lie lie = kAllLies[i / kDTypeCount % std::size(kAllLies)];
    const auto order = random() % 2 ? ByteOrder::kBig : ByteOrder::kLittle;
    const TestArray array =
        MakeArray(random, dtype, RandomShape(random, 5, 500), lie, order);
    const absl::StatusOr<SendPlan> plan = PlanSend(array.view);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(static_cast<int>(plan->spec.dtype()),
              static_cast<int>(dtype) + 1);
    if (!plan->spec.strides().empty()) {
      const Dims strides(plan->spec.strides().begin(),
                         plan->spec.strides().end());
      EXPECT_TRUE(CheckDenseStrides(array.view.shape, strides).ok());
    }
    const TestArray received = Receive(*plan, dtype, SentBytes(*plan));
    ASSERT_EQ(received.Packed(), array.Packed()) << lie;
  }
}

TEST(PlanSendTest, SendsDenseArraysInPlace) {
  Random random(2);
  for (const Lie lie : {Lie::kC, Lie::kF, Lie::kPermuted}) {
    const TestArray array =
        MakeArray(random, DType::kFloat32, {2, 3, 4, 5}, lie);
    const absl::StatusOr<SendPlan> plan = PlanSend(array.view);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->in_place) << lie;
    EXPECT_EQ(plan->data, array.view.data);
  }
}

TEST(PlanSendTest, NamesTheOrderWhereItHasAName) {
  const std::array<float, 6> data = {};
  const auto spec = [&](Dims strides) {
    return PlanSend({.data = data.data(),
                     .dtype = DType::kFloat32,
                     .shape = {2, 3},
                     .byte_strides = strides})
        ->spec;
  };
  EXPECT_EQ(spec({}).order(), v1::ORDER_C);
  EXPECT_EQ(spec({12, 4}).order(), v1::ORDER_C);
  EXPECT_EQ(spec({4, 8}).order(), v1::ORDER_F);
  EXPECT_TRUE(spec({4, 8}).strides().empty());
}

TEST(PlanSendTest, GathersAnyRange) {
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    const DType dtype = AllDTypes()[i % kDTypeCount];
    const auto item = static_cast<std::int64_t>(ItemSize(dtype));
    const TestArray array =
        MakeArray(random, dtype, {3, 4, 5}, Lie::kStepped, ByteOrder::kLittle);
    const absl::StatusOr<SendPlan> plan = PlanSend(array.view);
    ASSERT_TRUE(plan.ok());
    const std::int64_t begin = Between(random, 0, 59);
    const std::int64_t count = Between(random, 0, 60 - begin);
    Bytes gathered(static_cast<std::size_t>(count * item));
    Gather(*plan, begin, count, gathered.data());
    const Bytes packed = array.Packed();
    EXPECT_TRUE(std::equal(gathered.begin(), gathered.end(),
                           packed.begin() + begin * item));
  }
}

TEST(PlanSendTest, IgnoresStridesThatDoNotMatter) {
  const float value = 1;
  EXPECT_EQ(ReasonFor({.data = &value,
                       .dtype = DType::kFloat32,
                       .shape = {1, 1},
                       .byte_strides = {3, -kHuge - 1}}),
            "");
  EXPECT_EQ(ReasonFor({.dtype = DType::kFloat32,
                       .shape = {0, 5},
                       .byte_strides = {3, kHuge}}),
            "");
}

TEST(PlanSendTest, RefusesImpossibleArrays) {
  const float value = 1;
  const auto reason_for = [&](Dims shape, Dims byte_strides) {
    return ReasonFor({.data = &value,
                      .dtype = DType::kFloat32,
                      .shape = std::move(shape),
                      .byte_strides = std::move(byte_strides)});
  };
  EXPECT_EQ(reason_for({-1}, {}), reason::kShapeInvalid);
  EXPECT_EQ(reason_for(Dims(65, 1), {}), reason::kShapeInvalid);
  EXPECT_EQ(reason_for({kHuge}, {}), reason::kShapeOverflow);
  EXPECT_EQ(reason_for({1 << 30, 1 << 30, 1 << 30}, {}),
            reason::kShapeOverflow);
  EXPECT_EQ(reason_for({0, kHuge, kHuge}, {}), reason::kShapeOverflow);
  EXPECT_EQ(reason_for({2, 2}, {4}), reason::kStridesInvalid);
  EXPECT_EQ(reason_for({}, {4}), reason::kStridesInvalid);
  EXPECT_EQ(reason_for({2}, {6}), reason::kStridesInvalid);
  EXPECT_EQ(reason_for({2}, {-3}), reason::kStridesInvalid);
  EXPECT_EQ(reason_for({3}, {kHuge - 3}), reason::kStridesInvalid);
  EXPECT_EQ(reason_for({2, 2}, {kHuge - 3, kHuge - 3}),
            reason::kStridesInvalid);
  EXPECT_EQ(reason_for({3}, {-kHuge - 1}), reason::kStridesInvalid);
  EXPECT_EQ(ReasonFor({.dtype = DType::kFloat32, .shape = {1}}),
            reason::kArrayMissing);
}

TEST(DenseResultTest, FollowsTheOrderOfDenseLayouts) {
  Random random(4);
  for (int i = 0; i < 300; ++i) {
    const Lie lie = kAllLies[i % std::size(kAllLies)];
    const TestArray array =
        MakeArray(random, DType::kInt16, RandomShape(random, 5, 500), lie);
    const ArrayLayout layout = ConvertLayout(array.view, DType::kFloat64);
    ASSERT_EQ(layout.shape, array.view.shape);
    EXPECT_EQ(layout.dtype, DType::kFloat64);
    EXPECT_EQ(layout.size_bytes, array.Packed().size() * 4);
    Dims strides = layout.byte_strides;
    for (std::int64_t& stride : strides) stride /= 8;
    EXPECT_TRUE(CheckDenseStrides(layout.shape, strides).ok());
    if (!PlanSend(array.view)->in_place || layout.size_bytes == 0) {
      EXPECT_EQ(strides, DenseStrides(layout.shape, Order::kC));
      continue;
    }
    for (std::size_t d = 0; d < strides.size(); ++d) {
      if (layout.shape[d] > 1) {
        EXPECT_EQ(strides[d], array.view.byte_strides[d] / 2);
      }
    }
  }
}

TEST(DenseResultTest, ChecksTheSizeOfTheResult) {
  const Layout layout{{kHuge / 8}, {0}, 0};
  EXPECT_TRUE(DenseResult(layout, DType::kFloat64).ok());
  EXPECT_EQ(GetErrorReason(DenseResult(layout, DType::kComplex128).status()),
            reason::kShapeOverflow);
  const ArrayLayout refused =
      ConvertLayout({.dtype = DType::kInt8, .shape = {-1}}, DType::kInt8);
  EXPECT_EQ(refused.size_bytes, 0u);
}

TEST(CheckSpecTest, ComparesWhatMatters) {
  const ArrayLayout expected = {.dtype = DType::kInt16,
                                .shape = {2, 1, 3},
                                .byte_strides = {6, 6, 2},
                                .size_bytes = 12};
  v1::ArraySpec spec;
  spec.set_dtype(v1::DTYPE_INT16);
  for (const int size : {2, 1, 3}) spec.add_shape(size);
  EXPECT_TRUE(CheckSpec(spec, expected).ok());
  v1::ArraySpec strided = spec;
  for (const int stride : {3, -77, 1}) strided.add_strides(stride);
  EXPECT_TRUE(CheckSpec(strided, expected).ok());

  const auto refused = [&](auto spoil) {
    v1::ArraySpec spoilt = spec;
    spoil(spoilt);
    const absl::Status status = CheckSpec(spoilt, expected);
    return status.code() == absl::StatusCode::kAborted;
  };
  EXPECT_TRUE(refused([](auto& s) { s.set_dtype(v1::DTYPE_UINT16); }));
  EXPECT_TRUE(
      refused([](auto& s) { s.set_dtype(static_cast<v1::Dtype>(99)); }));
  EXPECT_TRUE(refused([](auto& s) { s.set_shape(0, 3); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_shape(1); }));
  EXPECT_TRUE(refused([](auto& s) { s.clear_shape(); }));
  EXPECT_TRUE(refused([](auto& s) { s.set_order(v1::ORDER_F); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_strides(3); }));
  EXPECT_TRUE(
      refused([](auto& s) { s.set_byte_order(v1::BYTE_ORDER_BIG_ENDIAN); }));
  EXPECT_TRUE(refused([](auto& s) {
    for (int i = 0; i < 100000; ++i) s.add_shape(1);
  }));
}

}  // namespace
}  // namespace tensord::client
