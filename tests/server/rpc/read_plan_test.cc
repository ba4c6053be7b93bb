#include "server/rpc/read_plan.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

class ReadPlanTest : public testing::Test {
 protected:
  // int16 elements 0, 1, 2 and so on, in the order of their addresses.
  Tensor Make(Dims shape, Order order = Order::kC) {
    const std::int64_t count = ElementCount(shape);
    auto buffer = (*test_.devices.Find(kCpuDevice))
                      ->Allocate(static_cast<std::size_t>(2 * count));
    auto* const values = reinterpret_cast<std::int16_t*>((*buffer)->data());
    for (std::int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<std::int16_t>(i);
    }
    return Tensor(DType::kInt16, DenseLayout(std::move(shape), order),
                  *std::move(buffer));
  }

  ReadPlan Plan(const Tensor& tensor, const TensorReadOptions& options) {
    auto plan = ReadPlan::Make(tensor, options, test_.devices);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *std::move(plan);
  }

  static std::string Copy(ReadPlan& plan, std::int64_t offset,
                          std::int64_t size) {
    std::string out(static_cast<std::size_t>(size), '?');
    EXPECT_TRUE(
        plan.Copy(offset, size, reinterpret_cast<std::byte*>(out.data())).ok());
    return out;
  }

  static std::string All(ReadPlan& plan) {
    return Copy(plan, 0, plan.total_bytes());
  }

  TestContext test_;
};

TEST_F(ReadPlanTest, BorrowsWhatIsStoredAsWanted) {
  for (const Order order : {Order::kC, Order::kF}) {
    const Tensor tensor = Make({3, 4}, order);
    ReadPlan plan = Plan(tensor, {});
    EXPECT_EQ(plan.Borrow(0), tensor.buffer()->data());
    EXPECT_EQ(plan.Borrow(5), tensor.buffer()->data() + 5);
    EXPECT_EQ(DenseOrder(plan.format().layout), order);
  }
  const Tensor rows =
      *Make({3, 4}).Index({IndexTerm(Slice{1, std::nullopt, std::nullopt})});
  EXPECT_EQ(Plan(rows, {}).Borrow(0), rows.buffer()->data() + 8);
}

TEST_F(ReadPlanTest, ConvertsOtherwise) {
  const Tensor tensor = Make({3, 4});
  TensorReadOptions dtype;
  dtype.dtype = DType::kInt32;
  TensorReadOptions swapped;
  swapped.byte_order = ByteOrder::kBig;
  TensorReadOptions fortran;
  fortran.order = Order::kF;
  for (const TensorReadOptions& options : {dtype, swapped, fortran}) {
    EXPECT_EQ(Plan(tensor, options).Borrow(0), nullptr);
  }
  ReadPlan plan = Plan(tensor, fortran);
  EXPECT_EQ(All(plan),
            Bytes<std::int16_t>({0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  ReadPlan other = Plan(tensor, swapped);
  EXPECT_EQ(Copy(other, 2, 4), std::string("\0\1\0\2", 4));
}

TEST_F(ReadPlanTest, KeepsAnyDenseOrder) {
  const Tensor tensor = *Make({2, 3, 4}).Permute({1, 2, 0});
  ReadPlan plan = Plan(tensor, {});
  EXPECT_EQ(plan.format().layout.strides, (Dims{4, 1, 12}));
  EXPECT_EQ(plan.Borrow(0), tensor.buffer()->data());
  TensorReadOptions npy;
  npy.encoding = Encoding::kNpy;
  EXPECT_EQ(DenseOrder(Plan(tensor, npy).format().layout), Order::kC);
}

TEST_F(ReadPlanTest, TakesCOrderWhereThereAreGaps) {
  const Tensor tensor =
      *Make({4, 4}, Order::kF)
           .Index({IndexTerm(Slice{std::nullopt, std::nullopt, -2})});
  ReadPlan plan = Plan(tensor, {});
  EXPECT_EQ(DenseOrder(plan.format().layout), Order::kC);
  EXPECT_EQ(All(plan), Bytes<std::int16_t>({3, 7, 11, 15, 1, 5, 9, 13}));
}

TEST_F(ReadPlanTest, AnyStretchIsThatPartOfTheWhole) {
  const Tensor tensor = *Make({5, 3}).Permute({1, 0});
  for (const Encoding encoding : {Encoding::kRaw, Encoding::kNpy}) {
    TensorReadOptions options;
    options.dtype = DType::kFloat64;
    options.encoding = encoding;
    ReadPlan plan = Plan(tensor, options);
    const std::string whole = All(plan);
    const auto size = static_cast<std::int64_t>(whole.size());
    for (std::int64_t begin = 0; begin <= size; begin += 5) {
      for (std::int64_t end = begin; end <= size; end += 3) {
        ASSERT_EQ(Copy(plan, begin, end - begin),
                  whole.substr(static_cast<std::size_t>(begin),
                               static_cast<std::size_t>(end - begin)));
      }
    }
  }
}

TEST_F(ReadPlanTest, StretchesEndBetweenElements) {
  TensorReadOptions options;
  options.dtype = DType::kComplex128;
  options.encoding = Encoding::kNpy;
  ReadPlan plan = Plan(Make({100}), options);
  const std::int64_t prefix = plan.total_bytes() - 1600;
  EXPECT_EQ(plan.StretchEnd(0, plan.total_bytes(), 1000), prefix);
  EXPECT_EQ(plan.StretchEnd(3, 50, 1000), 50);
  EXPECT_EQ(plan.StretchEnd(prefix, plan.total_bytes(), 50), prefix + 48);
  EXPECT_EQ(plan.StretchEnd(prefix + 5, plan.total_bytes(), 16), prefix + 16);
  EXPECT_EQ(plan.StretchEnd(prefix + 5, prefix + 20, 16), prefix + 20);
}

TEST_F(ReadPlanTest, ChecksTheDeviceAndGradAsTorchDoes) {
  const Tensor tensor = Make({2});
  const Tensor grad(DType::kFloat16, tensor.layout(), tensor.buffer(),
                    {.requires_grad = true, .grad_fn = {}});
  const absl::Status status = ReadPlan::Make(grad, {}, test_.devices).status();
  EXPECT_EQ(GetErrorReason(status), reason::kNeedsDetach);
  EXPECT_EQ(status.message(),
            "Can't call numpy() on Tensor that requires grad. Use "
            "tensor.detach().numpy() instead.");
  const Tensor far(
      DType::kFloat16, tensor.layout(),
      std::make_shared<Buffer>(Device{DeviceType::kCuda, 0},
                               const_cast<std::byte*>(tensor.buffer()->data()),
                               4, nullptr),
      {.requires_grad = true, .grad_fn = {}});
  const absl::Status away = ReadPlan::Make(far, {}, test_.devices).status();
  EXPECT_EQ(GetErrorReason(away), reason::kNeedsCpu);
  EXPECT_EQ(away.message(),
            "can't convert cuda:0 device type tensor to numpy. Use "
            "Tensor.cpu() to copy the tensor to host memory first.");
  TensorReadOptions force;
  force.force = true;
  EXPECT_TRUE(ReadPlan::Make(grad, force, test_.devices).ok());
}

TEST_F(ReadPlanTest, CountsEachValueThatDoesNotFitOnce) {
  TensorReadOptions options;
  options.dtype = DType::kInt8;
  options.overflow = Overflow::kError;
  ReadPlan plan = Plan(Make({300}), options);
  Copy(plan, 0, 100);
  EXPECT_TRUE(plan.Verdict().ok());
  Copy(plan, 100, 200);
  const ErrorDetails details = GetErrorDetails(plan.Verdict());
  EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
  EXPECT_EQ(details.metadata.at("firstIndex"), "128");
  EXPECT_EQ(details.metadata.at("count"), "172");
}

}  // namespace
}  // namespace tensord
