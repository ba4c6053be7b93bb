#include "core/cast/cast_stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_comparison.h"
#include "core/dtype.h"

namespace tensord {
namespace {

// Pieces that are shorter are not worth ordering their stores.
constexpr std::size_t kMinStreamedPiece = std::size_t{16} * 1024;

}  // namespace

CastStream::CastStream(Options options)
    : options_(options),
      cast_(options.from, options.from_order, options.to, options.to_order,
            options.overflow),
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
  if (options_.report) return ConvertReporting(src, count, dst);
  const bool streamed =
      options_.streamed && count * to_size_ >= kMinStreamedPiece;
  CastFailures found;
  cast_.Run(src, dst, count, streamed, &found);
  if (streamed) FinishStreaming();
  if (found.count > 0) failures_.Merge(found, elements_done_);
  elements_done_ += count;
}

void CastStream::ConvertReporting(const std::byte* src, std::size_t count,
                                  std::byte* dst) {
  const ConversionComparison comparison(options_.from, options_.from_order,
                                        options_.to, options_.to_order);
  while (count > 0) {
    const std::size_t size =
        std::min(count, ConversionComparison::kBlockElements);
    CastFailures found;
    cast_.Run(src, dst, size, /*streamed=*/false, &found);
    if (found.count > 0) failures_.Merge(found, elements_done_);
    comparison.Compare(src, dst, size, &report_);
    elements_done_ += size;
    src += size * from_size_;
    dst += size * to_size_;
    count -= size;
  }
}

}  // namespace tensord
