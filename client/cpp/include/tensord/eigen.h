// Views on matrices, arrays, maps and blocks of Eigen, for those who have it:
//
//   #include "tensord/eigen.h"
//   Eigen::MatrixXf weights = ...;
//   client->Create(tensord::ViewOf(weights));        // of shape [rows, cols]
//   client->Create(tensord::ViewOf(weights.row(0)));  // of shape [cols]
//
// Nothing is copied, whichever order the elements are stored in. Eigen::half
// and Eigen::bfloat16 are elements.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_EIGEN_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_EIGEN_H_

#include <Eigen/Core>
#include <cstdint>
#include <type_traits>

#include "tensord/array.h"
#include "tensord/element.h"
#include "tensord/view.h"

namespace tensord {

template <>
struct ElementTraits<Eigen::half> : HasDType<DType::kFloat16> {};
template <>
struct ElementTraits<Eigen::bfloat16> : HasDType<DType::kBFloat16> {};

// Vectors have one dimension, all else two.
template <class A>
requires std::is_base_of_v<Eigen::DenseBase<A>, A>
struct ViewTraits<A> {
  // Maps and blocks refer to others' elements.
  static constexpr bool kIsBorrowed =
      !std::is_base_of_v<Eigen::PlainObjectBase<A>, A>;

  static ArrayView View(const A& array) {
    constexpr bool has_memory = (A::Flags & Eigen::DirectAccessBit) != 0;
    static_assert(has_memory,
                  "tensord: this Eigen expression has no elements in memory: "
                  "evaluate it into a matrix or an array first");
    if constexpr (has_memory) {
      constexpr std::int64_t item = sizeof(typename A::Scalar);
      if constexpr (A::IsVectorAtCompileTime) {
        return ViewOf(array.data(), {array.size()},
                      {array.innerStride() * item});
      } else {
        return ViewOf(array.data(), {array.rows(), array.cols()},
                      {array.rowStride() * item, array.colStride() * item});
      }
    } else {
      return {};
    }
  }
};

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_EIGEN_H_
