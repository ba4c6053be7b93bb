#include "tests/client/cpp/test_arrays.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace tensord {
namespace {

// Walks an array element by element with an odometer of indices.
Bytes PackElements(const std::byte* base, const Dims& shape,
                   const Dims& byte_strides, std::size_t item_size) {
  const std::int64_t count = ElementCount(shape);
  Bytes packed(static_cast<std::size_t>(count) * item_size);
  Dims index(shape.size(), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t position = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      position += index[d] * byte_strides[d];
    }
    std::memcpy(packed.data() + static_cast<std::size_t>(i) * item_size,
                base + position, item_size);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return packed;
}

void Reverse(Bytes& bytes, std::size_t unit) {
  for (std::size_t i = 0; i < bytes.size(); i += unit) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + unit));
  }
}

// Strides in elements, and the index of the first element in the memory.
struct Placement {
  Dims strides;
  std::int64_t first = 0;
  std::int64_t memory_elements = 0;
};

Placement PlaceDense(const Dims& shape, const std::vector<std::size_t>& order) {
  Placement place{Dims(shape.size()), 0, 1};
  for (const std::size_t d : order) {
    place.strides[d] = place.memory_elements;
    place.memory_elements *= std::max<std::int64_t>(shape[d], 1);
  }
  return place;
}

Placement PlaceStepped(Random& random, const Dims& shape) {
  Placement place{Dims(shape.size()), 0, 1};
  for (std::size_t d = shape.size(); d-- > 0;) {
    const std::int64_t step = Between(random, 1, 3);
    const std::int64_t size = std::max<std::int64_t>(shape[d], 1);
    place.strides[d] = place.memory_elements * step;
    if (Between(random, 0, 1) == 1) {
      place.first += place.strides[d] * (size - 1);
      place.strides[d] = -place.strides[d];
    }
    place.memory_elements *= size * step;
  }
  return place;
}

Placement PlaceBroadcast(Random& random, const Dims& shape) {
  Placement place{Dims(shape.size()), 0, 1};
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (Between(random, 0, 1) == 1) continue;
    place.strides[d] = place.memory_elements;
    place.memory_elements *= std::max<std::int64_t>(shape[d], 1);
  }
  return place;
}

Placement Place(Random& random, const Dims& shape, Lie lie) {
  std::vector<std::size_t> order(shape.size());
  std::iota(order.begin(), order.end(), 0);
  switch (lie) {
    case Lie::kC:
      std::reverse(order.begin(), order.end());
      return PlaceDense(shape, order);
    case Lie::kF:
      return PlaceDense(shape, order);
    case Lie::kPermuted:
      std::shuffle(order.begin(), order.end(), random);
      return PlaceDense(shape, order);
    case Lie::kStepped:
      return PlaceStepped(random, shape);
    case Lie::kBroadcast:
      return PlaceBroadcast(random, shape);
  }
  return {};
}

}  // namespace

std::int64_t Between(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

Bytes RandomBytes(Random& random, std::size_t size_bytes) {
  Bytes bytes(size_bytes);
  for (std::size_t i = 0; i < size_bytes; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word,
                std::min(sizeof(word), size_bytes - i));
  }
  return bytes;
}

std::ostream& operator<<(std::ostream& out, Lie lie) {
  constexpr const char* kNames[] = {"C", "F", "permuted", "stepped",
                                    "broadcast"};
  return out << kNames[static_cast<int>(lie)];
}

Bytes TestArray::Packed() const {
  Bytes packed =
      PackElements(static_cast<const std::byte*>(view.data), view.shape,
                   view.byte_strides, ItemSize(view.dtype));
  if (view.byte_order == ByteOrder::kBig) Reverse(packed, SwapUnit(view.dtype));
  return packed;
}

TestArray MakeArray(Random& random, DType dtype, Dims shape, Lie lie,
                    ByteOrder byte_order) {
  const std::size_t item_size = ItemSize(dtype);
  const Placement place = Place(random, shape, lie);
  TestArray array;
  array.memory = RandomBytes(
      random, static_cast<std::size_t>(place.memory_elements) * item_size);
  if (dtype == DType::kBool) {
    for (std::byte& byte : array.memory) byte &= std::byte{1};
  }
  array.view.data =
      array.memory.data() + static_cast<std::size_t>(place.first) * item_size;
  array.view.dtype = dtype;
  array.view.shape = std::move(shape);
  array.view.byte_strides = place.strides;
  for (std::int64_t& stride : array.view.byte_strides) {
    stride *= static_cast<std::int64_t>(item_size);
  }
  array.view.byte_order = byte_order;
  return array;
}

Dims RandomShape(Random& random, int max_dimensions,
                 std::int64_t max_elements) {
  Dims shape(static_cast<std::size_t>(Between(random, 0, max_dimensions)));
  std::int64_t left = max_elements;
  for (std::int64_t& size : shape) {
    const std::int64_t kind = Between(random, 0, 19);
    size = kind == 0  ? 0
           : kind < 4 ? 1
                      : Between(random, 1, std::min<std::int64_t>(left, 40));
    left /= std::max<std::int64_t>(size, 1);
  }
  std::shuffle(shape.begin(), shape.end(), random);
  return shape;
}

Bytes Packed(const ArrayLayout& layout, const std::byte* data) {
  return PackElements(data, layout.shape, layout.byte_strides,
                      ItemSize(layout.dtype));
}

}  // namespace tensord
