#include "core/cast/packed_cast.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cast/cast.h"
#include "core/cast/cast_table.h"
#include "core/cast/element_text.h"
#include "core/dtype.h"

namespace tensord {
namespace {

static_assert(std::endian::native == std::endian::little);

// Elements between two steps, on either side: they stay in the first-level
// cache, and the buffer fits any stack.
constexpr std::size_t kBlockBytes = std::size_t{8} * 1024;

// Streamed casts make some lines of results at a time in the first-level cache,
// and fetch what they will read ahead: processors do not foresee enough of it
// when stores do not wait for reads. As few elements at a time as are worth a
// call, and not many more lines of the source than a core can ask for at once.
constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kVisitElements = 128;
constexpr std::size_t kVisitSourceBytes = 512;
constexpr std::size_t kVisitBytes = std::size_t{2} * 1024;
constexpr std::size_t kFetchAheadBytes = 3072;

SwapLoop FindSwap(DType dtype, ByteOrder order) {
  const std::size_t unit = SwapUnit(dtype);
  if (order == ByteOrder::kLittle || unit == 1) return nullptr;
  return ActiveCastTable().layout.swap[LayoutLoops::Index(unit)];
}

void FetchLines(const std::byte* src, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += kLineBytes) {
    __builtin_prefetch(src + i);
  }
}

}  // namespace

void FinishStreaming() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

PackedCast::PackedCast(DType from, ByteOrder from_order, DType to,
                       ByteOrder to_order, Overflow overflow)
    : from_(from),
      from_size_(ItemSize(from)),
      to_size_(ItemSize(to)),
      swap_source_(FindSwap(from, from_order)),
      source_units_(from_size_ / SwapUnit(from)),
      swap_result_(FindSwap(to, to_order)),
      result_units_(to_size_ / SwapUnit(to)),
      reports_(overflow == Overflow::kError),
      copies_(from == to && from != DType::kBool && from_order == to_order) {
  const CastEntry& entry = ActiveCastTable().Find(from, to);
  stream_lines_ = ActiveCastTable().layout.stream_lines;
  loop_ = overflow == Overflow::kSaturate ? entry.saturate : entry.torch;
  if (reports_) count_misfits_ = entry.count_misfits;
}

void PackedCast::Run(const std::byte* src, std::byte* dst, std::size_t count,
                     bool streamed, CastFailures* failures) const {
  if (reports_) *failures = {};
  if (streamed && count_misfits_ == nullptr &&
      reinterpret_cast<std::uintptr_t>(dst) % to_size_ == 0) {
    RunStreamed(src, dst, count);
  } else if (swap_source_ == nullptr && swap_result_ == nullptr &&
             count_misfits_ == nullptr) {
    loop_(src, dst, count);
  } else {
    RunCached(src, dst, count, failures);
  }
}

void PackedCast::RunCached(const std::byte* src, std::byte* dst,
                           std::size_t count, CastFailures* failures) const {
  const std::size_t block = kBlockBytes / std::max(from_size_, to_size_);
  for (std::size_t i = 0; i < count; i += block) {
    const std::size_t size = std::min(block, count - i);
    if (count_misfits_ == nullptr) {
      CastBlock(src + i * from_size_, dst + i * to_size_, size, nullptr);
    } else {
      CastFailures found;
      CastBlock(src + i * from_size_, dst + i * to_size_, size, &found);
      failures->Merge(found, i);
    }
  }
}

void PackedCast::CastBlock(const std::byte* src, std::byte* dst,
                           std::size_t count, CastFailures* failures) const {
  alignas(kLineBytes) std::byte swapped[kBlockBytes];
  if (swap_source_ != nullptr) {
    swap_source_(src, swapped, count * source_units_);
    src = swapped;
  }
  if (count_misfits_ != nullptr) AddMisfits(src, count, failures);
  loop_(src, dst, count);
  if (swap_result_ != nullptr) swap_result_(dst, dst, count * result_units_);
}

void PackedCast::AddMisfits(const std::byte* src, std::size_t count,
                            CastFailures* failures) const {
  failures->count = count_misfits_(src, count);
  if (failures->count == 0) return;
  std::size_t first = 0;
  while (count_misfits_(src + first * from_size_, 1) == 0) ++first;
  failures->first_index = first;
  failures->first_value = ElementText(from_, src + first * from_size_);
}

void PackedCast::RunStreamed(const std::byte* src, std::byte* dst,
                             std::size_t count) const {
  const std::size_t before_line =
      (0 - reinterpret_cast<std::uintptr_t>(dst)) % kLineBytes;
  const std::size_t head = std::min(count, before_line / to_size_);
  const std::size_t visit = VisitElements();
  RunCached(src, dst, head, nullptr);
  std::size_t i = head;
  alignas(kLineBytes) std::byte lines[kVisitBytes];
  const bool swaps = swap_source_ != nullptr || swap_result_ != nullptr;
  for (; i + visit <= count; i += visit) {
    const std::byte* const from = src + i * from_size_;
    FetchLines(from + kFetchAheadBytes, visit * from_size_);
    if (swaps) {
      CastBlock(from, lines, visit, nullptr);
    } else {
      loop_(from, lines, visit);
    }
    stream_lines_(lines, dst + i * to_size_, visit * to_size_);
  }
  RunCached(src + i * from_size_, dst + i * to_size_, count - i, nullptr);
}

// Whole lines of results.
std::size_t PackedCast::VisitElements() const {
  const std::size_t enough =
      std::min(kVisitElements, kVisitSourceBytes / from_size_);
  return std::max({enough, kVisitSourceBytes / std::max(from_size_, to_size_),
                   kLineBytes / to_size_});
}

}  // namespace tensord
