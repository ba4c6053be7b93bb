#include "core/cast/cast.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/cast/cast_table.h"
#include "core/cast/element_text.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"

namespace tensord {
namespace {

static_assert(std::endian::native == std::endian::little);

// Elements gathered, or checked before they are cast, at a time: they stay in
// the first-level cache, and the buffer fits any stack.
constexpr std::size_t kBlockBytes = std::size_t{16} * 1024;

// Rows that are this long are cast where they lie.
constexpr std::int64_t kMinRowBytes = 1024;

// The index of the first element that does not fit. REQUIRES: there is one.
std::size_t FirstMisfit(MisfitLoop count_misfits, const std::byte* src,
                        std::size_t item_size) {
  std::size_t index = 0;
  while (count_misfits(src + index * item_size, 1) == 0) ++index;
  return index;
}

void CastReporting(const CastEntry& entry, DType from, const std::byte* src,
                   DType to, std::byte* dst, std::size_t count,
                   CastFailures* failures) {
  const std::size_t item_size = ItemSize(from);
  const std::size_t block = kBlockBytes / item_size;
  for (std::size_t begin = 0; begin < count; begin += block) {
    const std::byte* const from_here = src + begin * item_size;
    const std::size_t size = std::min(block, count - begin);
    const std::size_t misfits = entry.count_misfits(from_here, size);
    if (misfits > 0 && failures->count == 0) {
      const std::size_t first =
          FirstMisfit(entry.count_misfits, from_here, item_size);
      failures->first_index = begin + first;
      failures->first_value = ElementText(from, from_here + first * item_size);
    }
    failures->count += misfits;
    entry.torch(from_here, dst + begin * ItemSize(to), size);
  }
}

std::uint16_t Swapped(std::uint16_t unit) { return __builtin_bswap16(unit); }
std::uint32_t Swapped(std::uint32_t unit) { return __builtin_bswap32(unit); }
std::uint64_t Swapped(std::uint64_t unit) { return __builtin_bswap64(unit); }

template <class Unit>
void SwapUnits(const std::byte* src, std::byte* dst, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += sizeof(Unit)) {
    Unit unit;
    std::memcpy(&unit, src + i, sizeof(Unit));
    unit = Swapped(unit);
    std::memcpy(dst + i, &unit, sizeof(Unit));
  }
}

template <std::size_t kItemSize>
void GatherElements(const std::byte* src, std::int64_t stride_bytes,
                    std::size_t count, std::byte* dst) {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(dst + i * kItemSize,
                src + static_cast<std::int64_t>(i) * stride_bytes, kItemSize);
  }
}

// Copies a row of elements that lie `stride_bytes` apart to packed ones.
void GatherRow(const std::byte* src, std::int64_t stride_bytes,
               std::size_t item_size, std::size_t count, std::byte* dst) {
  if (stride_bytes == static_cast<std::int64_t>(item_size)) {
    std::memcpy(dst, src, count * item_size);
    return;
  }
  switch (item_size) {
    case 1:
      return GatherElements<1>(src, stride_bytes, count, dst);
    case 2:
      return GatherElements<2>(src, stride_bytes, count, dst);
    case 4:
      return GatherElements<4>(src, stride_bytes, count, dst);
    case 8:
      return GatherElements<8>(src, stride_bytes, count, dst);
    default:
      return GatherElements<16>(src, stride_bytes, count, dst);
  }
}

// A position in the C order of the elements of a layout, whose dimensions are
// joined as far as strides allow.
class RowCursor {
 public:
  // REQUIRES: the layout has elements.
  RowCursor(const Layout& layout, std::int64_t begin) : offset_(layout.offset) {
    for (std::size_t i = 0; i < layout.shape.size(); ++i) {
      Append(layout.shape[i], layout.strides[i]);
    }
    if (rank_ == 0) AddDimension(1, 1);
    for (std::size_t i = rank_; i-- > 0;) {
      index_[i] = begin % shape_[i];
      begin /= shape_[i];
      offset_ += index_[i] * strides_[i];
    }
  }

  // Of the element at the cursor, from the start of the storage.
  std::int64_t offset() const { return offset_; }
  // Between the elements of a row.
  std::int64_t stride() const { return strides_[rank_ - 1]; }
  // Elements from the cursor to the end of its row.
  std::int64_t row_rest() const {
    return shape_[rank_ - 1] - index_[rank_ - 1];
  }

  // REQUIRES: count <= row_rest().
  void Advance(std::int64_t count) {
    std::size_t i = rank_ - 1;
    index_[i] += count;
    offset_ += count * strides_[i];
    while (i > 0 && index_[i] == shape_[i]) {
      offset_ -= shape_[i] * strides_[i];
      index_[i] = 0;
      --i;
      ++index_[i];
      offset_ += strides_[i];
    }
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
  std::array<std::int64_t, kMaxDimensions> index_;
  std::int64_t offset_;
};

// Where the elements that a cursor passes come from and go to.
struct StridedCast {
  DType from;
  const std::byte* base;
  DType to;
  ByteOrder to_order;
  Overflow overflow;
  CastFailures* failures;
  std::byte* dst;
  std::int64_t done = 0;

  // Casts what comes next.
  void Take(const std::byte* src, std::int64_t count) {
    const auto size = static_cast<std::size_t>(count);
    CastFailures found;
    CastPacked(from, src, to, dst, size, overflow, &found);
    if (found.count > 0) {
      failures->Merge(found, static_cast<std::uint64_t>(done));
    }
    if (to_order == ByteOrder::kBig) SwapBytes(to, dst, dst, size);
    dst += size * ItemSize(to);
    done += count;
  }
};

// Casts `count` elements of the row at the cursor where they lie.
void TakeRow(StridedCast& cast, const std::byte* row, std::int64_t count) {
  const auto item_size = static_cast<std::int64_t>(ItemSize(cast.from));
  // Where bytes are swapped afterwards, while they are in the cache.
  const std::int64_t most =
      cast.to_order == ByteOrder::kBig
          ? static_cast<std::int64_t>(kBlockBytes) / item_size
          : count;
  for (std::int64_t begin = 0; begin < count; begin += most) {
    cast.Take(row + begin * item_size, std::min(most, count - begin));
  }
}

// Casts up to `count` elements from the cursor on, gathered in a block. Returns
// their number.
std::int64_t TakeBlock(StridedCast& cast, RowCursor& cursor,
                       std::int64_t count) {
  std::array<std::byte, kBlockBytes> block;
  const auto item_size = static_cast<std::int64_t>(ItemSize(cast.from));
  const std::int64_t room =
      std::min(count, static_cast<std::int64_t>(kBlockBytes) / item_size);
  std::int64_t filled = 0;
  while (filled < room) {
    const std::int64_t size = std::min(cursor.row_rest(), room - filled);
    GatherRow(cast.base + cursor.offset() * item_size,
              cursor.stride() * item_size, static_cast<std::size_t>(item_size),
              static_cast<std::size_t>(size),
              block.data() + filled * item_size);
    cursor.Advance(size);
    filled += size;
  }
  cast.Take(block.data(), filled);
  return filled;
}

}  // namespace

void CastFailures::Merge(const CastFailures& later,
                         std::uint64_t index_offset) {
  if (count == 0 && later.count > 0) {
    first_index = index_offset + later.first_index;
    first_value = later.first_value;
  }
  count += later.count;
}

absl::Status CastFailuresStatus(const CastFailures& failures, DType from,
                                DType to) {
  if (failures.count == 0) return absl::OkStatus();
  absl::Status status = MakeError(
      absl::StatusCode::kOutOfRange, reason::kCastValueOutOfRange,
      absl::StrCat(
          std::string(Name(from)), " value ", failures.first_value,
          " at index ", failures.first_index, " cannot be represented as ",
          std::string(Name(to)), " (", failures.count,
          failures.count == 1 ? " element" : " elements", " in all cannot)"));
  AddErrorMetadata(status, "firstIndex", absl::StrCat(failures.first_index));
  AddErrorMetadata(status, "firstValue", failures.first_value);
  AddErrorMetadata(status, "count", absl::StrCat(failures.count));
  return status;
}

void CastPacked(DType from, const std::byte* src, DType to, std::byte* dst,
                std::size_t count, Overflow overflow, CastFailures* failures) {
  const CastEntry& entry = ActiveCastTable().Find(from, to);
  switch (overflow) {
    case Overflow::kTorch:
      return entry.torch(src, dst, count);
    case Overflow::kSaturate:
      return entry.saturate(src, dst, count);
    case Overflow::kError:
      *failures = {};
      if (entry.count_misfits == nullptr) return entry.torch(src, dst, count);
      return CastReporting(entry, from, src, to, dst, count, failures);
  }
}

void SwapBytes(DType dtype, const std::byte* src, std::byte* dst,
               std::size_t count) {
  const std::size_t bytes = count * ItemSize(dtype);
  switch (SwapUnit(dtype)) {
    case 2:
      return SwapUnits<std::uint16_t>(src, dst, bytes);
    case 4:
      return SwapUnits<std::uint32_t>(src, dst, bytes);
    case 8:
      return SwapUnits<std::uint64_t>(src, dst, bytes);
    default:
      if (src != dst && bytes > 0) std::memcpy(dst, src, bytes);
  }
}

void CastStrided(DType from, const std::byte* base, const Layout& layout,
                 std::int64_t begin, std::int64_t count, DType to,
                 ByteOrder to_order, std::byte* dst, Overflow overflow,
                 CastFailures* failures) {
  if (overflow == Overflow::kError) *failures = {};
  if (count == 0) return;
  StridedCast cast{.from = from,
                   .base = base,
                   .to = to,
                   .to_order = to_order,
                   .overflow = overflow,
                   .failures = failures,
                   .dst = dst};
  RowCursor cursor(layout, begin);
  const auto item_size = static_cast<std::int64_t>(ItemSize(from));
  while (count > 0) {
    const std::int64_t row = std::min(count, cursor.row_rest());
    if (cursor.stride() == 1 && row * item_size >= kMinRowBytes) {
      TakeRow(cast, base + cursor.offset() * item_size, row);
      cursor.Advance(row);
      count -= row;
    } else {
      count -= TakeBlock(cast, cursor, count);
    }
  }
}

}  // namespace tensord
