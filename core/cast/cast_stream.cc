#include "core/cast/cast_stream.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/dtype.h"

namespace tensord {
namespace {

// Elements whose bytes are swapped on the way, at a time: they stay in the
// first-level cache.
constexpr std::size_t kBlockBytes = 16 * 1024;

}  // namespace

CastStream::CastStream(Options options)
    : options_(options),
      from_size_(ItemSize(options.from)),
      to_size_(ItemSize(options.to)) {}

std::size_t CastStream::OutputBytes(std::size_t piece_bytes) const {
  return (carried_bytes_ + piece_bytes) / from_size_ * to_size_;
}

std::size_t CastStream::Convert(absl::Span<const std::byte> piece,
                                std::byte* dst) {
  std::byte* out = dst;
  if (carried_bytes_ > 0) {
    const std::size_t size =
        std::min(from_size_ - carried_bytes_, piece.size());
    if (size > 0) {
      std::memcpy(carried_.data() + carried_bytes_, piece.data(), size);
    }
    carried_bytes_ += size;
    if (carried_bytes_ < from_size_) return 0;
    piece.remove_prefix(size);
    carried_bytes_ = 0;
    ConvertWhole(carried_.data(), 1, out);
    out += to_size_;
  }
  const std::size_t count = piece.size() / from_size_;
  if (count > 0) ConvertWhole(piece.data(), count, out);
  out += count * to_size_;
  carried_bytes_ = piece.size() % from_size_;
  if (carried_bytes_ > 0) {
    std::memcpy(carried_.data(), piece.data() + count * from_size_,
                carried_bytes_);
  }
  return static_cast<std::size_t>(out - dst);
}

absl::Status CastStream::Finish() const {
  return CastFailuresStatus(failures_, options_.from, options_.to);
}

void CastStream::ConvertWhole(const std::byte* src, std::size_t count,
                              std::byte* dst) {
  const bool swap_source = options_.from_order == ByteOrder::kBig;
  const bool swap_result = options_.to_order == ByteOrder::kBig;
  if (!swap_source && !swap_result) return ConvertNative(src, count, dst);
  std::array<std::byte, kBlockBytes> block;
  const std::size_t most = kBlockBytes / from_size_;
  while (count > 0) {
    const std::size_t size = std::min(count, most);
    if (swap_source) SwapBytes(options_.from, src, block.data(), size);
    ConvertNative(swap_source ? block.data() : src, size, dst);
    if (swap_result) SwapBytes(options_.to, dst, dst, size);
    src += size * from_size_;
    dst += size * to_size_;
    count -= size;
  }
}

void CastStream::ConvertNative(const std::byte* src, std::size_t count,
                               std::byte* dst) {
  CastFailures found;
  CastPacked(options_.from, src, options_.to, dst, count, options_.overflow,
             &found);
  if (found.count > 0) failures_.Merge(found, elements_done_);
  elements_done_ += count;
}

}  // namespace tensord
