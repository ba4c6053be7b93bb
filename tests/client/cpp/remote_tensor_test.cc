#include "tensord/remote_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/error.h"
#include "tests/client/cpp/real_server.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;

class RemoteTensorTest : public RealServerTest {
 protected:
  // Counts 0, 1, 2 ... in a tensor of the given shape.
  RemoteTensor Create(Dims shape, const CreateOptions& options = {}) {
    std::vector<float> values(static_cast<std::size_t>(ElementCount(shape)));
    std::iota(values.begin(), values.end(), 0.0f);
    auto tensor = client().Create({.data = values.data(),
                                   .dtype = DType::kFloat32,
                                   .shape = std::move(shape)},
                                  options);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    return *std::move(tensor);
  }

  static std::vector<float> Values(const RemoteTensor& tensor,
                                   ReadOptions options = {}) {
    options.dtype = DType::kFloat32;
    const auto read = tensor.Read(options);
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return {};
    const Bytes packed = Packed(read->layout, read->data.get());
    const auto* values = reinterpret_cast<const float*>(packed.data());
    return {values, values + packed.size() / sizeof(float)};
  }
};

TEST_F(RemoteTensorTest, GoesWithItsHandle) {
  std::string id;
  {
    const RemoteTensor tensor = Create({3});
    id = tensor.info().id;
    EXPECT_TRUE(tensor.owned());
    EXPECT_TRUE(Exists(id));
  }
  EXPECT_FALSE(Exists(id));
}

TEST_F(RemoteTensorTest, StaysWhenReleasedOrNamed) {
  std::string id;
  {
    RemoteTensor tensor = Create({3});
    id = tensor.info().id;
    tensor.Release();
    EXPECT_FALSE(tensor.owned());
    EXPECT_FALSE(Create({3}, {.id = "named"}).owned());
    EXPECT_FALSE(client().Get("named")->owned());
  }
  EXPECT_TRUE(Exists(id));
  EXPECT_TRUE(Exists("named"));
}

TEST_F(RemoteTensorTest, MovesWithItsOwnership) {
  RemoteTensor first = Create({1});
  const std::string first_id = first.info().id;
  RemoteTensor second = Create({2});
  const std::string second_id = second.info().id;
  first = std::move(second);
  EXPECT_FALSE(Exists(first_id));
  EXPECT_TRUE(Exists(second_id));
  {
    const RemoteTensor third(std::move(first));
    EXPECT_TRUE(Exists(second_id));
  }
  EXPECT_FALSE(Exists(second_id));
}

TEST_F(RemoteTensorTest, SurvivesMovingOntoItself) {
  RemoteTensor tensor = Create({1});
  RemoteTensor& same = tensor;
  tensor = std::move(same);
  EXPECT_TRUE(tensor.owned());
  EXPECT_TRUE(Exists(tensor.info().id));
}

TEST_F(RemoteTensorTest, DeletesOnce) {
  RemoteTensor tensor = Create({1});
  EXPECT_TRUE(tensor.Delete().ok());
  EXPECT_FALSE(tensor.owned());
  EXPECT_FALSE(Exists(tensor.info().id));
  EXPECT_TRUE(tensor.Delete().ok());
  EXPECT_EQ(tensor.Read().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RemoteTensorTest, GoesQuicklyWithoutAServer) {
  std::optional<RemoteTensor> tensor = Create({1});
  Stop();
  const absl::Time start = absl::Now();
  tensor.reset();
  EXPECT_LT(absl::Now() - start, absl::Seconds(6));
}

TEST_F(RemoteTensorTest, TransformsInOneStep) {
  const RemoteTensor tensor = Create({2, 3});
  const auto result = tensor.Transform(
      {PermuteOperation{{1, 0}}, ContiguousOperation{}, ReshapeOperation{{-1}},
       IndexOperation{{Slice{1, std::nullopt, 2}}}, CloneOperation{},
       ToOperation{.dtype = DType::kInt32}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->owned());
  EXPECT_EQ(result->info().dtype, DType::kInt32);
  EXPECT_EQ(result->info().shape, (Dims{3}));
  EXPECT_THAT(Values(*result), ElementsAre(3, 4, 5));
  EXPECT_EQ(GetErrorReason(
                tensor.Transform({PermuteOperation{{std::int64_t{1} << 40, 0}}})
                    .status()),
            reason::kDimsInvalid);
}

TEST_F(RemoteTensorTest, ReportsConversionsToWhoAsks) {
  const RemoteTensor tensor = Create({2, 3});
  const auto quiet = tensor.To({.dtype = DType::kBool});
  ASSERT_TRUE(quiet.ok()) << quiet.status();
  EXPECT_EQ(quiet->conversion_report(), std::nullopt);
  // 0 to 5, all of which a mantissa of 2 bits holds.
  auto told = tensor.Transform(
      {ToOperation{.dtype = DType::kFloat8E5M2, .report_conversion = true},
       ToOperation{.dtype = DType::kFloat32}});
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->conversion_report(), ConversionReport{});
  told = tensor.To({.dtype = DType::kFloat32});
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->conversion_report(), std::nullopt);
}

TEST_F(RemoteTensorTest, KeepsTheReportWhenGradIsRequired) {
  const std::vector<double> values = {1e300, 0.1};
  const ArrayView array = {
      .data = values.data(), .dtype = DType::kFloat64, .shape = {2}};
  auto tensor = client().Create(array);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  auto told = tensor->To({.dtype = DType::kFloat32, .report_conversion = true});
  ASSERT_TRUE(told.ok()) << told.status();
  const ConversionReport expected{1, 1, 0, double{0.1F} - 0.1};
  EXPECT_EQ(told->conversion_report(), expected);
  ASSERT_TRUE(told->SetRequiresGrad(true).ok());
  EXPECT_EQ(told->conversion_report(), expected);
}

TEST_F(RemoteTensorTest, NamesResults) {
  const RemoteTensor tensor = Create({2});
  const auto named =
      tensor.Transform({CloneOperation{}}, "copy", absl::Hours(1));
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_FALSE(named->owned());
  EXPECT_LT(named->info().expire_time, absl::Now() + absl::Hours(2));
  EXPECT_TRUE(Exists("copy"));
  EXPECT_EQ(tensor.info().expire_time, absl::InfiniteFuture());
}

TEST_F(RemoteTensorTest, ReplacesByResults) {
  const RemoteTensor tensor = Create({2});
  const auto first = tensor.Transform(
      {CloneOperation{}}, TransformOptions{.id = "a", .lease = absl::Hours(1)});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->info().lease, absl::Hours(1));
  const auto second = tensor.Transform(
      {CloneOperation{}}, TransformOptions{.id = "a", .replace = true});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->owned());
  EXPECT_EQ(GetErrorReason(
                tensor
                    .Transform({CloneOperation{}},
                               TransformOptions{.id = "a",
                                                .if_match = first->info().etag})
                    .status()),
            reason::kEtagMismatch);
}

TEST_F(RemoteTensorTest, SingleStepsAreViews) {
  const RemoteTensor tensor = Create({2, 3});
  const auto row = tensor.Index({std::int64_t{1}});
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_THAT(Values(*row), ElementsAre(3, 4, 5));
  EXPECT_EQ(row->info().storage_id, tensor.info().storage_id);
  const auto same = tensor.To({.dtype = DType::kFloat32});
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->info().storage_id, tensor.info().storage_id);
}

TEST_F(RemoteTensorTest, ReadsNeedDetachUnlessForced) {
  RemoteTensor tensor = Create({2}, {.requires_grad = true});
  const absl::Status status = tensor.Read().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(status), reason::kNeedsDetach);
  EXPECT_THAT(Values(tensor, {.force = true}), ElementsAre(0, 1));
  EXPECT_THAT(Values(*tensor.Detach()), ElementsAre(0, 1));
  ASSERT_TRUE(tensor.SetRequiresGrad(false).ok());
  EXPECT_FALSE(tensor.info().requires_grad);
  EXPECT_THAT(Values(tensor), ElementsAre(0, 1));
}

// A random slice of each dimension, negative steps included.
std::vector<IndexTerm> RandomIndex(Random& random, const Dims& shape) {
  std::vector<IndexTerm> terms;
  for (const std::int64_t size : shape) {
    Slice slice;
    if (random() % 2) slice.start = Between(random, -size, size);
    if (random() % 2) slice.stop = Between(random, -size, size);
    slice.step = Between(random, 1, 3) * (random() % 2 ? 1 : -1);
    terms.emplace_back(slice);
  }
  return terms;
}

TEST_F(RemoteTensorTest, ReadsAnyPart) {
  Random random(1);
  for (int i = 0; i < 60; ++i) {
    const Lie lie = kAllLies[i % std::size(kAllLies)];
    const Dims shape = i % 10 == 0 ? Dims{40, 50, 60} : Dims{4, 5, 6};
    const TestArray array = MakeArray(random, DType::kInt32, shape, lie);
    const auto tensor = client().Create(array.view);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const ReadOptions options = {.index = RandomIndex(random, shape)};
    const auto part = IndexLayout(DenseLayout(array.view.shape), options.index);
    ASSERT_TRUE(part.ok());
    // The same part of the elements in C order.
    const Bytes packed = array.Packed();
    TestArray expected;
    expected.view = {.data = packed.data() + part->offset * 4,
                     .dtype = DType::kInt32,
                     .shape = part->shape,
                     .byte_strides = part->strides};
    for (std::int64_t& stride : expected.view.byte_strides) stride *= 4;
    const auto read = tensor->Read(options);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->layout.size_bytes, tensor->ReadLayout(options)->size_bytes);
    ASSERT_TRUE(Packed(read->layout, read->data.get()) == expected.Packed());
  }
}

TEST_F(RemoteTensorTest, ReadIntoChecksTheSize) {
  const RemoteTensor tensor = Create({4});
  std::vector<float> values(5, -1);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{15}, std::size_t{17}, std::size_t{20}}) {
    const absl::Status status = tensor.ReadInto(values.data(), size);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorReason(status), reason::kSizeMismatch);
  }
  ASSERT_TRUE(tensor.ReadInto(values.data(), 16).ok());
  EXPECT_THAT(values, ElementsAre(0, 1, 2, 3, -1));
}

TEST_F(RemoteTensorTest, ReadRefusesBadIndices) {
  const RemoteTensor tensor = Create({4});
  EXPECT_EQ(GetErrorReason(tensor.Read({.index = {std::int64_t{4}}}).status()),
            reason::kSliceOutOfRange);
  EXPECT_EQ(
      GetErrorReason(
          tensor.ReadLayout({.index = {Slice{std::nullopt, std::nullopt, 0}}})
              .status()),
      reason::kSliceInvalid);
}

TEST_F(RemoteTensorTest, NoticesAReplacedTensor) {
  const RemoteTensor tensor = Create({4}, {.id = "x"});
  ASSERT_TRUE(client().Delete("x").ok());
  const RemoteTensor other = Create({5}, {.id = "x"});
  const absl::Status status = tensor.Read().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetErrorReason(status), reason::kEtagMismatch);
}

}  // namespace
}  // namespace tensord
