// Elements of C++ types to tensors and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <array>
#include <complex>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tensord/client.h"
#include "tensord/eigen.h"
#include "tests/client/cpp/real_server.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

class ClientTypedTest : public RealServerTest {
 protected:
  template <class T>
  void ExpectRoundTrip(const std::vector<T>& values) {
    const auto tensor = client().Put<T>(values);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->info().dtype, ElementTraits<T>::kDType);
    EXPECT_THAT(tensor->info().shape,
                ElementsAre(static_cast<std::int64_t>(values.size())));
    const auto read = tensor->template Get<T>();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, values);
  }
};

TEST_F(ClientTypedTest, GivesBackWhatItTook) {
  ExpectRoundTrip<std::uint8_t>({0, 255});
  ExpectRoundTrip<std::uint16_t>({0, 65535});
  ExpectRoundTrip<std::uint32_t>({0, 4'000'000'000});
  ExpectRoundTrip<std::uint64_t>(
      {0, std::numeric_limits<std::uint64_t>::max()});
  ExpectRoundTrip<std::int8_t>({-128, 127});
  ExpectRoundTrip<std::int16_t>({-3, 4});
  ExpectRoundTrip<std::int32_t>({-3, 4});
  ExpectRoundTrip<std::int64_t>({std::numeric_limits<std::int64_t>::min(), 4});
  ExpectRoundTrip<float>({-1.5f, 4});
  ExpectRoundTrip<double>({0.1, 4});
  ExpectRoundTrip<std::complex<float>>({{1, 2}, {3, -4}});
  ExpectRoundTrip<std::complex<double>>({{1, 2}, {0.1, -4}});
  ExpectRoundTrip<Eigen::half>({Eigen::half(1.5f), Eigen::half(-2)});
  ExpectRoundTrip<Eigen::bfloat16>({Eigen::bfloat16(1.5f)});
  ExpectRoundTrip<float>({});
  std::vector<double> many(100'000);
  std::iota(many.begin(), many.end(), 0);
  ExpectRoundTrip<double>(many);
}

TEST_F(ClientTypedTest, TakesTheShapeAndTheOptions) {
  const std::array<int, 6> values = {1, 2, 3, 4, 5, 6};
  const auto tensor =
      client().Put<int>(values, {-1, 3}, {.id = "a", .dtype = DType::kFloat32});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->info().id, "a");
  EXPECT_EQ(tensor->info().dtype, DType::kFloat32);
  EXPECT_THAT(tensor->info().shape, ElementsAre(2, 3));
  EXPECT_EQ(GetErrorReason(client().Put<int>(values, {4}).status()),
            reason::kSizeMismatch);
  EXPECT_EQ(GetErrorReason(client().PutAsync<int>(values, {4}).Get().status()),
            reason::kSizeMismatch);
  const auto later = client().PutAsync<int>(values, {3, 2}).Get();
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_THAT(later->info().shape, ElementsAre(3, 2));
}

TEST_F(ClientTypedTest, CastsToTheTypeThatIsRead) {
  const auto tensor =
      client().Put<double>(std::vector<double>{0, -1.5, 300.25, 2});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(*tensor->Get<float>(), ElementsAre(0, -1.5f, 300.25f, 2));
  EXPECT_THAT(*tensor->Get<int>({.index = {Slice{.start = 1}}}),
              ElementsAre(-1, 300, 2));
  EXPECT_THAT(*tensor->Get<std::uint8_t>({.overflow = Overflow::kSaturate}),
              ElementsAre(0, 0, 255, 2));
  EXPECT_EQ(
      GetErrorReason(
          tensor->Get<std::uint8_t>({.overflow = Overflow::kError}).status()),
      reason::kCastValueOutOfRange);
  // What the type says counts.
  EXPECT_THAT(*tensor->Get<int>({.dtype = DType::kInt8, .order = Order::kF}),
              ElementsAre(0, -1, 300, 2));
  bool flags[4];
  EXPECT_TRUE(tensor->GetInto<bool>(flags).ok());
  EXPECT_THAT(flags, ElementsAre(false, true, true, true));
}

TEST_F(ClientTypedTest, ReadsIntoTheCallersMemory) {
  const auto tensor = client().Put<int>(std::vector<int>{1, 2, 3});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  std::vector<float> values(5, -1);
  EXPECT_TRUE(tensor->GetInto<float>(std::span(values).subspan(1, 3)).ok());
  EXPECT_THAT(values, ElementsAre(-1, 1, 2, 3, -1));
  EXPECT_EQ(GetErrorReason(tensor->GetInto<float>(values)),
            reason::kSizeMismatch);
  std::array<double, 3> later{};
  EXPECT_TRUE(tensor->GetIntoAsync<double>(later).Get().ok());
  EXPECT_THAT(later, ElementsAre(1, 2, 3));
}

TEST_F(ClientTypedTest, ReadsInTheBackground) {
  std::vector<int> values(100'000);
  std::iota(values.begin(), values.end(), 0);
  const auto tensor = client().Put<int>(values);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(*tensor->GetAsync<int>().Get(), values);
  EXPECT_EQ(
      GetErrorReason(tensor->GetAsync<int>({.index = {Ellipsis{}, Ellipsis{}}})
                         .Get()
                         .status()),
      reason::kSliceInvalid);
  // Given up with its future.
  { const auto unwanted = tensor->GetAsync<double>(); }
  const Cancellation cancellation;
  cancellation.Cancel();
  EXPECT_EQ(tensor->GetAsync<int>({}, {.cancellation = cancellation})
                .Get()
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

TEST_F(ClientTypedTest, ReadsInCOrderWhateverTheOrderThere) {
  const Eigen::MatrixXf matrix = Eigen::MatrixXf::Random(3, 4);
  const auto tensor = client().Create(ViewOf(matrix));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(tensor->info().strides, ElementsAre(1, 3));
  const Eigen::Matrix<float, -1, -1, Eigen::RowMajor> by_row = matrix;
  EXPECT_THAT(*tensor->Get<float>(),
              ElementsAreArray(by_row.data(), by_row.data() + 12));
  // The orders of a read, for those who know theirs.
  Eigen::MatrixXf again(3, 4);
  ASSERT_TRUE(tensor->ReadInto(again.data(), 48, {.order = Order::kF}).ok());
  EXPECT_EQ(again, matrix);
  EXPECT_THAT(tensor->ReadLayout({.order = Order::kC})->byte_strides,
              ElementsAre(16, 4));
  EXPECT_THAT(tensor->ReadLayout({.order = Order::kF})->byte_strides,
              ElementsAre(4, 12));
}

TEST_F(ClientTypedTest, StoresStridedViews) {
  const Eigen::MatrixXd matrix = Eigen::MatrixXd::Random(5, 6);
  for (const auto& view : {ViewOf(matrix.block(1, 2, 3, 4)),
                           ViewOf(matrix.transpose().block(2, 1, 4, 3))}) {
    const auto tensor = client().Create(view);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->info().shape, view.shape);
  }
  const auto tensor = client().Create(ViewOf(matrix.block(1, 2, 3, 4)));
  const Eigen::Matrix<double, 3, 4, Eigen::RowMajor> expected =
      matrix.block(1, 2, 3, 4);
  EXPECT_THAT(*tensor->Get<double>(),
              ElementsAreArray(expected.data(), expected.data() + 12));
}

}  // namespace
}  // namespace tensord
