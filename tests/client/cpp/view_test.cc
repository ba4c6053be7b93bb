#include "tensord/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/error.h"
#include "tensord/eigen.h"
#include "tensord/element.h"

// A type of another library.
struct ForeignHalf {
  std::uint16_t bits;
};
template <>
struct tensord::ElementTraits<ForeignHalf>
    : tensord::HasDType<tensord::DType::kFloat16> {};

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <class T>
constexpr DType kDType = ElementTraits<T>::kDType;

static_assert(kDType<bool> == DType::kBool);
static_assert(kDType<std::uint8_t> == DType::kUInt8);
static_assert(kDType<std::byte> == DType::kUInt8);
static_assert(kDType<std::uint16_t> == DType::kUInt16);
static_assert(kDType<std::uint32_t> == DType::kUInt32);
static_assert(kDType<std::uint64_t> == DType::kUInt64);
static_assert(kDType<std::int8_t> == DType::kInt8);
static_assert(kDType<std::int16_t> == DType::kInt16);
static_assert(kDType<std::int32_t> == DType::kInt32);
static_assert(kDType<std::int64_t> == DType::kInt64);
// One of these is no std::int64_t. NOLINTBEGIN(google-runtime-int)
static_assert(kDType<long> == DType::kInt64);
static_assert(kDType<long long> == DType::kInt64);
static_assert(kDType<unsigned long long> == DType::kUInt64);
// NOLINTEND(google-runtime-int)
static_assert(kDType<Float16> == DType::kFloat16);
static_assert(kDType<BFloat16> == DType::kBFloat16);
static_assert(kDType<Eigen::half> == DType::kFloat16);
static_assert(kDType<Eigen::bfloat16> == DType::kBFloat16);
static_assert(kDType<ForeignHalf> == DType::kFloat16);
static_assert(kDType<float> == DType::kFloat32);
static_assert(kDType<double> == DType::kFloat64);
static_assert(kDType<std::complex<float>> == DType::kComplex64);
static_assert(kDType<std::complex<double>> == DType::kComplex128);
static_assert(kDType<Float8E4M3FN> == DType::kFloat8E4M3FN);
static_assert(kDType<Float8E5M2> == DType::kFloat8E5M2);
static_assert(Element<const float>);
static_assert(!Element<char> && !Element<wchar_t> && !Element<char8_t>);
static_assert(!Element<long double> && !Element<std::string>);
static_assert(!Element<std::complex<long double>> && !Element<float*>);

TEST(ViewTest, SeesRangesInOneDimension) {
  const std::vector<float> values = {1, 2, 3};
  const ArrayView view = ViewOf(values);
  EXPECT_EQ(view.data, values.data());
  EXPECT_EQ(view.dtype, DType::kFloat32);
  EXPECT_THAT(view.shape, ElementsAre(3));
  EXPECT_THAT(view.byte_strides, IsEmpty());

  std::array<std::int16_t, 4> array{};
  EXPECT_EQ(ViewOf(array).data, array.data());
  EXPECT_EQ(ViewOf(array).dtype, DType::kInt16);
  EXPECT_THAT(ViewOf(array).shape, ElementsAre(4));
  // Temporaries that refer to others' elements.
  EXPECT_THAT(ViewOf(std::span(values).subspan(1)).shape, ElementsAre(2));
  EXPECT_EQ(ViewOf(absl::MakeConstSpan(values)).data, values.data());
  EXPECT_EQ(ViewOf(absl::MakeSpan(array)).data, array.data());
}

TEST(ViewTest, SeesNothingOfAnEmptyRange) {
  const std::vector<double> none;
  EXPECT_THAT(ViewOf(none).shape, ElementsAre(0));
}

TEST(ViewTest, SeesCArraysInAllTheirDimensions) {
  bool flags[5] = {};
  EXPECT_EQ(ViewOf(flags).data, flags);
  EXPECT_EQ(ViewOf(flags).dtype, DType::kBool);
  EXPECT_THAT(ViewOf(flags).shape, ElementsAre(5));
  const std::int8_t table[2][3][4] = {};
  EXPECT_EQ(ViewOf(table).data, table);
  EXPECT_EQ(ViewOf(table).dtype, DType::kInt8);
  EXPECT_THAT(ViewOf(table).shape, ElementsAre(2, 3, 4));
}

TEST(ViewTest, SeesMemoryWithStrides) {
  const float pixels[4 * 6] = {};
  const ArrayView view = ViewOf(pixels, {4, 3}, {24, 8});
  EXPECT_EQ(view.data, pixels);
  EXPECT_EQ(view.dtype, DType::kFloat32);
  EXPECT_THAT(view.shape, ElementsAre(4, 3));
  EXPECT_THAT(view.byte_strides, ElementsAre(24, 8));
}

// Whether a view has the elements of `matrix` in their places.
template <class Matrix>
void ExpectElements(const ArrayView& view, const Matrix& matrix) {
  ASSERT_EQ(view.shape.size(), view.byte_strides.size());
  const auto at = [&](std::int64_t offset) {
    typename Matrix::Scalar element;
    std::memcpy(&element, static_cast<const std::byte*>(view.data) + offset,
                sizeof(element));
    return element;
  };
  if constexpr (Matrix::IsVectorAtCompileTime) {
    ASSERT_THAT(view.shape, ElementsAre(matrix.size()));
    for (Eigen::Index i = 0; i < matrix.size(); ++i) {
      EXPECT_EQ(at(i * view.byte_strides[0]), matrix.coeff(i));
    }
  } else {
    ASSERT_THAT(view.shape, ElementsAre(matrix.rows(), matrix.cols()));
    for (Eigen::Index i = 0; i < matrix.rows(); ++i) {
      for (Eigen::Index j = 0; j < matrix.cols(); ++j) {
        EXPECT_EQ(at(i * view.byte_strides[0] + j * view.byte_strides[1]),
                  matrix.coeff(i, j));
      }
    }
  }
}

TEST(ViewTest, SeesEigen) {
  const Eigen::MatrixXf by_column = Eigen::MatrixXf::Random(5, 7);
  EXPECT_EQ(ViewOf(by_column).dtype, DType::kFloat32);
  EXPECT_EQ(ViewOf(by_column).data, by_column.data());
  ExpectElements(ViewOf(by_column), by_column);
  const Eigen::Matrix<double, 4, 3, Eigen::RowMajor> by_row =
      Eigen::Matrix<double, 4, 3, Eigen::RowMajor>::Random();
  ExpectElements(ViewOf(by_row), by_row);
  const Eigen::ArrayXXi array = Eigen::ArrayXXi::Random(3, 3);
  EXPECT_EQ(ViewOf(array).dtype, DType::kInt32);
  ExpectElements(ViewOf(array), array);
  const Eigen::VectorXcd vector = Eigen::VectorXcd::Random(6);
  EXPECT_EQ(ViewOf(vector).dtype, DType::kComplex128);
  ExpectElements(ViewOf(vector), vector);
  const Eigen::VectorX<Eigen::half> halves =
      Eigen::VectorX<Eigen::half>::Random(6);
  ExpectElements(ViewOf(halves), halves);

  // Temporaries that refer to others' elements.
  ExpectElements(ViewOf(by_column.block(1, 2, 3, 4)),
                 by_column.block(1, 2, 3, 4));
  ExpectElements(ViewOf(by_column.row(2)), by_column.row(2));
  ExpectElements(ViewOf(by_column.transpose()), by_column.transpose());
  const std::vector<float> memory = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  const Eigen::Map<const Eigen::MatrixXf, 0, Stride> map(memory.data(), 2, 3,
                                                         Stride(4, 2));
  EXPECT_EQ(ViewOf(map).data, memory.data());
  ExpectElements(ViewOf(map), map);
}

TEST(ViewTest, ShapesWhatIsContiguous) {
  const std::vector<int> values(12);
  const auto view =
      internal::ShapedView(std::span<const int>(values), {2, -1, 3});
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->data, values.data());
  EXPECT_THAT(view->shape, ElementsAre(2, 2, 3));
  EXPECT_EQ(
      GetErrorReason(
          internal::ShapedView(std::span<const int>(values), {5, 2}).status()),
      reason::kSizeMismatch);
}

}  // namespace
}  // namespace tensord
