// A cast whose source arrives in pieces of any size.
#ifndef TENSORD_CORE_CAST_CAST_STREAM_H_
#define TENSORD_CORE_CAST_CAST_STREAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_report.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"

namespace tensord {

// Turns a stream of source bytes into packed destination elements, as they
// become complete. Elements may straddle pieces: at most 15 bytes are carried
// over. Not thread-safe.
class CastStream {
 public:
  struct Options {
    DType from;
    ByteOrder from_order = ByteOrder::kLittle;
    DType to;
    ByteOrder to_order = ByteOrder::kLittle;
    Overflow overflow = Overflow::kTorch;
    // Whether results are better stored past the caches, because they are many.
    bool streamed = false;
    // Whether to compare results with their sources for report().
    bool report = false;
  };

  explicit CastStream(Options options);

  // Bytes that Convert would write for `piece_bytes` more.
  std::size_t OutputBytes(std::size_t piece_bytes) const;

  // Converts the elements that `piece` completes to `dst` and returns the bytes
  // written. REQUIRES: `dst` has room for OutputBytes(piece.size()) and does
  // not overlap `piece`.
  std::size_t Convert(absl::Span<const std::byte> piece, std::byte* dst);

  // The verdict on the whole, after the last piece. OUT_OF_RANGE
  // (CAST_VALUE_OUT_OF_RANGE) under Overflow::kError. REQUIRES: no element is
  // incomplete.
  absl::Status Finish() const;

  // What did not fit so far under Overflow::kError, counted from the first
  // element.
  const CastFailures& failures() const { return failures_; }

  // What the conversion did so far; nothing unless Options::report.
  const ConversionReport& report() const { return report_; }

  // Whether an element is incomplete.
  bool HasPartialElement() const { return carried_bytes_ > 0; }

 private:
  // Converts elements that lie in one piece.
  void ConvertWhole(const std::byte* src, std::size_t count, std::byte* dst);
  // The same, block by block, with a report.
  void ConvertReporting(const std::byte* src, std::size_t count,
                        std::byte* dst);

  Options options_;
  PackedCast cast_;
  std::size_t from_size_;
  std::size_t to_size_;
  // The start of an element whose end has not come yet.
  std::array<std::byte, 16> carried_;
  std::size_t carried_bytes_ = 0;
  std::uint64_t elements_done_ = 0;
  CastFailures failures_;
  ConversionReport report_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_CAST_CAST_STREAM_H_
