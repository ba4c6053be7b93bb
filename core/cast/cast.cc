#include "core/cast/cast.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/cast/cast_table.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"
#include "core/error.h"

namespace tensord {

void CastFailures::Merge(const CastFailures& other,
                         std::uint64_t index_offset) {
  const std::uint64_t index = index_offset + other.first_index;
  if (other.count > 0 && (count == 0 || index < first_index)) {
    first_index = index;
    first_value = other.first_value;
  }
  count += other.count;
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
  const bool streamed = src != dst && count >= kMinStreamedBytes / ItemSize(to);
  PackedCast(from, ByteOrder::kLittle, to, ByteOrder::kLittle, overflow)
      .Run(src, dst, count, streamed, failures);
  if (streamed) FinishStreaming();
}

void SwapBytes(DType dtype, const std::byte* src, std::byte* dst,
               std::size_t count) {
  const std::size_t unit = SwapUnit(dtype);
  ActiveCastTable().layout.swap[LayoutLoops::Index(unit)](
      src, dst, count * (ItemSize(dtype) / unit));
}

}  // namespace tensord
