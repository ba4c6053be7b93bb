// Loops that move elements without looking at them: byte swaps, gathers and
// transpositions. Included once per target of Highway's.
//
// All loops here are of the types that cast_table.h names. `Unit` is the
// unsigned integer that stands for an element.
#if defined(TENSORD_CORE_CAST_LAYOUT_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_LAYOUT_LOOPS_INL_H_
#undef TENSORD_CORE_CAST_LAYOUT_LOOPS_INL_H_
#else
#define TENSORD_CORE_CAST_LAYOUT_LOOPS_INL_H_
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_table.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

#if HWY_ARCH_X86
#include <emmintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

// ---- Byte swaps -------------------------------------------------------------

inline std::uint16_t Swapped(std::uint16_t unit) {
  return __builtin_bswap16(unit);
}
inline std::uint32_t Swapped(std::uint32_t unit) {
  return __builtin_bswap32(unit);
}
inline std::uint64_t Swapped(std::uint64_t unit) {
  return __builtin_bswap64(unit);
}

template <class Unit>
void SwapUnits(const std::byte* src, std::byte* dst, std::size_t count) {
  TENSORD_INDEPENDENT_ELEMENTS
  for (std::size_t i = 0; i < count; ++i) {
    StoreElement(Swapped(LoadElement<Unit>(src, i)), dst, i);
  }
}

// ---- Gathers ----------------------------------------------------------------

template <class Unit>
void GatherOneByOne(const std::byte* src, std::ptrdiff_t stride,
                    std::size_t count, std::byte* dst) {
  const std::ptrdiff_t stride_bytes =
      stride * static_cast<std::ptrdiff_t>(sizeof(Unit));
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const element =
        src + static_cast<std::ptrdiff_t>(i) * stride_bytes;
    StoreElement(LoadElement<Unit>(element, 0), dst, i);
  }
}

template <class Unit>
void Repeat(const std::byte* src, std::size_t count, std::byte* dst) {
  if (count == 0) return;
  const Unit unit = LoadElement<Unit>(src, 0);
  for (std::size_t i = 0; i < count; ++i) StoreElement(unit, dst, i);
}

// The lower halves of elements of twice the size, of which the last may not be
// there.
template <class Unit, class Twice>
void GatherEverySecond(const std::byte* src, std::size_t count,
                       std::byte* dst) {
  if (count == 0) return;
  CastElements<Twice, Unit>(src, dst, count - 1);
  StoreElement(LoadElement<Unit>(src, 2 * (count - 1)), dst, count - 1);
}

#if TENSORD_HAS_VECTORS

// A vector whose elements are in reverse order.
template <class Unit, class D>
hn::Vec<D> Reversed(D lanes, hn::Vec<D> vector) {
  if constexpr (sizeof(Unit) == 1) {
    alignas(16) static constexpr std::uint8_t kBackwards[16] = {
        7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8};
    const hn::Repartition<std::uint64_t, D> wide;
    const auto reversed = hn::Reverse(wide, hn::BitCast(wide, vector));
    return hn::TableLookupBytes(hn::BitCast(lanes, reversed),
                                hn::LoadDup128(lanes, kBackwards));
  } else {
    return hn::Reverse(lanes, vector);
  }
}

// Elements that come one before the other, from `src` down.
template <class Unit>
void GatherBackwards(const std::byte* src, std::size_t count, std::byte* dst) {
  const hn::ScalableTag<Unit> lanes;
  constexpr std::size_t kStep = hn::MaxLanes(lanes);
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    const auto vector = hn::LoadU(
        lanes, TypedPointer<Unit>(src - (i + kStep - 1) * sizeof(Unit)));
    hn::StoreU(Reversed<Unit>(lanes, vector), lanes,
               TypedPointer<Unit>(dst + i * sizeof(Unit)));
  }
  GatherOneByOne<Unit>(src - i * sizeof(Unit), -1, count - i,
                       dst + i * sizeof(Unit));
}

#else

template <class Unit>
void GatherBackwards(const std::byte* src, std::size_t count, std::byte* dst) {
  GatherOneByOne<Unit>(src, -1, count, dst);
}

#endif  // vectors

// Twice is the unsigned integer of twice the size; Unit, if there is none.
template <class Unit, class Twice>
void GatherElements(const std::byte* src, std::ptrdiff_t stride,
                    std::size_t count, std::byte* dst) {
  switch (stride) {
    case 1:
      return CopyElements<Unit>(src, dst, count);
    case -1:
      return GatherBackwards<Unit>(src, count, dst);
    case 0:
      return Repeat<Unit>(src, count, dst);
    case 2:
      if constexpr (sizeof(Twice) > sizeof(Unit)) {
        return GatherEverySecond<Unit, Twice>(src, count, dst);
      } else {
        return GatherOneByOne<Unit>(src, 2, count, dst);
      }
    default:
      return GatherOneByOne<Unit>(src, stride, count, dst);
  }
}

// ---- Transpositions ---------------------------------------------------------

template <class Unit>
void TransposeOneByOne(const std::byte* src, std::ptrdiff_t src_stride,
                       std::size_t rows, std::size_t columns, std::byte* dst,
                       std::ptrdiff_t dst_stride) {
  constexpr auto kSize = static_cast<std::ptrdiff_t>(sizeof(Unit));
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::ptrdiff_t>(i);
    GatherOneByOne<Unit>(src + row * kSize, src_stride, columns,
                         dst + row * dst_stride * kSize);
  }
}

#if TENSORD_HAS_VECTORS

// Stores the 16-byte blocks of a vector `stride_bytes` apart.
template <class D>
void StoreBlocks(D bytes, hn::Vec<D> vector, std::byte* dst,
                 std::ptrdiff_t stride_bytes) {
  constexpr std::size_t kBytes = hn::MaxLanes(D());
  if constexpr (kBytes == 16) {
    hn::StoreU(vector, bytes, TypedPointer<std::uint8_t>(dst));
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, vector), dst, stride_bytes);
    StoreBlocks(half, hn::UpperHalf(half, vector),
                dst + stride_bytes * static_cast<std::ptrdiff_t>(kBytes / 32),
                stride_bytes);
  }
}

// Transposes as many columns as a block of 16 bytes has elements, and as many
// rows as a vector has: shuffling the columns' elements perfectly once for
// every bit of a column's number puts the rows in their place.
template <class Unit>
struct VectorTransposition {
  using Lanes = hn::ScalableTag<Unit>;
  using Bytes = hn::ScalableTag<std::uint8_t>;
  using Vector = hn::Vec<Lanes>;
  static constexpr std::size_t kRows = hn::MaxLanes(Lanes());
  static constexpr std::size_t kColumns = 16 / sizeof(Unit);

  // Strides are in bytes.
  static void Transpose(const std::byte* src, std::ptrdiff_t src_stride,
                        std::byte* dst, std::ptrdiff_t dst_stride) {
    const Lanes lanes;
    Vector vectors[kColumns];
    for (std::size_t j = 0; j < kColumns; ++j) {
      vectors[j] = hn::LoadU(
          lanes, TypedPointer<Unit>(src + static_cast<std::ptrdiff_t>(j) *
                                              src_stride));
    }
    for (std::size_t bit = 1; bit < kColumns; bit *= 2) Shuffle(vectors);
    for (std::size_t j = 0; j < kColumns; ++j) {
      StoreBlocks(Bytes(), hn::BitCast(Bytes(), vectors[j]),
                  dst + static_cast<std::ptrdiff_t>(j) * dst_stride,
                  dst_stride * static_cast<std::ptrdiff_t>(kColumns));
    }
  }

 private:
  static void Shuffle(Vector (&vectors)[kColumns]) {
    Vector shuffled[kColumns];
    for (std::size_t j = 0; j < kColumns / 2; ++j) {
      const Vector first = vectors[j];
      const Vector second = vectors[j + kColumns / 2];
      shuffled[2 * j] = hn::InterleaveLower(Lanes(), first, second);
      shuffled[2 * j + 1] = hn::InterleaveUpper(Lanes(), first, second);
    }
    for (std::size_t j = 0; j < kColumns; ++j) vectors[j] = shuffled[j];
  }
};

// Two to four columns that become packed rows: planes to pixels.
template <class Unit>
void Interleave(const std::byte* src, std::ptrdiff_t src_stride,
                std::size_t rows, std::size_t columns, std::byte* dst) {
  const hn::ScalableTag<Unit> lanes;
  constexpr std::size_t kStep = hn::MaxLanes(lanes);
  const Unit* const from = TypedPointer<Unit>(src);
  std::size_t i = 0;
  for (; i + kStep <= rows; i += kStep) {
    Unit* const to = TypedPointer<Unit>(dst) + i * columns;
    const auto first = hn::LoadU(lanes, from + i);
    const auto second = hn::LoadU(lanes, from + src_stride + i);
    if (columns == 2) {
      hn::StoreInterleaved2(first, second, lanes, to);
      continue;
    }
    const auto third = hn::LoadU(lanes, from + 2 * src_stride + i);
    if (columns == 3) {
      hn::StoreInterleaved3(first, second, third, lanes, to);
      continue;
    }
    const auto fourth = hn::LoadU(lanes, from + 3 * src_stride + i);
    hn::StoreInterleaved4(first, second, third, fourth, lanes, to);
  }
  TransposeOneByOne<Unit>(src + i * sizeof(Unit), src_stride, rows - i, columns,
                          dst + i * columns * sizeof(Unit),
                          static_cast<std::ptrdiff_t>(columns));
}

// Packed columns of two to four elements that become rows: pixels to planes.
template <class Unit>
void Deinterleave(const std::byte* src, std::size_t rows, std::size_t columns,
                  std::byte* dst, std::ptrdiff_t dst_stride) {
  const hn::ScalableTag<Unit> lanes;
  constexpr std::size_t kStep = hn::MaxLanes(lanes);
  std::size_t j = 0;
  for (; j + kStep <= columns; j += kStep) {
    const Unit* const from = TypedPointer<Unit>(src) + j * rows;
    Unit* const to = TypedPointer<Unit>(dst) + j;
    hn::Vec<decltype(lanes)> first, second, third, fourth;
    if (rows == 2) {
      hn::LoadInterleaved2(lanes, from, first, second);
    } else if (rows == 3) {
      hn::LoadInterleaved3(lanes, from, first, second, third);
      hn::StoreU(third, lanes, to + 2 * dst_stride);
    } else {
      hn::LoadInterleaved4(lanes, from, first, second, third, fourth);
      hn::StoreU(third, lanes, to + 2 * dst_stride);
      hn::StoreU(fourth, lanes, to + 3 * dst_stride);
    }
    hn::StoreU(first, lanes, to);
    hn::StoreU(second, lanes, to + dst_stride);
  }
  TransposeOneByOne<Unit>(src + j * rows * sizeof(Unit),
                          static_cast<std::ptrdiff_t>(rows), rows, columns - j,
                          dst + j * sizeof(Unit), dst_stride);
}

template <class Unit>
void TransposeElements(const std::byte* src, std::ptrdiff_t src_stride,
                       std::size_t rows, std::size_t columns, std::byte* dst,
                       std::ptrdiff_t dst_stride) {
  constexpr auto kIsFew = [](std::size_t n) { return n >= 2 && n <= 4; };
  if (kIsFew(columns) && dst_stride == static_cast<std::ptrdiff_t>(columns)) {
    return Interleave<Unit>(src, src_stride, rows, columns, dst);
  }
  if (kIsFew(rows) && src_stride == static_cast<std::ptrdiff_t>(rows)) {
    return Deinterleave<Unit>(src, rows, columns, dst, dst_stride);
  }
  using Body = VectorTransposition<Unit>;
  constexpr auto kSize = static_cast<std::ptrdiff_t>(sizeof(Unit));
  const std::size_t body_rows = rows - rows % Body::kRows;
  const std::size_t body_columns = columns - columns % Body::kColumns;
  const auto at = [=](std::size_t row, std::size_t column) {
    return src + (static_cast<std::ptrdiff_t>(column) * src_stride +
                  static_cast<std::ptrdiff_t>(row)) *
                     kSize;
  };
  const auto to = [=](std::size_t row, std::size_t column) {
    return dst + (static_cast<std::ptrdiff_t>(row) * dst_stride +
                  static_cast<std::ptrdiff_t>(column)) *
                     kSize;
  };
  // Rows within columns: what lies together in the source is read together.
  for (std::size_t j = 0; j < body_columns; j += Body::kColumns) {
    for (std::size_t i = 0; i < body_rows; i += Body::kRows) {
      Body::Transpose(at(i, j), src_stride * kSize, to(i, j),
                      dst_stride * kSize);
    }
  }
  TransposeOneByOne<Unit>(at(0, body_columns), src_stride, body_rows,
                          columns - body_columns, to(0, body_columns),
                          dst_stride);
  TransposeOneByOne<Unit>(at(body_rows, 0), src_stride, rows - body_rows,
                          columns, to(body_rows, 0), dst_stride);
}

// Nothing to win: an element is a block.
template <>
inline void TransposeElements<Complex128>(const std::byte* src,
                                          std::ptrdiff_t src_stride,
                                          std::size_t rows, std::size_t columns,
                                          std::byte* dst,
                                          std::ptrdiff_t dst_stride) {
  TransposeOneByOne<Complex128>(src, src_stride, rows, columns, dst,
                                dst_stride);
}

#else

template <class Unit>
void TransposeElements(const std::byte* src, std::ptrdiff_t src_stride,
                       std::size_t rows, std::size_t columns, std::byte* dst,
                       std::ptrdiff_t dst_stride) {
  TransposeOneByOne<Unit>(src, src_stride, rows, columns, dst, dst_stride);
}

#endif  // vectors

// ---- Streams ----------------------------------------------------------------

inline void StreamLines(const std::byte* src, std::byte* dst,
                        std::size_t bytes) {
#if HWY_TARGET == HWY_SCALAR && HWY_ARCH_X86
  // All that this architecture's processors have, which Highway's scalars do
  // not use.
  for (std::size_t i = 0; i < bytes; i += sizeof(__m128i)) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(dst + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(src + i)));
  }
#elif !TENSORD_HAS_VECTORS
  std::memcpy(dst, src, bytes);
#else
  const hn::ScalableTag<std::uint8_t> lanes;
  for (std::size_t i = 0; i < bytes; i += hn::MaxLanes(lanes)) {
    hn::Stream(hn::Load(lanes, TypedPointer<std::uint8_t>(src + i)), lanes,
               TypedPointer<std::uint8_t>(dst + i));
  }
#endif
}

inline constexpr LayoutLoops kLayoutLoops = {
    .swap = {&CopyElements<std::uint8_t>, &SwapUnits<std::uint16_t>,
             &SwapUnits<std::uint32_t>, &SwapUnits<std::uint64_t>},
    .gather = {&GatherElements<std::uint8_t, std::uint16_t>,
               &GatherElements<std::uint16_t, std::uint32_t>,
               &GatherElements<std::uint32_t, std::uint64_t>,
               &GatherElements<std::uint64_t, std::uint64_t>,
               &GatherOneByOne<Complex128>},
    .transpose = {&TransposeElements<std::uint8_t>,
                  &TransposeElements<std::uint16_t>,
                  &TransposeElements<std::uint32_t>,
                  &TransposeElements<std::uint64_t>,
                  &TransposeElements<Complex128>},
    .stream_lines = &StreamLines};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_LAYOUT_LOOPS_INL_H_
