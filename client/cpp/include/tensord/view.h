// Views on arrays of C++ types: spans and containers, C arrays, memory with
// strides and, with tensord/eigen.h, matrices of Eigen.
//
//   std::vector<float> values = ...;
//   client->Create(tensord::ViewOf(values));
//   float table[2][3] = ...;
//   client->Create(tensord::ViewOf(table));   // of shape [2, 3]
//   // Every other column of a row-major image of floats.
//   client->Create(tensord::ViewOf(pixels, {height, width / 2},
//                                  {row_bytes, 2 * sizeof(float)}));
//
// Nothing is copied: the memory is the caller's, to be kept as ArrayView says.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_VIEW_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_VIEW_H_

#include <cstdint>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/shape.h"
#include "tensord/array.h"
#include "tensord/element.h"

namespace tensord {

// Of elements at `data`, with strides as ArrayView::byte_strides.
template <class T>
ArrayView ViewOf(const T* data, Dims shape, Dims byte_strides = {}) {
  ArrayView view;
  view.data = data;
  view.dtype = internal::DTypeOfElement<T>();
  view.shape = std::move(shape);
  view.byte_strides = std::move(byte_strides);
  return view;
}

namespace internal {

template <class A>
inline constexpr bool kIsAbslSpan = false;
template <class T>
inline constexpr bool kIsAbslSpan<absl::Span<T>> = true;

template <class A>
Dims CArrayShape() {
  if constexpr (std::is_array_v<A>) {
    Dims shape = CArrayShape<std::remove_extent_t<A>>();
    shape.insert(shape.begin(), static_cast<std::int64_t>(std::extent_v<A>));
    return shape;
  } else {
    return {};
  }
}

}  // namespace internal

// How to view an A, without const or reference. This one takes C arrays of any
// number of dimensions, and ranges whose elements lie side by side, which
// become arrays of one. To be specialised for arrays of other libraries.
template <class A>
struct ViewTraits {
  // Whether the elements outlive an A that refers to them.
  static constexpr bool kIsBorrowed =
      std::ranges::borrowed_range<A> || internal::kIsAbslSpan<A>;

  static ArrayView View(const A& array) {
    if constexpr (std::is_array_v<A>) {
      using T = std::remove_all_extents_t<A>;
      return ViewOf(reinterpret_cast<const T*>(&array),
                    internal::CArrayShape<A>());
    } else {
      static_assert(std::ranges::range<const A>,
                    "tensord: no view is known of this type: pass a pointer, "
                    "the shape and the strides in bytes, or specialise "
                    "tensord::ViewTraits; for Eigen include tensord/eigen.h");
      constexpr bool is_contiguous = std::ranges::contiguous_range<const A>;
      static_assert(
          is_contiguous || !std::ranges::range<const A>,
          "tensord: the elements of this container do not lie side by side in "
          "memory, as those of std::vector<bool> (which has no memory of "
          "bools), std::deque and std::list: copy them to a std::vector, of "
          "std::uint8_t for truth values");
      if constexpr (is_contiguous) {
        return ViewOf(std::ranges::data(array),
                      {static_cast<std::int64_t>(std::ranges::size(array))});
      } else {
        return {};
      }
    }
  }
};

// Of all elements of a container, a span, a C array, or whatever else
// ViewTraits knows.
template <class A>
ArrayView ViewOf(A&& array) {
  using Traits = ViewTraits<std::remove_cvref_t<A>>;
  static_assert(std::is_lvalue_reference_v<A> || Traits::kIsBorrowed,
                "tensord: a view of this temporary would outlive it: give it a "
                "name first");
  return Traits::View(array);
}

namespace internal {

// Contiguous elements as an array of `shape`, of which a dimension may be -1.
// Errors of InferShape.
template <class T>
absl::StatusOr<ArrayView> ShapedView(std::span<const T> values,
                                     const Dims& shape) {
  absl::StatusOr<Dims> whole =
      InferShape(static_cast<std::int64_t>(values.size()), shape);
  if (!whole.ok()) return whole.status();
  return ViewOf(values.data(), *std::move(whole));
}

}  // namespace internal

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_VIEW_H_
