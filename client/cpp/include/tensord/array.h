// Arrays in the caller's memory, as the client takes and gives them.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ARRAY_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "core/shape.h"

namespace tensord {

// Elements in memory that the caller owns and keeps unchanged for as long as a
// call that was given the view runs.
struct ArrayView {
  // The element whose indices are all 0. Needs no alignment; may be null if
  // there are no elements.
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  Dims shape = {};
  // One per dimension, multiples of the item size, 0 and negative ones
  // included; empty means C order without gaps.
  Dims byte_strides = {};
  ByteOrder byte_order = ByteOrder::kLittle;
};

// What a read returns: dense elements in little-endian byte order.
struct ArrayLayout {
  DType dtype = DType::kFloat32;
  Dims shape = {};
  // One per dimension. A stored tensor that is dense in another order than C
  // keeps that order.
  Dims byte_strides = {};
  // Number of elements times item size.
  std::size_t size_bytes = 0;
};

// Dense elements in memory of their own, aligned to 64 bytes.
struct HostArray {
  ArrayLayout layout = {};
  std::shared_ptr<std::byte[]> data = {};
};

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_ARRAY_H_
