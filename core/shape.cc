#include "core/shape.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error.h"

namespace tensord {
namespace {

constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();
constexpr std::string_view kShapeField = "shape";
constexpr std::string_view kStridesField = "strides";
constexpr std::string_view kIndexField = "index";
constexpr std::string_view kDimsField = "dims";
// No stride may lead further than this, so that a way in bytes of the largest
// items fits in 63 bits wherever it is summed up.
constexpr std::int64_t kMaxReach = kMaxInt64 / 16;

std::int64_t Signed(std::size_t size) {
  return static_cast<std::int64_t>(size);
}

// a * b, or nothing if that does not fit.
std::optional<std::int64_t> Product(std::int64_t a, std::int64_t b) {
  std::int64_t result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// The same, where the result is a stride.
std::optional<std::int64_t> BoundedProduct(std::int64_t a, std::int64_t b) {
  const std::optional<std::int64_t> result = Product(a, b);
  if (!result || *result > kMaxReach || *result < -kMaxReach) {
    return std::nullopt;
  }
  return result;
}

bool HasZero(absl::Span<const std::int64_t> shape) {
  return std::find(shape.begin(), shape.end(), 0) != shape.end();
}

absl::Status CheckDimensionCount(std::size_t count, std::string_view field) {
  if (count <= kMaxDimensions) return absl::OkStatus();
  return InvalidArgument(reason::kShapeInvalid,
                         absl::StrCat("number of dimensions is ", count,
                                      ", more than ", kMaxDimensions),
                         field);
}

}  // namespace

std::int64_t ElementCount(absl::Span<const std::int64_t> shape) {
  // Without elements the other dimensions, multiplied in any order, may not
  // fit.
  if (HasZero(shape)) return 0;
  std::int64_t count = 1;
  for (std::int64_t size : shape) count *= size;
  return count;
}

absl::StatusOr<std::int64_t> CheckedElementCount(
    absl::Span<const std::int64_t> shape, std::size_t item_size) {
  absl::Status status = CheckDimensionCount(shape.size(), kShapeField);
  if (!status.ok()) return status;
  for (std::int64_t size : shape) {
    if (size >= 0) continue;
    return InvalidArgument(
        reason::kShapeInvalid,
        absl::StrCat("Trying to create tensor with negative dimension ", size,
                     ": ", ShapeString(shape)),
        kShapeField);
  }
  std::optional<std::int64_t> bytes = Signed(item_size);
  for (std::int64_t size : shape) {
    if (size != 0) bytes = Product(*bytes, size);
    if (bytes) continue;
    return InvalidArgument(
        reason::kShapeOverflow,
        absl::StrCat("shape ", ShapeString(shape), " with elements of ",
                     item_size, " bytes exceeds 2^63 - 1 bytes"),
        kShapeField);
  }
  return ElementCount(shape);
}

Dims DenseStrides(absl::Span<const std::int64_t> shape, Order order) {
  Dims strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t dim = order == Order::kF ? i : shape.size() - 1 - i;
    strides[dim] = stride;
    stride *= std::max<std::int64_t>(shape[dim], 1);
  }
  return strides;
}

Layout DenseLayout(Dims shape, Order order) {
  Dims strides = DenseStrides(shape, order);
  return {std::move(shape), std::move(strides), 0};
}

bool IsContiguous(const Layout& layout) {
  if (HasZero(layout.shape)) return true;
  std::int64_t stride = 1;
  for (std::size_t dim = layout.shape.size(); dim-- > 0;) {
    if (layout.shape[dim] == 1) continue;
    if (layout.strides[dim] != stride) return false;
    stride *= layout.shape[dim];
  }
  return true;
}

bool IsDense(const Layout& layout) {
  if (HasZero(layout.shape)) return true;
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;
  for (std::size_t dim = 0; dim < layout.shape.size(); ++dim) {
    if (layout.shape[dim] == 1) continue;
    steps.emplace_back(layout.strides[dim], layout.shape[dim]);
  }
  std::sort(steps.begin(), steps.end());
  std::int64_t expected = 1;
  for (const auto& [stride, size] : steps) {
    if (stride != expected) return false;
    expected *= size;
  }
  return true;
}

absl::Status CheckDenseStrides(absl::Span<const std::int64_t> shape,
                               absl::Span<const std::int64_t> strides) {
  const auto refuse = [&](std::string_view what) {
    return InvalidArgument(
        reason::kStridesInvalid,
        absl::StrCat("strides ", ShapeString(strides), " of shape ",
                     ShapeString(shape), " ", std::string(what)),
        kStridesField);
  };
  if (strides.size() != shape.size()) {
    return InvalidArgument(reason::kStridesInvalid,
                           absl::StrCat(strides.size(), " strides for ",
                                        shape.size(), " dimensions"),
                           kStridesField);
  }
  const bool empty = HasZero(shape);
  std::int64_t reach = 0;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    const std::int64_t stride = strides[dim];
    if (stride < 0 && shape[dim] > 1 && !empty) return refuse("are negative");
    if (stride > kMaxReach || stride < -kMaxReach) {
      return refuse("are too long");
    }
    const std::int64_t steps = std::max<std::int64_t>(shape[dim] - 1, 1);
    const std::optional<std::int64_t> way = Product(std::abs(stride), steps);
    if (!way || *way > kMaxReach - reach) return refuse("are too long");
    reach += *way;
  }
  if (!IsDense({Dims(shape.begin(), shape.end()),
                Dims(strides.begin(), strides.end()), 0})) {
    return refuse("overlap or leave gaps");
  }
  return absl::OkStatus();
}

namespace {

// Walks the terms of a basic index along the dimensions of a layout.
class Indexer {
 public:
  explicit Indexer(const Layout& source) : source_(source) {
    result_.offset = source.offset;
  }

  absl::StatusOr<Layout> Apply(absl::Span<const IndexTerm> terms) {
    absl::Status status = CheckTerms(terms);
    if (!status.ok()) return status;
    for (const IndexTerm& term : terms) {
      status = std::visit([this](const auto& t) { return Take(t); }, term);
      if (!status.ok()) return status;
      ++position_;
    }
    TakeWhole(source_.shape.size() - dim_);
    // The start of a slice without elements may lie behind the memory.
    if (HasZero(result_.shape)) result_.offset = source_.offset;
    return std::move(result_);
  }

 private:
  // Counts what the terms use up and make, before any of them is applied.
  absl::Status CheckTerms(absl::Span<const IndexTerm> terms) {
    std::size_t consumed = 0;
    std::size_t dropped = 0;
    std::size_t added = 0;
    std::size_t ellipses = 0;
    for (const IndexTerm& term : terms) {
      if (std::holds_alternative<Ellipsis>(term)) {
        ++ellipses;
      } else if (std::holds_alternative<NewAxis>(term)) {
        ++added;
      } else {
        ++consumed;
        if (std::holds_alternative<std::int64_t>(term)) ++dropped;
      }
    }
    if (ellipses > 1) {
      return InvalidArgument(reason::kSliceInvalid,
                             "an index can only have a single ellipsis ('...')",
                             kIndexField);
    }
    const std::size_t dims = source_.shape.size();
    if (consumed > dims) return TooManyIndices(terms);
    whole_ = dims - consumed;
    return CheckDimensionCount(dims - dropped + added, kIndexField);
  }

  absl::Status TooManyIndices(absl::Span<const IndexTerm> terms) const {
    if (source_.shape.empty() && terms.size() == 1) {
      return ScalarIndexed(terms[0]);
    }
    return InvalidArgument(
        reason::kSliceInvalid,
        absl::StrCat("too many indices for tensor of dimension ",
                     source_.shape.size()),
        kIndexField);
  }

  // PyTorch words the index of a 0-dim tensor by what it is.
  static absl::Status ScalarIndexed(const IndexTerm& term) {
    if (const auto* slice = std::get_if<Slice>(&term)) {
      if (slice->step == 0) return ZeroStep();
      return InvalidArgument(reason::kSliceInvalid,
                             "slice() cannot be applied to a 0-dim tensor.",
                             kIndexField);
    }
    const std::int64_t index = std::get<std::int64_t>(term);
    if (index != 0) return OutOfBounds(index, 0, 0);
    return InvalidArgument(
        reason::kSliceInvalid,
        "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
        "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number",
        kIndexField);
  }

  static absl::Status ZeroStep() {
    return InvalidArgument(reason::kSliceInvalid, "slice step cannot be zero",
                           kIndexField);
  }

  // What PyTorch calls the dimension is the position of the term.
  static absl::Status OutOfBounds(std::int64_t index, std::size_t position,
                                  std::int64_t size) {
    return MakeError(
        absl::StatusCode::kOutOfRange, reason::kSliceOutOfRange,
        absl::StrCat("index ", index, " is out of bounds for dimension ",
                     position, " with size ", size),
        kIndexField);
  }

  absl::Status Take(std::int64_t index) {
    const std::int64_t size = source_.shape[dim_];
    if (index < -size || index >= size) {
      return OutOfBounds(index, position_, size);
    }
    Advance(index < 0 ? index + size : index);
    ++dim_;
    return absl::OkStatus();
  }

  absl::Status Take(const Slice& slice) {
    std::int64_t step = slice.step.value_or(1);
    if (step == 0) return ZeroStep();
    // The most negative number has no counterpart; no dimension is long enough
    // to tell its neighbour from it.
    step = std::max(step, -kMaxInt64);
    const std::int64_t size = source_.shape[dim_];
    const std::int64_t first = step > 0 ? 0 : -1;
    const std::int64_t last = step > 0 ? size : size - 1;
    const auto clamp = [&](std::int64_t bound) {
      return std::clamp(bound < 0 ? bound + size : bound, first, last);
    };
    const std::int64_t start =
        slice.start ? clamp(*slice.start) : (step > 0 ? first : last);
    const std::int64_t stop =
        slice.stop ? clamp(*slice.stop) : (step > 0 ? last : first);
    const std::int64_t span = step > 0 ? stop - start : start - stop;
    const std::int64_t length = span > 0 ? (span - 1) / std::abs(step) + 1 : 0;
    Advance(start);
    // A step out of bounds is one that is never made.
    const std::int64_t stride = source_.strides[dim_];
    AddDimension(length, BoundedProduct(stride, step).value_or(stride));
    ++dim_;
    return absl::OkStatus();
  }

  absl::Status Take(Ellipsis) {
    TakeWhole(whole_);
    return absl::OkStatus();
  }

  // The stride is torch's: that of a dimension around all that follow.
  absl::Status Take(NewAxis) {
    std::int64_t stride = 1;
    if (dim_ < source_.shape.size()) {
      stride = BoundedProduct(source_.shape[dim_], source_.strides[dim_])
                   .value_or(1);
    }
    AddDimension(1, stride);
    return absl::OkStatus();
  }

  void TakeWhole(std::size_t count) {
    for (; count > 0; --count, ++dim_) {
      AddDimension(source_.shape[dim_], source_.strides[dim_]);
    }
  }

  // Moves the offset to `index` of the current dimension. In a layout without
  // elements strides are no distances in memory.
  void Advance(std::int64_t index) {
    if (!empty_) result_.offset += index * source_.strides[dim_];
  }

  void AddDimension(std::int64_t size, std::int64_t stride) {
    result_.shape.push_back(size);
    result_.strides.push_back(stride);
  }

  const Layout& source_;
  const bool empty_ = HasZero(source_.shape);
  Layout result_;
  // The dimension of the source that the next term is about.
  std::size_t dim_ = 0;
  // Of the next term.
  std::size_t position_ = 0;
  // How many dimensions no term is about.
  std::size_t whole_ = 0;
};

}  // namespace

absl::StatusOr<Layout> IndexLayout(const Layout& layout,
                                   absl::Span<const IndexTerm> terms) {
  return Indexer(layout).Apply(terms);
}

absl::StatusOr<Layout> PermuteLayout(const Layout& layout,
                                     absl::Span<const std::int64_t> dims) {
  const std::int64_t count = Signed(layout.shape.size());
  if (Signed(dims.size()) != count) {
    return InvalidArgument(
        reason::kDimsInvalid,
        absl::StrCat("permute(sparse_coo): number of dimensions in the tensor "
                     "input does not match the length of the desired ordering "
                     "of dimensions i.e. input.dim() = ",
                     count, " is not equal to len(dims) = ", dims.size()),
        kDimsField);
  }
  Layout result{{}, {}, layout.offset};
  std::vector<bool> seen(layout.shape.size());
  for (std::int64_t dim : dims) {
    if (dim < -count || dim >= count) {
      return InvalidArgument(
          reason::kDimsInvalid,
          absl::StrCat("Dimension out of range (expected to be in range of [",
                       -count, ", ", count - 1, "], but got ", dim, ")"),
          kDimsField);
    }
    const auto source = static_cast<std::size_t>(dim < 0 ? dim + count : dim);
    if (seen[source]) {
      return InvalidArgument(reason::kDimsInvalid,
                             "permute(): duplicate dims are not allowed.",
                             kDimsField);
    }
    seen[source] = true;
    result.shape.push_back(layout.shape[source]);
    result.strides.push_back(layout.strides[source]);
  }
  return result;
}

namespace {

absl::Status ShapeMismatch(std::string_view reason, std::int64_t element_count,
                           absl::Span<const std::int64_t> shape) {
  return InvalidArgument(
      reason,
      absl::StrCat("shape '", ShapeString(shape),
                   "' is invalid for input of size ", element_count),
      kShapeField);
}

// The position of the -1 in `shape`, if there is one.
absl::StatusOr<std::optional<std::size_t>> FindInferred(
    absl::Span<const std::int64_t> shape) {
  std::optional<std::size_t> inferred;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    if (shape[dim] >= 0) continue;
    if (shape[dim] != -1) {
      return InvalidArgument(
          reason::kShapeInvalid,
          absl::StrCat("invalid shape dimension ", shape[dim], " at index ",
                       dim, " of shape ", ShapeString(shape)),
          kShapeField);
    }
    if (inferred) {
      return InvalidArgument(reason::kShapeInvalid,
                             "only one dimension can be inferred", kShapeField);
    }
    inferred = dim;
  }
  return inferred;
}

}  // namespace

absl::StatusOr<Dims> InferShape(std::int64_t element_count,
                                absl::Span<const std::int64_t> shape) {
  absl::Status status = CheckDimensionCount(shape.size(), kShapeField);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<std::size_t>> inferred = FindInferred(shape);
  if (!inferred.ok()) return inferred.status();
  Dims result(shape.begin(), shape.end());
  if (*inferred) result[**inferred] = 1;
  // The largest item: what fits with it fits with every dtype.
  const absl::StatusOr<std::int64_t> known = CheckedElementCount(result, 16);
  if (!known.ok()) {
    return ShapeMismatch(reason::kShapeOverflow, element_count, shape);
  }
  if (!*inferred) {
    if (*known == element_count) return result;
    return ShapeMismatch(reason::kSizeMismatch, element_count, shape);
  }
  if (*known == 0 && element_count == 0) {
    return InvalidArgument(
        reason::kShapeInvalid,
        absl::StrCat("cannot reshape tensor of 0 elements into shape ",
                     ShapeString(shape),
                     " because the unspecified dimension size -1 can be any "
                     "value and is ambiguous"),
        kShapeField);
  }
  if (*known == 0 || element_count % *known != 0) {
    return ShapeMismatch(reason::kSizeMismatch, element_count, shape);
  }
  result[**inferred] = element_count / *known;
  return result;
}

namespace {

// Neighbouring dimensions whose elements, in C order, are evenly spaced.
struct Run {
  std::int64_t size;
  std::int64_t stride;
};

// The runs of a layout with elements, the innermost first.
std::vector<Run> FindRuns(const Layout& layout) {
  std::vector<Run> runs;
  for (std::size_t dim = layout.shape.size(); dim-- > 0;) {
    const std::int64_t size = layout.shape[dim];
    const std::int64_t stride = layout.strides[dim];
    if (!runs.empty() && (size == 1 || Product(runs.back().size,
                                               runs.back().stride) == stride)) {
      runs.back().size *= size;
    } else {
      runs.push_back({size, stride});
    }
  }
  return runs;
}

}  // namespace

std::optional<Layout> ViewLayout(const Layout& layout,
                                 absl::Span<const std::int64_t> shape) {
  Layout result{Dims(shape.begin(), shape.end()), {}, layout.offset};
  if (HasZero(shape)) {
    result.strides = result.shape == layout.shape
                         ? layout.strides
                         : DenseStrides(shape, Order::kC);
    return result;
  }
  if (layout.shape.empty()) {
    result.strides.assign(shape.size(), 1);
    return result;
  }
  result.strides.resize(shape.size());
  const std::vector<Run> runs = FindRuns(layout);
  std::size_t run = 0;
  std::int64_t filled = 1;
  for (std::size_t dim = shape.size(); dim-- > 0;) {
    // Dimensions of size 1 belong to the run inside of them, as in PyTorch.
    if (shape[dim] != 1 && filled == runs[run].size) {
      ++run;
      filled = 1;
    }
    result.strides[dim] = filled * runs[run].stride;
    filled *= shape[dim];
    if (filled > runs[run].size) return std::nullopt;
  }
  return result;
}

std::string ShapeString(absl::Span<const std::int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace tensord
