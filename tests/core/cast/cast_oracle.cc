#include "tests/core/cast/cast_oracle.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/dtype.h"

namespace tensord::testing {
namespace {

static_assert(std::numeric_limits<long double>::digits >= 64);

using Wide = __int128;

struct IntegerType {
  int bits;
  bool is_signed;
  Wide Min() const { return is_signed ? -(Wide{1} << (bits - 1)) : 0; }
  Wide Max() const { return (Wide{1} << (is_signed ? bits - 1 : bits)) - 1; }
  bool Holds(Wide value) const { return value >= Min() && value <= Max(); }
};
constexpr IntegerType kInt32{32, true};
constexpr IntegerType kInt64{64, true};

struct FloatType {
  int exponent_bits;
  int mantissa_bits;
  bool has_infinity;

  int TotalBits() const { return 1 + exponent_bits + mantissa_bits; }
  int Bias() const { return (1 << (exponent_bits - 1)) - 1; }
  std::uint64_t InfinityCode() const {
    return ((std::uint64_t{1} << exponent_bits) - 1) << mantissa_bits;
  }
  // The number that a code without sign stands for, as if exponents had no
  // upper limit.
  long double ValueOf(std::uint64_t code) const {
    const auto exponent = static_cast<int>(code >> mantissa_bits);
    const auto mantissa = static_cast<long double>(
        code & ((std::uint64_t{1} << mantissa_bits) - 1));
    const long double leading =
        exponent == 0 ? 0 : std::ldexp(1.0L, mantissa_bits);
    return std::ldexp(mantissa + leading,
                      std::max(exponent, 1) - Bias() - mantissa_bits);
  }
};
constexpr FloatType kFloat16Type{5, 10, true};
constexpr FloatType kBFloat16Type{8, 7, true};
constexpr FloatType kFloat32Type{8, 23, true};
constexpr FloatType kFloat64Type{11, 52, true};
constexpr FloatType kE4M3Type{4, 3, false};
constexpr FloatType kE5M2Type{5, 2, true};

std::uint64_t LoadBits(const std::byte* bytes, std::size_t size) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, bytes, size);
  return bits;
}

// ---- Reading ----------------------------------------------------------------

Number DecodeInteger(std::uint64_t bits, IntegerType type) {
  Wide value = bits;
  if (value > type.Max()) value -= Wide{1} << type.bits;
  return {.value = static_cast<long double>(value)};
}

Number DecodeFloat(std::uint64_t bits, FloatType type) {
  const std::uint64_t sign_bit = std::uint64_t{1} << (type.TotalBits() - 1);
  const bool negative = (bits & sign_bit) != 0;
  const std::uint64_t code = bits & (sign_bit - 1);
  const bool is_nan =
      type.has_infinity ? code > type.InfinityCode() : code == sign_bit - 1;
  if (is_nan) {
    const std::uint64_t mantissa =
        code & ((std::uint64_t{1} << type.mantissa_bits) - 1);
    return {.is_nan = true,
            .nan_negative = negative,
            .nan_payload = mantissa << (52 - type.mantissa_bits)};
  }
  const bool infinite = type.has_infinity && code == type.InfinityCode();
  const long double magnitude =
      infinite ? std::numeric_limits<long double>::infinity()
               : type.ValueOf(code);
  return {.value = negative ? -magnitude : magnitude};
}

IntegerType IntegerTypeOf(DType dtype) {
  return {static_cast<int>(ItemSize(dtype)) * 8,
          Kind(dtype) == DTypeKind::kSigned};
}

// Of complex numbers, the type of a part.
FloatType FloatTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return kFloat16Type;
    case DType::kBFloat16:
      return kBFloat16Type;
    case DType::kFloat32:
    case DType::kComplex64:
      return kFloat32Type;
    case DType::kFloat8E4M3FN:
      return kE4M3Type;
    case DType::kFloat8E5M2:
      return kE5M2Type;
    default:
      return kFloat64Type;
  }
}

// ---- Rounding ---------------------------------------------------------------

// All magnitudes of a format, in order, and the one that would follow the
// largest finite one; at the index that is their code.
std::vector<long double> Magnitudes(FloatType type) {
  const std::uint64_t last =
      type.has_infinity ? type.InfinityCode()
                        : (std::uint64_t{1} << (type.TotalBits() - 1)) - 1;
  std::vector<long double> magnitudes;
  for (std::uint64_t code = 0; code <= last; ++code) {
    magnitudes.push_back(type.ValueOf(code));
  }
  return magnitudes;
}

const std::vector<long double>& MagnitudesOf(DType dtype) {
  static const std::vector<long double> float16 = Magnitudes(kFloat16Type);
  static const std::vector<long double> bfloat16 = Magnitudes(kBFloat16Type);
  static const std::vector<long double> e4m3 = Magnitudes(kE4M3Type);
  static const std::vector<long double> e5m2 = Magnitudes(kE5M2Type);
  switch (dtype) {
    case DType::kFloat16:
      return float16;
    case DType::kBFloat16:
      return bfloat16;
    case DType::kFloat8E4M3FN:
      return e4m3;
    default:
      return e5m2;
  }
}

// The code of the magnitude nearest to `value`, the even one of two.
std::uint64_t NearestCode(const std::vector<long double>& magnitudes,
                          long double value) {
  const auto above =
      std::lower_bound(magnitudes.begin(), magnitudes.end(), value);
  if (above == magnitudes.end()) return magnitudes.size() - 1;
  const auto code = static_cast<std::uint64_t>(above - magnitudes.begin());
  if (code == 0) return 0;
  const long double to_above = *above - value;
  const long double to_below = value - magnitudes[code - 1];
  if (to_above == to_below) return code - code % 2;
  return to_above < to_below ? code : code - 1;
}

// The number of the format that is nearest, the even one of two; infinity if
// that would be too large. nearbyint rounds so.
long double RoundToFormat(long double value, FloatType type) {
  if (value == 0 || std::isinf(value)) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - 1, 1 - type.Bias()) - type.mantissa_bits;
  const long double rounded =
      std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  if (std::fabs(rounded) >= type.ValueOf(type.InfinityCode())) {
    return std::copysign(std::numeric_limits<long double>::infinity(), value);
  }
  return rounded;
}

// ---- Making -----------------------------------------------------------------

std::uint64_t WithSign(std::uint64_t code, bool negative, FloatType type) {
  return code | std::uint64_t{negative} << (type.TotalBits() - 1);
}

struct Codes {
  std::uint64_t torch;
  std::uint64_t saturate;
  bool fits = true;
};

Codes Same(std::uint64_t code) { return {code, code}; }

Codes MakeInteger(const Number& number, IntegerType type, bool from_float) {
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - type.bits);
  // Every finite double as an integer; those beyond 2^100 are all alike.
  const bool huge = number.is_nan || std::fabs(number.value) > 0x1p100L;
  const Wide whole = huge ? (number.value < 0 ? -1 : 1) * (Wide{1} << 100)
                          : static_cast<Wide>(std::trunc(number.value));
  Codes codes{};
  codes.fits = !number.is_nan && type.Holds(whole);
  codes.saturate = number.is_nan ? 0
                                 : static_cast<std::uint64_t>(std::clamp(
                                       whole, type.Min(), type.Max())) &
                                       mask;
  Wide kept = whole;
  if (from_float && type.bits == 64 && !type.is_signed) {
    // Above, the machine subtracts 2^63 and gives INT64_MIN; below, only that.
    if (number.is_nan || whole < kInt64.Min())
      kept = Wide{1} << 63;
    else if (!codes.fits && whole > 0)
      kept = 0;
  } else if (from_float) {
    const bool narrow = type.is_signed ? type.bits <= 32 : type.bits == 16;
    const IntegerType& via = narrow ? kInt32 : kInt64;
    if (number.is_nan || !via.Holds(whole)) kept = via.Min();
  }
  codes.torch = static_cast<std::uint64_t>(kept) & mask;
  return codes;
}

// Formats of 16 and 8 bits: NaN loses its payload, and all come through
// float32.
Codes MakeNarrow(const Number& number, DType to) {
  const FloatType type = FloatTypeOf(to);
  const bool is_float8 = ItemSize(to) == 1;
  if (number.is_nan) {
    const std::uint64_t quiet_bit = std::uint64_t{1}
                                    << (type.mantissa_bits - 1);
    const std::uint64_t nan =
        is_float8 ? 0x7f : type.InfinityCode() | quiet_bit;
    return Same(WithSign(nan, number.nan_negative, type));
  }
  const bool negative = std::signbit(number.value);
  const long double rounded =
      std::fabs(RoundToFormat(number.value, kFloat32Type));
  const std::vector<long double>& magnitudes = MagnitudesOf(to);
  const std::uint64_t code = NearestCode(magnitudes, rounded);
  const bool overflows = code == magnitudes.size() - 1;
  Codes codes = Same(WithSign(code, negative, type));
  if (is_float8 && overflows) {
    codes.saturate = WithSign(code - 1, negative, type);
    codes.fits = std::isinf(rounded) && type.has_infinity;
  }
  return codes;
}

// float32 and float64 keep the upper bits of the payload of NaN, made quiet.
std::uint64_t MakeWide(const Number& number, FloatType type, bool quiet) {
  if (number.is_nan) {
    const std::uint64_t payload = number.nan_payload | std::uint64_t{quiet}
                                                           << 51;
    return WithSign(type.InfinityCode() | payload >> (52 - type.mantissa_bits),
                    number.nan_negative, type);
  }
  const long double rounded = RoundToFormat(number.value, type);
  if (type.mantissa_bits == 23) {
    const auto narrow = static_cast<float>(rounded);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &narrow, sizeof(bits));
    return bits;
  }
  const auto wide = static_cast<double>(rounded);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &wide, sizeof(bits));
  return bits;
}

// The bits of a NaN that has the type's own payload, or bfloat16's, pass into
// float32 unchanged.
std::uint64_t MakePart(const Element& element, const Number& number,
                       FloatType type) {
  const bool from_float32 = FloatTypeOf(element.dtype).mantissa_bits == 23;
  const bool from_bfloat16 = element.dtype == DType::kBFloat16;
  const bool same_bits = type.mantissa_bits == 23
                             ? from_float32 || from_bfloat16
                             : element.dtype == DType::kFloat64 ||
                                   element.dtype == DType::kComplex128;
  return MakeWide(number, type, !same_bits);
}

bool IsTrue(const Number& number) { return number.is_nan || number.value != 0; }

Codes MakeReal(const Element& element, DType to) {
  switch (Kind(to)) {
    case DTypeKind::kBool:
      return Same(IsTrue(element.real) || IsTrue(element.imag) ? 1 : 0);
    case DTypeKind::kUnsigned:
    case DTypeKind::kSigned: {
      const DTypeKind from = Kind(element.dtype);
      return MakeInteger(
          element.real, IntegerTypeOf(to),
          from == DTypeKind::kFloating || from == DTypeKind::kComplex);
    }
    default:
      if (ItemSize(to) <= 2) return MakeNarrow(element.real, to);
      return Same(MakePart(element, element.real, FloatTypeOf(to)));
  }
}

void StoreBits(std::uint64_t bits, std::size_t size, std::byte* bytes) {
  std::memcpy(bytes, &bits, size);
}

Number DecodeNumber(DType dtype, const std::byte* bytes) {
  const std::uint64_t bits = LoadBits(bytes, SwapUnit(dtype));
  switch (Kind(dtype)) {
    case DTypeKind::kBool:
      return {.value = bits != 0 ? 1.0L : 0.0L};
    case DTypeKind::kUnsigned:
    case DTypeKind::kSigned:
      return DecodeInteger(bits, IntegerTypeOf(dtype));
    default:
      return DecodeFloat(bits, FloatTypeOf(dtype));
  }
}

}  // namespace

Element DecodeElement(DType dtype, const std::byte* bytes) {
  Element element{
      .real = DecodeNumber(dtype, bytes), .imag = {}, .dtype = dtype};
  if (Kind(dtype) == DTypeKind::kComplex) {
    element.imag = DecodeNumber(dtype, bytes + SwapUnit(dtype));
  }
  std::memcpy(element.bytes.data(), bytes, ItemSize(dtype));
  return element;
}

ExpectedCast ExpectCast(const Element& element, DType to) {
  ExpectedCast expected;
  if (to == element.dtype && to != DType::kBool) {
    expected.torch = expected.saturate = element.bytes;
    return expected;
  }
  if (Kind(to) == DTypeKind::kComplex) {
    const FloatType type = FloatTypeOf(to);
    const std::size_t part = SwapUnit(to);
    StoreBits(MakePart(element, element.real, type), part,
              expected.torch.data());
    StoreBits(MakePart(element, element.imag, type), part,
              expected.torch.data() + part);
    expected.saturate = expected.torch;
    return expected;
  }
  const Codes codes = MakeReal(element, to);
  StoreBits(codes.torch, ItemSize(to), expected.torch.data());
  StoreBits(codes.saturate, ItemSize(to), expected.saturate.data());
  expected.fits = codes.fits;
  return expected;
}

std::string Hex(const std::byte* bytes, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  return absl::BytesToHexString(std::string(text.rbegin(), text.rend()));
}

}  // namespace tensord::testing
