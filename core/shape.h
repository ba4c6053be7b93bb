// Shapes, strides and basic indices: arithmetic on untrusted numbers. Values;
// thread-safe.
//
// All sizes are in elements unless a name says bytes. Strides are in elements
// and may be 0 or negative. Errors name the argument at fault as a field:
// "shape", "strides", "index" or "dims".
#ifndef TENSORD_CORE_SHAPE_H_
#define TENSORD_CORE_SHAPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tensord {

// NumPy's limit.
inline constexpr std::size_t kMaxDimensions = 64;

using Dims = std::vector<std::int64_t>;

// Where the elements of an array lie, counted from the start of its memory.
struct Layout {
  Dims shape;
  // As long as `shape`.
  Dims strides;
  // Of the element with all indices 0.
  std::int64_t offset = 0;
  bool operator==(const Layout&) const = default;
};

enum class Order : std::uint8_t { kC, kF };

// Number of elements of a shape that CheckedElementCount accepted.
std::int64_t ElementCount(absl::Span<const std::int64_t> shape);

// The same for an untrusted shape. INVALID_ARGUMENT: SHAPE_INVALID (a negative
// dimension, more than kMaxDimensions), SHAPE_OVERFLOW (the product of the
// dimensions that are not 0, times item_size, exceeds 2^63 - 1).
absl::StatusOr<std::int64_t> CheckedElementCount(
    absl::Span<const std::int64_t> shape, std::size_t item_size);

// Strides of a dense array. As PyTorch does, dimensions of size 0 count as 1.
Dims DenseStrides(absl::Span<const std::int64_t> shape, Order order);

// A dense layout with offset 0.
Layout DenseLayout(Dims shape, Order order = Order::kC);

// Whether walking the elements in C order walks memory without gaps. Dimensions
// of size 1 do not matter; arrays without elements are contiguous.
bool IsContiguous(const Layout& layout);

// Whether the elements fill a stretch of memory without gaps or overlaps in
// some order of the dimensions, going forward. Then that stretch starts at
// `offset`.
bool IsDense(const Layout& layout);

// Checks strides that a client gave for an array of `shape` that fills its
// bytes exactly. Strides of dimensions of size 1, and of arrays without
// elements, place nothing: any will do, as long as the way through all
// dimensions, in bytes of the largest items, fits in 63 bits. INVALID_ARGUMENT
// (STRIDES_INVALID): wrong number, negative, overlapping, with gaps, too long.
// REQUIRES: CheckedElementCount accepted `shape`.
absl::Status CheckDenseStrides(absl::Span<const std::int64_t> shape,
                               absl::Span<const std::int64_t> strides);

// Terms of a basic index.
struct Slice {
  std::optional<std::int64_t> start = {};
  std::optional<std::int64_t> stop = {};
  std::optional<std::int64_t> step = {};
  bool operator==(const Slice&) const = default;
};
struct Ellipsis {
  bool operator==(const Ellipsis&) const = default;
};
struct NewAxis {
  bool operator==(const NewAxis&) const = default;
};
using IndexTerm = std::variant<std::int64_t, Slice, Ellipsis, NewAxis>;

// The layout of array[terms...], as NumPy and PyTorch define it; negative steps
// as in NumPy. Without elements the offset stays. INVALID_ARGUMENT:
// SLICE_INVALID (step 0, two ellipses, more terms than dimensions),
// SHAPE_INVALID (more than kMaxDimensions result). OUT_OF_RANGE:
// SLICE_OUT_OF_RANGE (an integer beyond the end). Messages are PyTorch's.
absl::StatusOr<Layout> IndexLayout(const Layout& layout,
                                   absl::Span<const IndexTerm> terms);

// The layout with its dimensions in the order `dims` (negative ones count from
// the end). INVALID_ARGUMENT: DIMS_INVALID (not a permutation).
absl::StatusOr<Layout> PermuteLayout(const Layout& layout,
                                     absl::Span<const std::int64_t> dims);

// `shape` with its -1, if any, inferred. INVALID_ARGUMENT: SHAPE_INVALID (two
// -1, other negatives, can not be inferred), SIZE_MISMATCH (another number of
// elements), SHAPE_OVERFLOW. Messages are PyTorch's.
absl::StatusOr<Dims> InferShape(std::int64_t element_count,
                                absl::Span<const std::int64_t> shape);

// The same elements as `layout`, in the same order, seen as `shape` without
// moving them; nothing if strides do not allow it. REQUIRES: equal numbers of
// elements.
std::optional<Layout> ViewLayout(const Layout& layout,
                                 absl::Span<const std::int64_t> shape);

// "[2, 3]", as PyTorch prints sizes.
std::string ShapeString(absl::Span<const std::int64_t> shape);

}  // namespace tensord

#endif  // TENSORD_CORE_SHAPE_H_
