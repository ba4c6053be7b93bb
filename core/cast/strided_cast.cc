// Casts of elements that lie anywhere in a storage: CastStrided of cast.h.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/cast/cast.h"
#include "core/cast/cast_table.h"
#include "core/cast/joined_layout.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace tensord {
namespace {

// Bytes gathered at a time: with what is read and written they stay in the
// first-level cache.
constexpr std::int64_t kBlockBytes = std::int64_t{4} * 1024;

// Rows that are this long are cast where they lie.
constexpr std::int64_t kMinRowBytes = 256;

constexpr std::int64_t kLineBytes = 64;

// A tile of a transposition. Its columns, each of which is apart from the
// others in the storage, are as many as make rows that are worth a cast. They
// are a line long where the whole is in a cache, and several otherwise, which
// memory gives sooner than as many elsewhere.
constexpr std::int64_t kTileColumns = 256;
constexpr std::int64_t kTileBytes = kTileColumns * kLineBytes;
constexpr std::int64_t kStreamedTileBytes = 4 * kTileBytes;

// Rows that are no longer than this are put together without gaps, and cast as
// one where nothing lies between them.
constexpr std::int64_t kMaxPackedBytes = 256;

// Columns that are longer, or closer to each other, are foreseen by processors.
constexpr std::int64_t kMaxFetchedBytes = 512;

// Rows, one below the other in the storage, that are too few to transpose.
constexpr std::int64_t kMaxUntransposedRows = 1;

// A position in the C order of the elements of a layout.
class RowCursor {
 public:
  // The layout has to stay.
  RowCursor(const JoinedLayout& layout, std::int64_t begin)
      : layout_(layout), last_(layout.rank() - 1), offset_(layout.offset()) {
    for (std::size_t i = layout.rank(); i-- > 0;) {
      index_[i] = begin % layout.shape(i);
      begin /= layout.shape(i);
      offset_ += index_[i] * layout.stride(i);
    }
  }

  // Of the element at the cursor, from the start of the storage.
  std::int64_t offset() const { return offset_; }
  // Between the elements of a row.
  std::int64_t stride() const { return layout_.stride(last_); }
  // Elements from the cursor to the end of its row.
  std::int64_t row_rest() const { return layout_.shape(last_) - index_[last_]; }

  // REQUIRES: count <= row_rest().
  void Advance(std::int64_t count) {
    std::size_t i = last_;
    index_[i] += count;
    offset_ += count * layout_.stride(i);
    while (i > 0 && index_[i] == layout_.shape(i)) {
      offset_ -= layout_.shape(i) * layout_.stride(i);
      index_[i] = 0;
      --i;
      ++index_[i];
      offset_ += layout_.stride(i);
    }
  }

 private:
  const JoinedLayout& layout_;
  std::size_t last_;
  std::array<std::int64_t, kMaxDimensions> index_;
  std::int64_t offset_;
};

// What is cast, where to, and how far apart.
struct StridedCastArguments {
  DType from;
  const std::byte* base;
  std::int64_t begin;
  std::int64_t count;
  DType to;
  ByteOrder to_order;
  std::byte* dst;
  Overflow overflow;
  CastFailures* failures;
};

class StridedCast {
 public:
  StridedCast(const StridedCastArguments& arguments, const Layout& layout)
      : arguments_(arguments),
        layout_(layout),
        cast_(arguments.from, ByteOrder::kLittle, arguments.to,
              arguments.to_order, arguments.overflow),
        from_size_(static_cast<std::int64_t>(ItemSize(arguments.from))),
        to_size_(static_cast<std::int64_t>(ItemSize(arguments.to))),
        loops_(LayoutLoops::Index(ItemSize(arguments.from))),
        streamed_(arguments.count * to_size_ >=
                  static_cast<std::int64_t>(kMinStreamedBytes)) {}

  void Run() {
    const std::int64_t begin = arguments_.begin;
    const std::int64_t end = begin + arguments_.count;
    const std::size_t rows = RowDimension();
    const std::int64_t row_size = layout_.Count(rows + 1, layout_.rank());
    const std::int64_t first = (begin + row_size - 1) / row_size;
    const std::int64_t last = end / row_size;
    if (rows + 1 == layout_.rank() || last - first <= kMaxUntransposedRows) {
      Gather(begin, end);
    } else {
      Gather(begin, first * row_size);
      Transpose(rows, first, last);
      Gather(last * row_size, end);
    }
    if (streamed_) FinishStreaming();
  }

 private:
  // The dimension whose elements are neighbours in the storage, or the last if
  // there is none.
  std::size_t RowDimension() const {
    const std::size_t last = layout_.rank() - 1;
    if (layout_.stride(last) == 1) return last;
    for (std::size_t i = 0; i < last; ++i) {
      if (layout_.stride(i) == 1) return i;
    }
    return last;
  }

  // Casts packed elements to where the `index`-th of the layout belongs.
  void Take(const std::byte* src, std::int64_t index, std::int64_t count) {
    const std::int64_t position = index - arguments_.begin;
    CastFailures found;
    cast_.Run(src, To(index), static_cast<std::size_t>(count), streamed_,
              &found);
    if (found.count > 0) {
      arguments_.failures->Merge(found, static_cast<std::uint64_t>(position));
    }
  }

  // Whether elements can be put where they belong without a cast.
  bool Places() const { return cast_.copies() && !streamed_; }

  // Where the `index`-th element of the layout belongs.
  std::byte* To(std::int64_t index) const {
    return arguments_.dst + (index - arguments_.begin) * to_size_;
  }

  // Places the elements [begin, end) one row after the other.
  void Place(std::int64_t begin, std::int64_t end) {
    const GatherLoop gather = ActiveCastTable().layout.gather[loops_];
    RowCursor cursor(layout_, begin);
    while (begin < end) {
      const std::int64_t row = std::min(end - begin, cursor.row_rest());
      gather(arguments_.base + cursor.offset() * from_size_, cursor.stride(),
             static_cast<std::size_t>(row), To(begin));
      cursor.Advance(row);
      begin += row;
    }
  }

  // Casts the elements [begin, end) one row after the other.
  void Gather(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    if (Places()) return Place(begin, end);
    RowCursor cursor(layout_, begin);
    while (begin < end) {
      const std::int64_t row = std::min(end - begin, cursor.row_rest());
      if (cursor.stride() == 1 && row * from_size_ >= kMinRowBytes) {
        Take(arguments_.base + cursor.offset() * from_size_, begin, row);
        cursor.Advance(row);
        begin += row;
      } else {
        begin += TakeBlock(cursor, begin, end);
      }
    }
  }

  // Casts as many elements from the cursor on as a block has room for. Returns
  // their number.
  std::int64_t TakeBlock(RowCursor& cursor, std::int64_t begin,
                         std::int64_t end) {
    alignas(64) std::array<std::byte, kBlockBytes> block;
    const GatherLoop gather = ActiveCastTable().layout.gather[loops_];
    const std::int64_t room = std::min(end - begin, kBlockBytes / from_size_);
    std::int64_t filled = 0;
    while (filled < room) {
      const std::int64_t size = std::min(cursor.row_rest(), room - filled);
      gather(arguments_.base + cursor.offset() * from_size_, cursor.stride(),
             static_cast<std::size_t>(size),
             block.data() + filled * from_size_);
      cursor.Advance(size);
      filled += size;
    }
    Take(block.data(), begin, filled);
    return filled;
  }

  // Casts what the indices [first, last) of the dimensions up to `rows` stand
  // for.
  void Transpose(std::size_t rows, std::int64_t first, std::int64_t last) {
    const std::int64_t size = layout_.shape(rows);
    while (first < last) {
      const std::int64_t count = std::min(size - first % size, last - first);
      TransposeRows(rows, first, count);
      first += count;
    }
  }

  // Of those, `count` that are neighbours in the storage.
  void TransposeRows(std::size_t rows, std::int64_t first, std::int64_t count) {
    const std::size_t columns = layout_.rank() - 1;
    const std::int64_t row_size = layout_.Count(rows + 1, layout_.rank());
    const std::int64_t offset =
        layout_.offset() + layout_.Distance(0, rows + 1, first);
    const std::int64_t planes = layout_.Count(rows + 1, columns);
    const std::int64_t tile_rows = TileRows();
    for (std::int64_t plane = 0; plane < planes; ++plane) {
      for (std::int64_t i = 0; i < count; i += tile_rows) {
        TransposeTiles(
            {.offset = offset + layout_.Distance(rows + 1, columns, plane) + i,
             .index = (first + i) * row_size + plane * layout_.shape(columns),
             .rows = std::min(tile_rows, count - i),
             .row_size = row_size});
      }
    }
  }

  // Some neighbours in the storage, which are the first of rows.
  struct Tiles {
    std::int64_t offset;
    // Of the first, in the layout's C order, and from one to the next.
    std::int64_t index;
    std::int64_t rows;
    std::int64_t row_size;
  };

  std::int64_t TileElements() const {
    return (streamed_ ? kStreamedTileBytes : kTileBytes) / from_size_;
  }
  std::int64_t TileRows() const {
    return TileElements() /
           std::min(layout_.shape(layout_.rank() - 1), kTileColumns);
  }

  void TransposeTiles(const Tiles& tiles) {
    const std::size_t last = layout_.rank() - 1;
    const std::int64_t columns = layout_.shape(last);
    const std::int64_t tile_columns =
        std::max(kTileColumns, TileElements() / tiles.rows);
    for (std::int64_t j = 0; j < columns; j += tile_columns) {
      const Tiles tile{.offset = tiles.offset + j * layout_.stride(last),
                       .index = tiles.index + j,
                       .rows = tiles.rows,
                       .row_size = tiles.row_size};
      TransposeTile(tile, std::min(tile_columns, columns - j));
    }
  }

  void TransposeTile(const Tiles& tile, std::int64_t columns) {
    if (Places()) {
      return TransposeColumns(tile, columns, To(tile.index), tile.row_size);
    }
    // Long rows are a line further apart than they are long, lest the elements
    // of a column compete for the same places of a cache: a quarter more at
    // most.
    static_assert(kMaxPackedBytes >= 4 * kLineBytes);
    const bool padded = columns * from_size_ > kMaxPackedBytes;
    const std::int64_t pitch = columns + (padded ? kLineBytes / from_size_ : 0);
    alignas(64)
        std::array<std::byte, kStreamedTileBytes + kStreamedTileBytes / 4>
            block;
    TransposeColumns(tile, columns, block.data(), pitch);
    if (!padded && columns == tile.row_size) {
      return Take(block.data(), tile.index, tile.rows * columns);
    }
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      Take(block.data() + i * pitch * from_size_,
           tile.index + i * tile.row_size, columns);
    }
  }

  // Some columns at a time, while the next are fetched: they are too far apart
  // for processors to foresee them.
  void TransposeColumns(const Tiles& tile, std::int64_t columns, std::byte* dst,
                        std::int64_t dst_stride) {
    const TransposeLoop transpose = ActiveCastTable().layout.transpose[loops_];
    const std::int64_t stride = layout_.stride(layout_.rank() - 1);
    const bool fetches = tile.rows * from_size_ <= kMaxFetchedBytes &&
                         std::abs(stride) * from_size_ > kMaxFetchedBytes;
    const std::int64_t step =
        fetches ? std::max(16 / from_size_, std::int64_t{4}) : columns;
    for (std::int64_t j = 0; j < columns; j += step) {
      const std::int64_t size = std::min(step, columns - j);
      if (fetches) {
        FetchColumns(tile, j + size, std::min(step, columns - j - size));
      }
      transpose(arguments_.base + (tile.offset + j * stride) * from_size_,
                stride, static_cast<std::size_t>(tile.rows),
                static_cast<std::size_t>(size), dst + j * from_size_,
                dst_stride);
    }
  }

  void FetchColumns(const Tiles& tile, std::int64_t begin,
                    std::int64_t count) const {
    const std::int64_t stride = layout_.stride(layout_.rank() - 1);
    for (std::int64_t j = begin; j < begin + count; ++j) {
      const std::byte* const column =
          arguments_.base + (tile.offset + j * stride) * from_size_;
      for (std::int64_t i = 0; i < tile.rows * from_size_; i += kLineBytes) {
        __builtin_prefetch(column + i);
      }
    }
  }

  StridedCastArguments arguments_;
  JoinedLayout layout_;
  PackedCast cast_;
  std::int64_t from_size_;
  std::int64_t to_size_;
  // Of the layout loops for the size of a source element.
  std::size_t loops_;
  bool streamed_;
};

}  // namespace

void CastStrided(DType from, const std::byte* base, const Layout& layout,
                 std::int64_t begin, std::int64_t count, DType to,
                 ByteOrder to_order, std::byte* dst, Overflow overflow,
                 CastFailures* failures) {
  if (overflow == Overflow::kError) *failures = {};
  if (count == 0) return;
  StridedCast({.from = from,
               .base = base,
               .begin = begin,
               .count = count,
               .to = to,
               .to_order = to_order,
               .dst = dst,
               .overflow = overflow,
               .failures = failures},
              layout)
      .Run();
}

}  // namespace tensord
