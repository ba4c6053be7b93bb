// Layouts with as few dimensions as will do.
#ifndef TENSORD_CORE_CAST_JOINED_LAYOUT_H_
#define TENSORD_CORE_CAST_JOINED_LAYOUT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/shape.h"

namespace tensord {

// A layout whose dimensions are joined as far as strides allow: the same
// elements in the same C order.
class JoinedLayout {
 public:
  // REQUIRES: the layout has elements.
  explicit JoinedLayout(const Layout& layout) : offset_(layout.offset) {
    for (std::size_t i = 0; i < layout.shape.size(); ++i) {
      Append(layout.shape[i], layout.strides[i]);
    }
    if (rank_ == 0) AddDimension(1, 1);
  }

  // At least 1.
  std::size_t rank() const { return rank_; }
  std::int64_t offset() const { return offset_; }
  std::int64_t shape(std::size_t dimension) const { return shape_[dimension]; }
  std::int64_t stride(std::size_t dimension) const {
    return strides_[dimension];
  }

  // Elements of the dimensions [begin, end).
  std::int64_t Count(std::size_t begin, std::size_t end) const {
    std::int64_t count = 1;
    for (std::size_t i = begin; i < end; ++i) count *= shape_[i];
    return count;
  }

  // How far the `index`-th element of the dimensions [begin, end), in C order,
  // is from their first.
  std::int64_t Distance(std::size_t begin, std::size_t end,
                        std::int64_t index) const {
    std::int64_t distance = 0;
    for (std::size_t i = end; i-- > begin;) {
      distance += index % shape_[i] * strides_[i];
      index /= shape_[i];
    }
    return distance;
  }

 private:
  void Append(std::int64_t size, std::int64_t stride) {
    if (size == 1) return;
    if (rank_ > 0 && strides_[rank_ - 1] == stride * size) {
      shape_[rank_ - 1] *= size;
      strides_[rank_ - 1] = stride;
    } else {
      AddDimension(size, stride);
    }
  }

  void AddDimension(std::int64_t size, std::int64_t stride) {
    shape_[rank_] = size;
    strides_[rank_] = stride;
    ++rank_;
  }

  std::size_t rank_ = 0;
  std::array<std::int64_t, kMaxDimensions> shape_;
  std::array<std::int64_t, kMaxDimensions> strides_;
  std::int64_t offset_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_JOINED_LAYOUT_H_
