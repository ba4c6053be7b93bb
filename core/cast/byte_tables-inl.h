// Casts of elements of one byte by table, for vectors that can be indexed by
// bytes.
//
// Included once per target of Highway's.
#if defined(TENSORD_CORE_CAST_BYTE_TABLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENSORD_CORE_CAST_BYTE_TABLES_INL_H_
#undef TENSORD_CORE_CAST_BYTE_TABLES_INL_H_
#else
#define TENSORD_CORE_CAST_BYTE_TABLES_INL_H_
#endif

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/cast/cast.h"
#include "core/cast/cast_loops-inl.h"
#include "core/cast/cast_rules.h"
#include "core/cast/vector_body-inl.h"
#include "core/scalar_types.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tensord {
namespace HWY_NAMESPACE {

#if TENSORD_HAS_VECTORS

// ---- Elements of one byte, by table -----------------------------------------

// A destination is looked up, a vector of elements at a time; one of two bytes
// only where processors index more than 16 bytes.
template <class To, class From>
concept ByteTableOf = sizeof(From) == 1 &&
                      sizeof(To) <= (HWY_TARGET == HWY_AVX3_DL ? 2 : 1) &&
                      !std::same_as<To, Bool> && !std::same_as<From, To> &&
                      (Float8<From> || !std::integral<To>);

using Bytes = hn::ScalableTag<std::uint8_t>;
using ByteVector = hn::Vec<Bytes>;

// What every byte becomes: the lowest bytes of all results, then the next.
template <class From, class To, Overflow kOverflow>
struct ByteTable {
  static constexpr std::size_t kParts = sizeof(To);
  alignas(64) static constexpr auto kBytes = [] {
    std::array<std::array<std::uint8_t, 256>, kParts> bytes{};
    for (std::size_t i = 0; i < 256; ++i) {
      const From from = __builtin_bit_cast(From, static_cast<std::uint8_t>(i));
      const To to = kOverflow == Overflow::kSaturate
                        ? cast_rules::CastNearest<To>(from)
                        : cast_rules::Cast<To>(from);
      const auto parts =
          __builtin_bit_cast(std::array<std::uint8_t, kParts>, to);
      for (std::size_t j = 0; j < kParts; ++j) bytes[j][i] = parts[j];
    }
    return bytes;
  }();
};

#if HWY_TARGET == HWY_AVX3_DL

// Processors that permute bytes look up 128 at once.
template <class Table, std::size_t kPart>
HWY_INLINE ByteVector LookUp(ByteVector indices) {
  const std::uint8_t* const bytes = Table::kBytes[kPart].data();
  const __m512i lower = _mm512_permutex2var_epi8(
      _mm512_load_si512(bytes), indices.raw, _mm512_load_si512(bytes + 64));
  const __m512i upper =
      _mm512_permutex2var_epi8(_mm512_load_si512(bytes + 128), indices.raw,
                               _mm512_load_si512(bytes + 192));
  return ByteVector{
      _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices.raw), lower, upper)};
}

#else

// Others look up 16, and give 0 for an index whose highest bit is set: so all
// rows of 16 are looked up, one after the other, with the index less what lies
// before the row. A row is kept as its difference (xor) from the row before;
// what an index finds in its own row and those before it adds up to what the
// table says, and rows that do not differ need no look.
template <class Table>
struct TableRows {
  static constexpr std::size_t kRowSize = 16;
  static constexpr std::size_t kRowsOfHalf = 128 / kRowSize;
  static constexpr auto& kBytes = Table::kBytes[0];

  // Whether bytes with the highest bit set differ from those without only by
  // the highest bit of the result: a sign.
  static constexpr bool kIsSigned = [] {
    for (std::size_t i = 0; i < 128; ++i) {
      if (kBytes[i + 128] != (kBytes[i] ^ 0x80)) return false;
    }
    return true;
  }();

  // Whether bytes are signed integers, and results have a sign.
  static constexpr bool kIsOdd = [] {
    for (std::size_t i = 1; i < 128; ++i) {
      if (kBytes[256 - i] != (kBytes[i] ^ 0x80)) return false;
    }
    return kBytes[128] == kBytes[256 - 127];
  }();

  // What is to be added to the result of half a byte. Halves keep a bit that
  // says whether any was lost, which is all that rounding needs to know.
  static constexpr std::uint8_t kOfDoubling = kBytes[128] - kBytes[64];
  static constexpr std::size_t Half(std::size_t i) { return i / 2 | (i & 1); }

  // Whether bytes with the highest bit set are twice others, as floats see
  // them.
  static constexpr bool kIsDoubling = [] {
    for (std::size_t i = 128; i < 256; ++i) {
      if (kBytes[i] != kBytes[Half(i)] + kOfDoubling) return false;
    }
    return true;
  }();

  alignas(16) static constexpr auto kDifferences = [] {
    auto differences = kBytes;
    for (std::size_t i = 256; i-- > 0;) {
      if (i % 128 >= kRowSize) differences[i] ^= differences[i - kRowSize];
    }
    return differences;
  }();

  static constexpr bool Differs(std::size_t row) {
    for (std::size_t i = 0; i < kRowSize; ++i) {
      if (kDifferences[row * kRowSize + i] != 0) return true;
    }
    return false;
  }
};

// Adds what row kRow, counted in half a table, has for indices to `found`.
template <class Table, std::size_t kHalf, std::size_t kRow>
HWY_INLINE void LookUpRow(ByteVector indices, ByteVector& found) {
  using Rows = TableRows<Table>;
  constexpr std::size_t kRowOfTable = kHalf * Rows::kRowsOfHalf + kRow;
  if constexpr (Rows::Differs(kRowOfTable)) {
    const hn::RebindToSigned<Bytes> numbers;
    // Saturating: an index that has its highest bit set keeps it.
    auto rest = hn::BitCast(
        Bytes(), hn::SaturatedSub(hn::BitCast(numbers, indices),
                                  hn::Set(numbers, kRow * Rows::kRowSize)));
#if !HWY_ARCH_X86
    // x86 goes by the lowest four bits, others give 0 for 16 and more.
    rest = hn::And(rest, hn::Set(Bytes(), 0x8f));
#endif
    const auto row = hn::LoadDup128(
        Bytes(), Rows::kDifferences.data() + kRowOfTable * Rows::kRowSize);
    found = hn::Xor(found, hn::TableLookupBytesOr0(row, rest));
  }
}

template <class Table, std::size_t kHalf, std::size_t... kRow>
HWY_INLINE void LookUpHalf(ByteVector indices, ByteVector& found,
                           std::index_sequence<kRow...> /*rows*/) {
  (LookUpRow<Table, kHalf, kRow>(indices, found), ...);
}

template <class Table, std::size_t kPart>
HWY_INLINE ByteVector LookUp(ByteVector indices) {
  static_assert(Table::kParts == 1 && kPart == 0);
  using Rows = TableRows<Table>;
  constexpr auto kRows = std::make_index_sequence<Rows::kRowsOfHalf>();
  const Bytes bytes;
  const auto highest = hn::Set(bytes, 0x80);
  const auto signs = hn::And(indices, highest);
  auto found = hn::Zero(bytes);
  if constexpr (Rows::kIsSigned) {
    LookUpHalf<Table, 0>(hn::AndNot(highest, indices), found, kRows);
    found = hn::Xor(found, signs);
  } else if constexpr (Rows::kIsOdd) {
    const hn::RebindToSigned<Bytes> numbers;
    const auto magnitudes =
        hn::BitCast(bytes, hn::Abs(hn::BitCast(numbers, indices)));
    LookUpHalf<Table, 0>(hn::Min(magnitudes, hn::Set(bytes, 0x7f)), found,
                         kRows);
    found = hn::Xor(found, signs);
  } else if constexpr (Rows::kIsDoubling) {
    const hn::RepartitionToWide<Bytes> pairs;
    const auto shifted =
        hn::BitCast(bytes, hn::ShiftRight<1>(hn::BitCast(pairs, indices)));
    const auto halves = hn::Or(hn::AndNot(highest, shifted),
                               hn::And(indices, hn::Set(bytes, 1)));
    const auto large = hn::MaskFromVec(hn::BroadcastSignBit(
        hn::BitCast(hn::RebindToSigned<Bytes>(), indices)));
    const auto is_large = hn::RebindMask(bytes, large);
    LookUpHalf<Table, 0>(hn::IfThenElse(is_large, halves, indices), found,
                         kRows);
    found = hn::Add(
        found, hn::IfThenElseZero(is_large, hn::Set(bytes, Rows::kOfDoubling)));
  } else {
    LookUpHalf<Table, 0>(indices, found, kRows);
    LookUpHalf<Table, 1>(hn::Xor(indices, highest), found, kRows);
  }
  return found;
}

#endif  // HWY_AVX3_DL

template <class From, ByteTableOf<From> To, Overflow kOverflow>
struct VectorBody<From, To, kOverflow> {
  using Table = ByteTable<From, To, kOverflow>;
  static constexpr std::size_t kElements = hn::MaxLanes(Bytes());

  static HWY_INLINE void Cast(const std::byte* src, std::byte* dst) {
    const Bytes bytes;
    std::uint8_t* const to = TypedPointer<std::uint8_t>(dst);
    const auto indices = hn::LoadU(bytes, TypedPointer<std::uint8_t>(src));
#if HWY_TARGET == HWY_AVX3_DL
    if constexpr (Table::kParts == 2) {
      // So that blocks of 16 bytes, which are interleaved by themselves, end up
      // in order.
      const ByteVector spread{_mm512_permutexvar_epi64(
          _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), indices.raw)};
      const ByteVector first = LookUp<Table, 0>(spread);
      const ByteVector second = LookUp<Table, 1>(spread);
      hn::StoreU(hn::InterleaveLower(bytes, first, second), bytes, to);
      hn::StoreU(hn::InterleaveUpper(bytes, first, second), bytes,
                 to + kElements);
      return;
    }
#endif
    hn::StoreU(LookUp<Table, 0>(indices), bytes, to);
  }
};

#endif  // vectors

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace tensord
HWY_AFTER_NAMESPACE();

#endif  // TENSORD_CORE_CAST_BYTE_TABLES_INL_H_
