#include "core/shape.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// Draws small layouts, shapes and indices.
class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}

  std::int64_t Between(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  bool Chance(int percent) { return Between(1, 100) <= percent; }

  Dims Shape(std::int64_t least = 0) {
    Dims shape(static_cast<std::size_t>(Between(0, 4)));
    for (std::int64_t& size : shape) size = Between(Chance(20) ? least : 1, 4);
    return shape;
  }

  // A dense layout with its dimensions in some order, of which some may go
  // backwards, repeat or leave gaps.
  Layout AnyLayout(std::int64_t least = 0) {
    Layout layout = DenseLayout(Shape(least), Order::kC);
    layout = *PermuteLayout(layout, Permutation(layout.shape.size()));
    layout.offset = 1000;
    for (std::int64_t& stride : layout.strides) {
      if (Chance(10)) stride = -stride;
      if (Chance(10)) stride *= 2;
      if (Chance(10)) stride = Between(0, 3);
    }
    return layout;
  }

  Dims Permutation(std::size_t count) {
    Dims dims(count);
    std::iota(dims.begin(), dims.end(), 0);
    std::shuffle(dims.begin(), dims.end(), random_);
    return dims;
  }

  std::optional<std::int64_t> Bound() {
    if (Chance(30)) return std::nullopt;
    if (Chance(5)) return Chance(50) ? kMin : kMax;
    return Between(-7, 7);
  }

  IndexTerm Term() {
    const std::int64_t kind = Between(0, 9);
    if (kind == 0) return Ellipsis{};
    if (kind == 1) return NewAxis{};
    if (kind <= 4) return Between(-4, 4);
    Slice slice{Bound(), Bound(), Bound()};
    if (slice.step == 0 && Chance(90)) slice.step = 1;
    return slice;
  }

  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_;
};

// Calls visit with every index of an array of `shape`, in C order.
void ForEachIndex(const Dims& shape,
                  const std::function<void(const Dims&)>& visit) {
  Dims index(shape.size(), 0);
  for (std::int64_t left = ElementCount(shape); left > 0; --left) {
    visit(index);
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      if (++index[dim] < shape[dim]) break;
      index[dim] = 0;
    }
  }
}

std::int64_t PositionOf(const Layout& layout, const Dims& index) {
  return std::inner_product(index.begin(), index.end(), layout.strides.begin(),
                            layout.offset);
}

// Where the elements lie, in C order.
Dims Positions(const Layout& layout) {
  Dims positions;
  ForEachIndex(layout.shape, [&](const Dims& index) {
    positions.push_back(PositionOf(layout, index));
  });
  return positions;
}

bool FillAStretch(const Layout& layout) {
  Dims positions = Positions(layout);
  std::sort(positions.begin(), positions.end());
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] != layout.offset + static_cast<std::int64_t>(i)) {
      return false;
    }
  }
  return true;
}

TEST(ShapeTest, CountsElements) {
  EXPECT_EQ(*CheckedElementCount({}, 8), 1);
  EXPECT_EQ(*CheckedElementCount({2, 3, 4}, 8), 24);
  EXPECT_EQ(*CheckedElementCount({2, 0, 4}, 8), 0);
  EXPECT_EQ(*CheckedElementCount({kMax}, 1), kMax);
  EXPECT_EQ(*CheckedElementCount({0, kMax}, 1), 0);
  EXPECT_EQ(*CheckedElementCount(Dims(64, 1), 16), 1);
}

std::string ReasonOf(const Dims& shape, std::size_t item_size) {
  const absl::StatusOr<std::int64_t> count =
      CheckedElementCount(shape, item_size);
  return count.ok() ? "accepted" : GetErrorReason(count.status());
}

TEST(ShapeTest, RefusesShapesThatAreNone) {
  EXPECT_EQ(ReasonOf({-1}, 1), reason::kShapeInvalid);
  EXPECT_EQ(ReasonOf({0, kMin}, 1), reason::kShapeInvalid);
  EXPECT_EQ(ReasonOf({kMax, kMax, -1}, 1), reason::kShapeInvalid);
  EXPECT_EQ(ReasonOf(Dims(65, 1), 1), reason::kShapeInvalid);
  EXPECT_EQ(ReasonOf(Dims(100'000, kMax), 1), reason::kShapeInvalid);
}

TEST(ShapeTest, RefusesSizesBeyond63Bits) {
  constexpr std::int64_t kOne = 1;
  EXPECT_EQ(ReasonOf({kMax}, 2), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({kOne << 61}, 8), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({kOne << 32, kOne << 32}, 1), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({kOne << 33, kOne << 31}, 1), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({0, kOne << 62, kOne << 62}, 1), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({kOne << 62, kOne << 62, 0}, 1), reason::kShapeOverflow);
  EXPECT_EQ(ReasonOf({kOne << 32, kOne << 30}, 1), "accepted");
  EXPECT_EQ(ReasonOf({kOne << 32, kOne << 30, 2}, 1), reason::kShapeOverflow);
}

TEST(ShapeTest, ErrorsNameTheirField) {
  const auto field = [](const absl::Status& status) {
    return GetErrorDetails(status).violations.at(0).field;
  };
  EXPECT_EQ(field(CheckedElementCount({-1}, 1).status()), "shape");
  EXPECT_EQ(field(InferShape(1, {2}).status()), "shape");
  EXPECT_EQ(field(CheckDenseStrides({2}, {2})), "strides");
  EXPECT_EQ(field(IndexLayout({}, {IndexTerm(0)}).status()), "index");
  EXPECT_EQ(field(PermuteLayout({}, {0}).status()), "dims");
}

TEST(ShapeTest, DenseStridesAreTorchs) {
  EXPECT_THAT(DenseStrides({2, 3, 4}, Order::kC), ElementsAre(12, 4, 1));
  EXPECT_THAT(DenseStrides({2, 3, 4}, Order::kF), ElementsAre(1, 2, 6));
  EXPECT_THAT(DenseStrides({2, 0, 3}, Order::kC), ElementsAre(3, 3, 1));
  EXPECT_THAT(DenseStrides({3, 0}, Order::kC), ElementsAre(1, 1));
  EXPECT_THAT(DenseStrides({0}, Order::kC), ElementsAre(1));
  EXPECT_THAT(DenseStrides({}, Order::kF), ElementsAre());
}

TEST(ShapeTest, ContiguousMeansWalkedWithoutGaps) {
  Dice dice(1);
  int contiguous = 0;
  for (int round = 0; round < 3000; ++round) {
    const Layout layout = dice.AnyLayout();
    Dims expected(static_cast<std::size_t>(ElementCount(layout.shape)));
    std::iota(expected.begin(), expected.end(), layout.offset);
    const bool found = Positions(layout) == expected;
    EXPECT_EQ(IsContiguous(layout), found)
        << ShapeString(layout.shape) << ShapeString(layout.strides);
    contiguous += found;
  }
  EXPECT_GT(contiguous, 300);
}

TEST(ShapeTest, DenseMeansFillingAStretch) {
  Dice dice(2);
  int dense = 0;
  for (int round = 0; round < 3000; ++round) {
    const Layout layout = dice.AnyLayout();
    const bool found = FillAStretch(layout);
    EXPECT_EQ(IsDense(layout), found)
        << ShapeString(layout.shape) << ShapeString(layout.strides);
    dense += found;
  }
  EXPECT_GT(dense, 1000);
}

TEST(ShapeTest, AcceptsExactlyStridesThatFillAStretch) {
  Dice dice(3);
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    const Layout layout = dice.AnyLayout();
    const absl::Status status = CheckDenseStrides(layout.shape, layout.strides);
    EXPECT_EQ(status.ok(), FillAStretch(layout))
        << ShapeString(layout.shape) << ShapeString(layout.strides);
    if (!status.ok()) {
      EXPECT_EQ(GetErrorReason(status), reason::kStridesInvalid);
    }
    accepted += status.ok();
  }
  EXPECT_GT(accepted, 1000);
}

TEST(ShapeTest, RefusesStridesThatNoMemoryHas) {
  EXPECT_FALSE(CheckDenseStrides({2, 3}, {1}).ok());
  EXPECT_FALSE(CheckDenseStrides({2, 3}, {3, 1, 1}).ok());
  EXPECT_FALSE(CheckDenseStrides({2, 3}, {kMin, 1}).ok());
  EXPECT_FALSE(CheckDenseStrides({2, 3}, {kMax, kMax}).ok());
  EXPECT_FALSE(CheckDenseStrides({1, 3}, {kMax, 1}).ok());
  EXPECT_FALSE(CheckDenseStrides({1, 3}, {kMin, 1}).ok());
  EXPECT_FALSE(CheckDenseStrides({0, kMax}, {1, kMax}).ok());
  EXPECT_TRUE(CheckDenseStrides({1, 3}, {-3, 1}).ok());
  EXPECT_TRUE(CheckDenseStrides({0, 3}, {77, 9}).ok());
}

// What Python's range(size)[slice] gives.
Dims Selected(const Slice& slice, std::int64_t size) {
  const std::int64_t step = slice.step.value_or(1);
  const auto bound = [&](std::optional<std::int64_t> given, bool is_start) {
    const bool low = (step > 0) == is_start;
    if (!given) return low ? (step > 0 ? 0 : -1) : size - (step < 0 ? 1 : 0);
    std::int64_t value = *given;
    if (value < 0) value += size;
    if (value < 0) value = step > 0 ? 0 : -1;
    if (value > size) value = size;
    if (value == size && step < 0) value = size - 1;
    return value;
  };
  Dims selected;
  std::int64_t index = bound(slice.start, true);
  const std::int64_t stop = bound(slice.stop, false);
  while (step > 0 ? index < stop : index > stop) {
    selected.push_back(index);
    if (step > size || step < -size) break;
    index += step;
  }
  return selected;
}

// An array by its elements, indexed one dimension after the other.
struct ModelArray {
  Dims shape;
  Dims positions;
};

// Keeps the elements at `kept` of dimension `dim`.
ModelArray Take(const ModelArray& array, std::size_t dim, const Dims& kept) {
  ModelArray result;
  result.shape = array.shape;
  result.shape[dim] = static_cast<std::int64_t>(kept.size());
  const Layout dense = DenseLayout(array.shape);
  ForEachIndex(result.shape, [&](Dims index) {
    index[dim] = kept[static_cast<std::size_t>(index[dim])];
    result.positions.push_back(
        array.positions[static_cast<std::size_t>(PositionOf(dense, index))]);
  });
  return result;
}

// What NumPy gives; nothing where it raises.
std::optional<ModelArray> ModelIndex(const Layout& layout,
                                     const std::vector<IndexTerm>& terms) {
  ModelArray array{layout.shape, Positions(layout)};
  std::size_t ellipses = 0;
  std::size_t used = 0;
  for (const IndexTerm& term : terms) {
    ellipses += std::holds_alternative<Ellipsis>(term);
    used += term.index() < 2;
  }
  if (ellipses > 1 || used > array.shape.size()) return std::nullopt;
  const std::size_t whole = array.shape.size() - used;
  std::size_t dim = 0;
  for (const IndexTerm& term : terms) {
    if (std::holds_alternative<Ellipsis>(term)) {
      dim += whole;
    } else if (std::holds_alternative<NewAxis>(term)) {
      array.shape.insert(array.shape.begin() + static_cast<std::ptrdiff_t>(dim),
                         1);
      ++dim;
    } else if (const auto* slice = std::get_if<Slice>(&term)) {
      if (slice->step == 0) return std::nullopt;
      array = Take(array, dim, Selected(*slice, array.shape[dim]));
      ++dim;
    } else {
      std::int64_t index = std::get<std::int64_t>(term);
      const std::int64_t size = array.shape[dim];
      if (index < -size || index >= size) return std::nullopt;
      array = Take(array, dim, {index < 0 ? index + size : index});
      array.shape.erase(array.shape.begin() + static_cast<std::ptrdiff_t>(dim));
    }
  }
  return array;
}

TEST(ShapeTest, IndexSelectsWhatNumpySelects) {
  Dice dice(4);
  int accepted = 0;
  for (int round = 0; round < 8'000; ++round) {
    const Layout layout = dice.AnyLayout();
    std::vector<IndexTerm> terms(static_cast<std::size_t>(dice.Between(0, 5)));
    for (IndexTerm& term : terms) term = dice.Term();
    const std::optional<ModelArray> model = ModelIndex(layout, terms);
    const absl::StatusOr<Layout> result = IndexLayout(layout, terms);
    ASSERT_EQ(result.ok(), model.has_value()) << result.status();
    if (!model) continue;
    ++accepted;
    ASSERT_EQ(result->shape, model->shape);
    ASSERT_EQ(result->strides.size(), result->shape.size());
    ASSERT_EQ(Positions(*result), model->positions);
    if (model->positions.empty()) {
      ASSERT_EQ(result->offset, layout.offset);
    }
  }
  EXPECT_GT(accepted, 1500);
}

TEST(ShapeTest, IndexKeepsStridesOfTorch) {
  const Layout layout = DenseLayout({2, 3});
  EXPECT_EQ(IndexLayout(layout, {NewAxis{}})->strides, (Dims{6, 3, 1}));
  EXPECT_EQ(IndexLayout(layout, {Ellipsis{}, NewAxis{}})->strides,
            (Dims{3, 1, 1}));
  EXPECT_EQ(IndexLayout(layout, {Slice{{}, {}, 2}})->strides, (Dims{6, 1}));
}

TEST(ShapeTest, IndexOfHugeEmptyArraysStaysInBounds) {
  const Layout layout = DenseLayout({kMax, 0});
  const absl::StatusOr<Layout> one = IndexLayout(layout, {IndexTerm(kMax - 1)});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(*one, (Layout{{0}, {1}, 0}));
  const absl::StatusOr<Layout> some =
      IndexLayout(layout, {Slice{kMax - 5, kMax, kMax}, Slice{{}, {}, kMin}});
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(some->shape, (Dims{1, 0}));
  EXPECT_EQ(some->offset, 0);
  for (std::int64_t step : {kMin, kMin + 1, kMax}) {
    const absl::StatusOr<Layout> steps =
        IndexLayout(DenseLayout({3, 5}), {Slice{{}, {}, step}});
    ASSERT_TRUE(steps.ok());
    EXPECT_EQ(steps->shape, (Dims{1, 5}));
    EXPECT_EQ(steps->offset, step < 0 ? 10 : 0);
    EXPECT_EQ(steps->strides, (Dims{5, 1}));
  }
}

struct Refusal {
  std::vector<IndexTerm> terms;
  std::string_view reason;
  std::string_view message;
};

void ExpectRefusals(const Dims& shape, const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    const absl::Status status =
        IndexLayout(DenseLayout(shape), refusal.terms).status();
    EXPECT_EQ(GetErrorReason(status), refusal.reason) << refusal.message;
    EXPECT_EQ(std::string(status.message()), refusal.message);
    EXPECT_EQ(status.code(), refusal.reason == reason::kSliceOutOfRange
                                 ? absl::StatusCode::kOutOfRange
                                 : absl::StatusCode::kInvalidArgument);
  }
}

TEST(ShapeTest, IndexErrorsAreTorchs) {
  const IndexTerm all = Slice{};
  const IndexTerm zero_step = Slice{{}, {}, 0};
  const std::string_view too_many =
      "too many indices for tensor of dimension 2";
  ExpectRefusals(
      {2, 3},
      {{{5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 0 with size 2"},
       {{-3},
        reason::kSliceOutOfRange,
        "index -3 is out of bounds for dimension 0 with size 2"},
       {{kMin},
        reason::kSliceOutOfRange,
        "index -9223372036854775808 is out of bounds for dimension 0 with "
        "size 2"},
       {{0, 5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 1 with size 3"},
       {{NewAxis{}, 0, NewAxis{}, 5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 3 with size 3"},
       {{Ellipsis{}, 5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 1 with size 3"},
       {{Ellipsis{}, Slice{}, 5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 2 with size 3"},
       {{0, 0, 0}, reason::kSliceInvalid, too_many},
       {{5, all, Ellipsis{}, all}, reason::kSliceInvalid, too_many},
       {{zero_step}, reason::kSliceInvalid, "slice step cannot be zero"},
       {{Ellipsis{}, 0, Ellipsis{}},
        reason::kSliceInvalid,
        "an index can only have a single ellipsis ('...')"}});
}

TEST(ShapeTest, IndexErrorsOfZeroDimensionsAreTorchs) {
  const std::string_view too_many =
      "too many indices for tensor of dimension 0";
  ExpectRefusals(
      {},
      {{{0},
        reason::kSliceInvalid,
        "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
        "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"},
       {{Slice{}},
        reason::kSliceInvalid,
        "slice() cannot be applied to a 0-dim tensor."},
       {{5},
        reason::kSliceOutOfRange,
        "index 5 is out of bounds for dimension 0 with size 0"},
       {{-1},
        reason::kSliceOutOfRange,
        "index -1 is out of bounds for dimension 0 with size 0"},
       {{Slice{{}, {}, 0}}, reason::kSliceInvalid, "slice step cannot be zero"},
       {{0, 0}, reason::kSliceInvalid, too_many},
       {{NewAxis{}, 0}, reason::kSliceInvalid, too_many},
       {{Ellipsis{}, 0}, reason::kSliceInvalid, too_many}});
}

TEST(ShapeTest, IndexMakesAtMost64Dimensions) {
  const Layout layout = DenseLayout({2, 3});
  std::vector<IndexTerm> terms(62, NewAxis{});
  EXPECT_TRUE(IndexLayout(layout, terms).ok());
  terms.push_back(NewAxis{});
  EXPECT_EQ(GetErrorReason(IndexLayout(layout, terms).status()),
            reason::kShapeInvalid);
  terms.push_back(IndexTerm(0));
  EXPECT_TRUE(IndexLayout(layout, terms).ok());
  terms.assign(100'000, NewAxis{});
  EXPECT_FALSE(IndexLayout(layout, terms).ok());
}

TEST(ShapeTest, PermuteMovesDimensions) {
  Dice dice(5);
  for (int round = 0; round < 1000; ++round) {
    const Layout layout = dice.AnyLayout();
    const auto count = static_cast<std::int64_t>(layout.shape.size());
    const Dims order = dice.Permutation(layout.shape.size());
    Dims dims = order;
    for (std::int64_t& dim : dims) {
      if (dice.Chance(50)) dim -= count;
    }
    const absl::StatusOr<Layout> result = PermuteLayout(layout, dims);
    ASSERT_TRUE(result.ok());
    ForEachIndex(result->shape, [&](const Dims& index) {
      Dims source(index.size());
      for (std::size_t i = 0; i < index.size(); ++i) {
        source[static_cast<std::size_t>(order[i])] = index[i];
      }
      EXPECT_EQ(PositionOf(*result, index), PositionOf(layout, source));
    });
  }
}

TEST(ShapeTest, PermuteErrorsAreTorchs) {
  const Layout layout = DenseLayout({2, 3});
  const auto message = [&](const Dims& dims) {
    const absl::Status status = PermuteLayout(layout, dims).status();
    EXPECT_EQ(GetErrorReason(status), reason::kDimsInvalid);
    return std::string(status.message());
  };
  EXPECT_EQ(message({0, 0}), "permute(): duplicate dims are not allowed.");
  EXPECT_EQ(message({1, -1}), "permute(): duplicate dims are not allowed.");
  EXPECT_EQ(message({0, 5}),
            "Dimension out of range (expected to be in range of [-2, 1], but "
            "got 5)");
  EXPECT_EQ(message({kMin, 0}),
            "Dimension out of range (expected to be in range of [-2, 1], but "
            "got -9223372036854775808)");
  EXPECT_EQ(message({0}),
            "permute(sparse_coo): number of dimensions in the tensor input "
            "does not match the length of the desired ordering of dimensions "
            "i.e. input.dim() = 2 is not equal to len(dims) = 1");
}

TEST(ShapeTest, InfersTheMissingDimension) {
  Dice dice(6);
  for (int round = 0; round < 2000; ++round) {
    const Dims shape = dice.Shape();
    const std::int64_t count = ElementCount(shape);
    EXPECT_EQ(*InferShape(count, shape), shape);
    EXPECT_EQ(GetErrorReason(InferShape(count + 1, shape).status()),
              reason::kSizeMismatch);
    if (shape.empty()) continue;
    Dims asked = shape;
    const auto dim = static_cast<std::size_t>(
        dice.Between(0, static_cast<std::int64_t>(shape.size()) - 1));
    asked[dim] = -1;
    const absl::StatusOr<Dims> inferred = InferShape(count, asked);
    const bool known_zero =
        std::find(asked.begin(), asked.end(), 0) != asked.end();
    ASSERT_EQ(inferred.ok(), !known_zero);
    if (inferred.ok()) {
      EXPECT_EQ(*inferred, shape);
    }
  }
}

TEST(ShapeTest, InferErrorsAreTorchs) {
  const auto check = [](std::int64_t count, const Dims& shape,
                        std::string_view reason, std::string_view message) {
    const absl::Status status = InferShape(count, shape).status();
    EXPECT_EQ(GetErrorReason(status), reason) << message;
    EXPECT_EQ(std::string(status.message()), message);
  };
  check(6, {7}, reason::kSizeMismatch,
        "shape '[7]' is invalid for input of size 6");
  check(6, {}, reason::kSizeMismatch,
        "shape '[]' is invalid for input of size 6");
  check(6, {-1, 4}, reason::kSizeMismatch,
        "shape '[-1, 4]' is invalid for input of size 6");
  check(6, {0, -1}, reason::kSizeMismatch,
        "shape '[0, -1]' is invalid for input of size 6");
  check(6, {-1, -1, -5}, reason::kShapeInvalid,
        "only one dimension can be inferred");
  check(6, {-1, -5}, reason::kShapeInvalid,
        "invalid shape dimension -5 at index 1 of shape [-1, -5]");
  check(0, {0, -1}, reason::kShapeInvalid,
        "cannot reshape tensor of 0 elements into shape [0, -1] because the "
        "unspecified dimension size -1 can be any value and is ambiguous");
  check(6, {std::int64_t{1} << 40, std::int64_t{1} << 40},
        reason::kShapeOverflow,
        "shape '[1099511627776, 1099511627776]' is invalid for input of size "
        "6");
  check(0, {0, kMax, kMax}, reason::kShapeOverflow,
        "shape '[0, 9223372036854775807, 9223372036854775807]' is invalid for "
        "input of size 0");
  EXPECT_EQ(GetErrorReason(InferShape(1, Dims(65, 1)).status()),
            reason::kShapeInvalid);
}

// A shape with as many elements as `shape`: its factors, dealt out anew.
Dims Regrouped(const Dims& shape, Dice& dice) {
  Dims factors;
  for (std::int64_t size : shape) {
    if (size == 4 && dice.Chance(50)) {
      factors.insert(factors.end(), {2, 2});
    } else {
      factors.push_back(size);
    }
  }
  if (dice.Chance(30)) {
    std::shuffle(factors.begin(), factors.end(), dice.random());
  }
  Dims result;
  for (std::int64_t factor : factors) {
    if (!result.empty() && dice.Chance(40)) {
      result.back() *= factor;
    } else {
      result.push_back(factor);
    }
    if (dice.Chance(10)) result.push_back(1);
  }
  return result;
}

// The layout of `shape` over the same positions, if there is one.
std::optional<Layout> ModelView(const Layout& layout, const Dims& shape) {
  const Dims positions = Positions(layout);
  Layout result{shape, Dims(shape.size(), 0), layout.offset};
  const Dims dense = DenseStrides(shape, Order::kC);
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    if (shape[dim] < 2) continue;
    result.strides[dim] =
        positions[static_cast<std::size_t>(dense[dim])] - positions[0];
  }
  if (Positions(result) != positions) return std::nullopt;
  return result;
}

TEST(ShapeTest, ViewsWhereverStridesAllow) {
  Dice dice(7);
  int views = 0;
  int copies = 0;
  for (int round = 0; round < 8'000; ++round) {
    const Layout layout = dice.AnyLayout(1);
    const Dims shape = Regrouped(layout.shape, dice);
    const std::optional<Layout> view = ViewLayout(layout, shape);
    const bool possible = ModelView(layout, shape).has_value();
    ASSERT_EQ(view.has_value(), possible)
        << ShapeString(layout.shape) << ShapeString(layout.strides)
        << ShapeString(shape);
    ++(view ? views : copies);
    if (!view) continue;
    ASSERT_EQ(view->shape, shape);
    ASSERT_EQ(Positions(*view), Positions(layout));
  }
  EXPECT_GT(views, 1000);
  EXPECT_GT(copies, 1000);
}

TEST(ShapeTest, ViewsOfEmptyArraysHaveTorchsStrides) {
  const Layout empty{{0, 3}, {7, 2}, 5};
  EXPECT_EQ(ViewLayout(empty, {0, 3}), empty);
  EXPECT_EQ(ViewLayout(empty, {3, 0, 2}), (Layout{{3, 0, 2}, {2, 2, 1}, 5}));
  EXPECT_EQ(ViewLayout(Layout{{}, {}, 5}, {1, 1}), (Layout{{1, 1}, {1, 1}, 5}));
}

TEST(ShapeTest, ShapesPrintLikeTorchs) {
  EXPECT_EQ(ShapeString({}), "[]");
  EXPECT_EQ(ShapeString({2, -1}), "[2, -1]");
}

}  // namespace
}  // namespace tensord
