#include "core/tensor.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace tensord {
namespace {

constexpr NewAxis kNone{};
constexpr Ellipsis kDots{};
const Slice kAll{};

Slice Range(std::optional<std::int64_t> start, std::optional<std::int64_t> stop,
            std::optional<std::int64_t> step = std::nullopt) {
  return {start, stop, step};
}

IndexTerm At(std::int64_t index) { return index; }

// Elements of any value: these tests look at layouts and flags.
std::shared_ptr<const Buffer> MakeBuffer(std::size_t size_bytes) {
  auto memory = std::make_shared<std::vector<std::byte>>(size_bytes + 1);
  std::byte* const data = memory->data();
  return std::make_shared<const Buffer>(kCpuDevice, data, size_bytes,
                                        std::move(memory));
}

Tensor Make(Dims shape, Autograd autograd = {}, DType dtype = DType::kFloat32) {
  Layout layout = DenseLayout(std::move(shape));
  const auto size =
      static_cast<std::size_t>(ElementCount(layout.shape)) * ItemSize(dtype);
  return Tensor(dtype, std::move(layout), MakeBuffer(size), autograd);
}

constexpr Autograd kLeaf{.requires_grad = true, .grad_fn = {}};

void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                   std::string_view reason, std::string_view message) {
  EXPECT_EQ(status.code(), code);
  EXPECT_EQ(GetErrorReason(status), reason);
  EXPECT_EQ(std::string(status.message()), message);
}

TEST(TensorTest, TellsWhatItWasMadeOf) {
  const Tensor tensor = Make({2, 3}, kLeaf, DType::kComplex64);
  EXPECT_EQ(tensor.dtype(), DType::kComplex64);
  EXPECT_EQ(tensor.shape(), (Dims{2, 3}));
  EXPECT_EQ(tensor.strides(), (Dims{3, 1}));
  EXPECT_EQ(tensor.element_count(), 6);
  EXPECT_EQ(tensor.size_bytes(), 48);
  EXPECT_EQ(tensor.device(), kCpuDevice);
  EXPECT_TRUE(tensor.requires_grad());
  EXPECT_TRUE(tensor.is_leaf());
  EXPECT_EQ(tensor.view().buffer, tensor.buffer());
  EXPECT_EQ(tensor.view().layout, tensor.layout());
}

TEST(TensorTest, ViewsShareTheBuffer) {
  const Tensor tensor = Make({2, 3});
  const std::vector<IndexTerm> first = {At(1)};
  for (const Tensor& view :
       {tensor.Detach(), *tensor.Index(first), *tensor.Permute(Dims{1, 0}),
        *tensor.View(Dims{6}), *tensor.WithRequiresGrad(true)}) {
    EXPECT_EQ(view.buffer(), tensor.buffer());
    EXPECT_EQ(view.dtype(), tensor.dtype());
  }
}

TEST(TensorTest, ViewsSeeTheElementsThatTheyName) {
  const Tensor tensor = Make({2, 3, 4});
  const std::vector<IndexTerm> terms = {At(1), kAll, Range(1, 4, 2)};
  EXPECT_EQ(tensor.Index(terms)->layout(), (Layout{{3, 2}, {4, 2}, 13}));
  EXPECT_EQ(tensor.Permute(Dims{2, 0, 1})->layout(),
            (Layout{{4, 2, 3}, {1, 12, 4}, 0}));
  EXPECT_EQ(tensor.View(Dims{4, -1})->layout(), (Layout{{4, 6}, {6, 1}, 0}));
}

TEST(TensorTest, ViewsWithoutGradAreLeaves) {
  const Tensor tensor = Make({2, 3});
  const std::vector<IndexTerm> terms = {At(1)};
  for (const Tensor& view : {*tensor.Index(terms), *tensor.Permute(Dims{1, 0}),
                             *tensor.View(Dims{6})}) {
    EXPECT_EQ(view.autograd(), Autograd{});
  }
}

TEST(TensorTest, ViewsWithGradRememberWhatMadeThem) {
  const Tensor tensor = Make({2, 3}, kLeaf);
  EXPECT_EQ(tensor.Permute(Dims{1, 0})->grad_fn(), "PermuteBackward0");
  EXPECT_EQ(tensor.Permute(Dims{0, 1})->grad_fn(), "PermuteBackward0");
  EXPECT_EQ(tensor.View(Dims{6})->grad_fn(), "ViewBackward0");
  EXPECT_EQ(tensor.View(Dims{2, 3})->grad_fn(), "ViewBackward0");
  const Tensor view = *tensor.View(Dims{6});
  EXPECT_TRUE(view.requires_grad());
  EXPECT_FALSE(view.is_leaf());
}

struct IndexCase {
  std::vector<IndexTerm> terms;
  std::string_view grad_fn;
};

// What PyTorch 2.15 says of zeros(3, 4, 5, requires_grad=True)[terms].
TEST(TensorTest, IndexRemembersTheViewThatPyTorchTakesLast) {
  const Tensor tensor = Make({3, 4, 5}, kLeaf);
  const std::vector<IndexCase> cases = {
      {{}, "AliasBackward0"},
      {{kDots}, "AliasBackward0"},
      {{At(0)}, "SelectBackward0"},
      {{At(0), At(1)}, "SelectBackward0"},
      {{At(0), At(0), At(0)}, "SelectBackward0"},
      {{At(0), kDots}, "SelectBackward0"},
      {{kDots, At(0)}, "SelectBackward0"},
      {{At(0), kAll}, "SelectBackward0"},
      {{kAll, At(0)}, "SelectBackward0"},
      {{kAll, kNone, At(0)}, "SelectBackward0"},
      {{Range(0, 1), At(0)}, "SelectBackward0"},
      {{kNone, At(0)}, "SelectBackward0"},
      {{kAll}, "SliceBackward0"},
      {{Range(0, 3)}, "SliceBackward0"},
      {{Range(0, 1)}, "SliceBackward0"},
      {{Range(0, 0)}, "SliceBackward0"},
      {{At(0), Range(0, 1)}, "SliceBackward0"},
      {{Range(0, 2), kAll}, "SliceBackward0"},
      {{Range(-5, {}), kAll}, "SliceBackward0"},
      {{Range(-3, {}), kAll}, "SliceBackward0"},
      {{Range(0, -1), kAll}, "SliceBackward0"},
      {{Range(0, 0), kAll}, "SliceBackward0"},
      {{Range(0, {}, 2), kDots}, "SliceBackward0"},
      {{kAll, kAll, kNone, Range(0, 2)}, "SliceBackward0"},
      {{kDots, Range(0, 4)}, "SliceBackward0"},
      {{kAll, kAll}, "AliasBackward0"},
      {{kAll, kAll, kAll}, "AliasBackward0"},
      {{kAll, kDots}, "AliasBackward0"},
      {{kDots, kAll}, "AliasBackward0"},
      {{kDots, Range(0, 5)}, "AliasBackward0"},
      {{Range(0, 100), kAll}, "AliasBackward0"},
      {{Range({}, {}, 1), kAll}, "AliasBackward0"},
      {{kNone}, "UnsqueezeBackward0"},
      {{kNone, kNone}, "UnsqueezeBackward0"},
      {{kDots, kNone}, "UnsqueezeBackward0"},
      {{kNone, kDots}, "UnsqueezeBackward0"},
      {{kNone, kAll}, "UnsqueezeBackward0"},
      {{kAll, kNone}, "UnsqueezeBackward0"},
      {{At(0), kNone}, "UnsqueezeBackward0"},
      {{At(0), kAll, kNone}, "UnsqueezeBackward0"},
      {{Range(0, 2), kNone, kAll}, "UnsqueezeBackward0"},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto view = tensor.Index(cases[i].terms);
    ASSERT_TRUE(view.ok()) << "case " << i << ": " << view.status();
    EXPECT_EQ(view->grad_fn(), cases[i].grad_fn) << "case " << i;
  }
}

TEST(TensorTest, DetachDropsTheHistory) {
  const Tensor view = *Make({2, 3}, kLeaf).View(Dims{6});
  const Tensor detached = view.Detach();
  EXPECT_EQ(detached.autograd(), Autograd{});
  EXPECT_TRUE(detached.is_leaf());
  EXPECT_EQ(detached.layout(), view.layout());
}

TEST(TensorTest, RequiresGradChangesOnLeaves) {
  const Tensor plain = Make({2});
  const auto with = plain.WithRequiresGrad(true);
  ASSERT_TRUE(with.ok());
  EXPECT_EQ(with->autograd(), kLeaf);
  const auto without = with->WithRequiresGrad(false);
  ASSERT_TRUE(without.ok());
  EXPECT_EQ(without->autograd(), Autograd{});
}

TEST(TensorTest, OnlyDifferentiableDTypesCanRequireGrad) {
  for (const DType dtype : AllDTypes()) {
    const Tensor tensor = Make({2}, {}, dtype);
    EXPECT_TRUE(tensor.WithRequiresGrad(false).ok()) << Name(dtype);
    const auto with = tensor.WithRequiresGrad(true);
    EXPECT_EQ(with.ok(), IsDifferentiable(dtype)) << Name(dtype);
    if (with.ok()) continue;
    ExpectRefused(with.status(), absl::StatusCode::kInvalidArgument,
                  reason::kGradDtype,
                  "only Tensors of floating point dtype can require gradients");
  }
}

TEST(TensorTest, NonLeavesKeepTheirGrad) {
  const Tensor view = *Make({2, 3}, kLeaf).View(Dims{6});
  const auto same = view.WithRequiresGrad(true);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->grad_fn(), "ViewBackward0");
  ExpectRefused(
      view.WithRequiresGrad(false).status(),
      absl::StatusCode::kFailedPrecondition, reason::kGradNonLeaf,
      "you can only change requires_grad flags of leaf variables. If you want "
      "to use a computed variable in a subgraph that doesn't require "
      "differentiation use var_no_grad = var.detach().");
}

TEST(TensorTest, ViewRefusesWhatNeedsACopy) {
  const Tensor transposed = *Make({2, 3}).Permute(Dims{1, 0});
  ExpectRefused(transposed.View(Dims{6}).status(),
                absl::StatusCode::kFailedPrecondition, reason::kViewNeedsCopy,
                "view size is not compatible with input tensor's size and "
                "stride (at least one dimension spans across two contiguous "
                "subspaces). Use .reshape(...) instead.");
}

TEST(TensorTest, PassesOnWhatIsWrongWithAView) {
  const Tensor tensor = Make({2, 3});
  const std::vector<IndexTerm> beyond = {At(2)};
  EXPECT_EQ(GetErrorReason(tensor.Index(beyond).status()),
            reason::kSliceOutOfRange);
  const std::vector<IndexTerm> too_many = {At(0), At(0), kAll};
  EXPECT_EQ(GetErrorReason(tensor.Index(too_many).status()),
            reason::kSliceInvalid);
  EXPECT_EQ(GetErrorReason(tensor.Permute(Dims{0, 0}).status()),
            reason::kDimsInvalid);
  EXPECT_EQ(GetErrorReason(tensor.View(Dims{5}).status()),
            reason::kSizeMismatch);
}

}  // namespace
}  // namespace tensord
