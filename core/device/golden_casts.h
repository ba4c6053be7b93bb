// What PyTorch makes of a few awkward values: enough to tell whether a device
// casts as it should, without another implementation at hand.
#ifndef TENSORD_CORE_DEVICE_GOLDEN_CASTS_H_
#define TENSORD_CORE_DEVICE_GOLDEN_CASTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "core/dtype.h"

namespace tensord {

// Elements that are cast: the inputs of a dtype, again and again. Several
// vectors of any processor, and some elements more.
inline constexpr std::size_t kGoldenCount = 259;

// Zeros, extremes, subnormals, infinities and NaNs, and what is near the limits
// of other dtypes, as they lie in memory.
struct GoldenInputs {
  absl::Span<const std::uint8_t> bytes;
  // At most 32.
  std::size_t count;
};

// What becomes of kGoldenCount elements under Overflow::kTorch.
struct GoldenCast {
  // A bit for each input, lowest first: PyTorch says what it becomes.
  std::uint32_t defined;
  // CRC-32C of the results of those that have a bit, in order.
  std::uint32_t crc32c;
};

using GoldenCasts =
    std::array<std::array<GoldenCast, kDTypeCount>, kDTypeCount>;

// By dtype.
extern const std::array<GoldenInputs, kDTypeCount> kGoldenInputs;
// [from][to].
extern const GoldenCasts kGoldenCasts;

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_GOLDEN_CASTS_H_
