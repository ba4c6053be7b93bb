#include "core/cast/conversion_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/cast/cast.h"
#include "core/dtype.h"

namespace tensord {
namespace {

// Holds every integer of 64 bits and every double.
static_assert(std::numeric_limits<long double>::digits >= 64);

constexpr std::size_t kBlock = ConversionComparison::kBlockElements;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Integers up to this are doubles.
constexpr std::uint64_t kMaxExact = std::uint64_t{1} << 53;

bool IsInteger(DType dtype) {
  return Kind(dtype) == DTypeKind::kUnsigned ||
         Kind(dtype) == DTypeKind::kSigned;
}

bool IsComplex(DType dtype) { return Kind(dtype) == DTypeKind::kComplex; }

// One less than the integers of a dtype; for int64, of whose minimum a double
// can not be one less, that minimum, which is no change.
double IntegerBelow(DType dtype) {
  if (Kind(dtype) == DTypeKind::kUnsigned) return -1;
  const int bits = static_cast<int>(ItemSize(dtype)) * 8;
  return -std::ldexp(1.0, bits - 1) - 1;
}

// What follows the largest integer of a dtype.
double IntegerEnd(DType dtype) {
  const int bits = static_cast<int>(ItemSize(dtype)) * 8;
  return std::ldexp(1.0, Kind(dtype) == DTypeKind::kSigned ? bits - 1 : bits);
}

// The smallest magnitude that rounds beyond the finite numbers of a dtype. All
// but float and double are rounded to float first: hence half a unit in the
// last place of a float beside the number where the format itself would round
// up.
double FloatEnd(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 65520 - 0x1p-9;
    case DType::kBFloat16:
      return 0x1.ffp127 - 0x1p103;
    case DType::kFloat32:
    case DType::kComplex64:
      return 0x1.ffffffp127;
    case DType::kFloat8E4M3FN:
      // A tie at 464 goes down to 448, and one just above it goes to 464.
      return std::nextafter(464 + 0x1p-16, kInfinity);
    case DType::kFloat8E5M2:
      return 61440 - 0x1p-9;
    default:
      return kInfinity;
  }
}

struct Interval {
  double below;
  double end;
};

// What became of one number.
struct Change {
  bool rounded;
  bool overflowed;
  bool is_nan;
};

template <class Real>
Change Judge(Real source, Real result, Interval fits) {
  const bool inside = source > fits.below && source < fits.end;
  const bool same = source == result;
  const bool is_nan = source != source;
  return {.rounded = inside && !same,
          .overflowed = !(inside || same || is_nan),
          .is_nan = is_nan};
}

template <class Real>
void CompareReals(const Real* source, const Real* result, std::size_t count,
                  Interval fits, ConversionReport& found) {
  std::int64_t rounded = 0;
  std::int64_t overflowed = 0;
  std::int64_t nans = 0;
  Real most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Change change = Judge(source[i], result[i], fits);
    rounded += change.rounded;
    overflowed += change.overflowed;
    nans += change.is_nan;
    // Infinite or NaN unless both are finite.
    const Real error = std::fabs(result[i] - source[i]);
    const bool counts =
        error > most && error <= std::numeric_limits<Real>::max();
    most = counts ? error : most;
  }
  found.Merge({rounded, overflowed, nans, static_cast<double>(most)});
}

void CompareComplex(const double* source, const double* result,
                    std::size_t count, Interval fits, ConversionReport& found) {
  double most = found.max_absolute_error;
  for (std::size_t i = 0; i < 2 * count; i += 2) {
    const Change real = Judge(source[i], result[i], fits);
    const Change imag = Judge(source[i + 1], result[i + 1], fits);
    const bool overflowed = real.overflowed || imag.overflowed;
    found.overflowed += overflowed;
    found.rounded += !overflowed && (real.rounded || imag.rounded);
    const double real_error = std::fabs(result[i] - source[i]);
    const double imag_error = std::fabs(result[i + 1] - source[i + 1]);
    // At least the modulus; infinite or NaN unless all parts are finite.
    const double sum = real_error + imag_error;
    if (sum > most && sum < kInfinity) {
      most = std::max(most, std::hypot(real_error, imag_error));
    }
  }
  found.max_absolute_error = most;
}

template <class Integer>
bool AreDoubles(const std::byte* elements, std::size_t count) {
  constexpr std::uint64_t kLowest =
      std::numeric_limits<Integer>::is_signed ? kMaxExact : 0;
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) {
    Integer element;
    std::memcpy(&element, elements + i * sizeof(Integer), sizeof(Integer));
    const auto from_lowest = static_cast<std::uint64_t>(element) + kLowest;
    all &= from_lowest <= kMaxExact + kLowest;
  }
  return all;
}

// Whether doubles hold all elements of a real dtype.
bool AreDoubles(DType dtype, const std::byte* elements, std::size_t count) {
  if (dtype == DType::kInt64) return AreDoubles<std::int64_t>(elements, count);
  return dtype != DType::kUInt64 || AreDoubles<std::uint64_t>(elements, count);
}

template <class Integer>
void WidenIntegers(const std::byte* elements, std::size_t count,
                   long double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    Integer element;
    std::memcpy(&element, elements + i * sizeof(Integer), sizeof(Integer));
    out[i] = static_cast<long double>(element);
  }
}

std::array<double, kBlock> Doubles(DType dtype, const std::byte* elements,
                                   std::size_t count) {
  std::array<double, kBlock> doubles;
  CastPacked(dtype, elements, DType::kFloat64,
             reinterpret_cast<std::byte*>(doubles.data()), count,
             Overflow::kTorch, nullptr);
  return doubles;
}

std::array<long double, kBlock> LongDoubles(DType dtype,
                                            const std::byte* elements,
                                            std::size_t count) {
  std::array<long double, kBlock> wide;
  if (dtype == DType::kInt64) {
    WidenIntegers<std::int64_t>(elements, count, wide.data());
  } else if (dtype == DType::kUInt64) {
    WidenIntegers<std::uint64_t>(elements, count, wide.data());
  } else {
    const std::array<double, kBlock> doubles = Doubles(dtype, elements, count);
    std::copy_n(doubles.begin(), count, wide.begin());
  }
  return wide;
}

std::array<double, 2 * kBlock> ComplexParts(DType dtype,
                                            const std::byte* elements,
                                            std::size_t count) {
  std::array<double, 2 * kBlock> parts;
  CastPacked(dtype, elements, DType::kComplex128,
             reinterpret_cast<std::byte*>(parts.data()), count,
             Overflow::kTorch, nullptr);
  return parts;
}

}  // namespace

ConversionComparison::ConversionComparison(DType from, ByteOrder from_order,
                                           DType to, ByteOrder to_order)
    : from_(from),
      from_order_(from_order),
      to_(to),
      to_order_(to_order),
      changes_(from != to && from != DType::kBool && to != DType::kBool),
      below_(IsInteger(to) ? IntegerBelow(to) : -FloatEnd(to)),
      end_(IsInteger(to) ? IntegerEnd(to) : FloatEnd(to)) {}

void ConversionComparison::Compare(const std::byte* src, const std::byte* dst,
                                   std::size_t count,
                                   ConversionReport* report) const {
  if (!changes_) return;
  const std::size_t from_size = ItemSize(from_);
  const std::size_t to_size = ItemSize(to_);
  std::array<std::byte, 16 * kBlock> native_source;
  std::array<std::byte, 16 * kBlock> native_result;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const std::byte* source = src + begin * from_size;
    const std::byte* result = dst + begin * to_size;
    if (from_order_ == ByteOrder::kBig) {
      SwapBytes(from_, source, native_source.data(), size);
      source = native_source.data();
    }
    if (to_order_ == ByteOrder::kBig) {
      SwapBytes(to_, result, native_result.data(), size);
      result = native_result.data();
    }
    CompareBlock(source, result, size, report);
  }
}

void ConversionComparison::CompareBlock(const std::byte* src,
                                        const std::byte* dst, std::size_t count,
                                        ConversionReport* report) const {
  const Interval fits{below_, end_};
  ConversionReport found;
  if (IsComplex(from_) && IsComplex(to_)) {
    CompareComplex(ComplexParts(from_, src, count).data(),
                   ComplexParts(to_, dst, count).data(), count, fits, found);
  } else if (AreDoubles(from_, src, count) && AreDoubles(to_, dst, count)) {
    CompareReals(Doubles(from_, src, count).data(),
                 Doubles(to_, dst, count).data(), count, fits, found);
  } else {
    CompareReals(LongDoubles(from_, src, count).data(),
                 LongDoubles(to_, dst, count).data(), count, fits, found);
  }
  if (!IsInteger(to_)) found.nan_to_integer = 0;
  report->Merge(found);
}

}  // namespace tensord
