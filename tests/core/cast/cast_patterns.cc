#include "tests/core/cast/cast_patterns.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "core/dtype.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_oracle.h"

namespace tensord::testing {
namespace {

// Appends the magnitudes of a float of 8 or 16 bits, and those half way
// between, up to where it overflows.
void AppendMagnitudes(DType dtype, std::vector<double>& edges) {
  const std::vector<std::byte> codes = CastInputs(dtype, 0);
  const std::size_t half = codes.size() / 2;
  double previous = 0;
  double step = 0;
  for (std::size_t at = 0; at < half; at += ItemSize(dtype)) {
    const Number number = DecodeElement(dtype, codes.data() + at).real;
    const auto value = static_cast<double>(number.value);
    if (number.is_nan || std::isinf(value)) break;
    step = value - previous;
    edges.push_back(value - step / 2);
    edges.push_back(value);
    previous = value;
  }
  edges.push_back(previous + step / 2);
  edges.push_back(previous + step);
}

std::vector<double> Edges() {
  std::vector<double> edges;
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16,
                            DType::kFloat8E4M3FN, DType::kFloat8E5M2}) {
    AppendMagnitudes(dtype, edges);
  }
  // As many limits of integers and of floats as there are magnitudes.
  for (const std::size_t most = 2 * edges.size(); edges.size() < most;) {
    for (int exponent = -160; exponent <= 129; ++exponent) {
      const double power = std::ldexp(1.0, exponent);
      for (const double more : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
        edges.push_back(std::fabs(power + more));
      }
      edges.push_back(power * (2 - 0x1p-24));
      edges.push_back(power * (2 - 0x1p-25));
    }
    for (int limit = 0; limit < 200; ++limit) {
      for (const int bits : {7, 8, 15, 16, 31, 32, 63, 64}) {
        edges.push_back(std::ldexp(1.0, bits) + (limit % 5 - 2) * 0.5);
      }
    }
  }
  return edges;
}

// One of the powers of two below 2^bits, at random.
template <class Bits>
Bits Power(std::uint64_t random, int bits) {
  return Bits{1} << (random % static_cast<unsigned>(bits));
}

template <class Float, class Bits>
struct FloatLayout {
  static constexpr int kMantissaBits = std::numeric_limits<Float>::digits - 1;
  static constexpr Bits kMantissa = (Bits{1} << kMantissaBits) - 1;
  static constexpr Bits kSign = Bits{1} << (sizeof(Bits) * 8 - 1);
  static constexpr Bits kInfinity = kSign - 1 - kMantissa;
  static constexpr int kBias = std::numeric_limits<Float>::max_exponent - 1;

  static Bits WithExponent(int exponent, Bits mantissa) {
    return (static_cast<Bits>(exponent + kBias) << kMantissaBits) + mantissa;
  }

  // Infinity, zero, or NaN or a subnormal whose mantissa has any width.
  static Bits Special(std::uint64_t random) {
    const Bits mantissa = static_cast<Bits>(random >> 8) & kMantissa;
    const Bits narrow = mantissa >> (random % (kMantissaBits + 1));
    const Bits exponent = (random & 0x40) != 0 ? kInfinity : 0;
    return exponent | ((random & 0x80) != 0 ? mantissa & ~narrow : narrow);
  }

  // Without sign. `kind` is below 6, and `bits` and `random` are random.
  static Bits Hard(unsigned kind, Bits bits, std::uint64_t random, Bits edge) {
    const Bits power = Power<Bits>(random >> 8, kMantissaBits);
    const Bits near = static_cast<Bits>(random >> 16) % 7 - 3;
    const Bits beside = static_cast<Bits>(random >> 16) % 3 - 1;
    const Bits mantissa = bits & kMantissa;
    switch (kind) {
      case 0:
      case 1:
        return edge + near;
      case 2:
        return (random & 0x80) != 0 ? edge + power : edge - power;
      case 3: {
        const auto exponent = static_cast<int>((random >> 20) % 250) - 125;
        const Bits half = (mantissa & ~(power - 1)) | power;
        return WithExponent(exponent, half) + beside;
      }
      case 4:
        return WithExponent(static_cast<int>((random >> 20) % 72) - 4,
                            mantissa);
      default:
        return Special(random >> 8);
    }
  }
};

template <class Bits>
Bits HardInteger(unsigned kind, Bits bits, std::uint64_t random, Bits edge) {
  constexpr int kBits = static_cast<int>(sizeof(Bits)) * 8;
  const Bits power = Power<Bits>(random >> 8, kBits);
  const Bits near = static_cast<Bits>(random >> 16) % 7 - 3;
  const Bits beside = static_cast<Bits>(random >> 16) % 3 - 1;
  const Bits narrow = bits >> (random >> 24) % kBits;
  switch (kind) {
    case 0:
    case 1:
      return edge + near;
    case 2:
      return (random & 0x80) != 0 ? edge + power : edge - power;
    case 3:
      return ((narrow & ~(power - 1)) | power) + beside;
    case 4:
      return power + near;
    default:
      return narrow;
  }
}

// Elements in a row that are all of one width, or all of any: loops may treat
// several small ones together.
constexpr std::size_t kRun = 256;

// Bits that the magnitudes of a run have before the point; none, where anything
// may come.
std::optional<unsigned> RunBits(std::uint64_t random) {
  if (random % 2 == 0) return std::nullopt;
  return 1 + (random >> 1) % 40;
}

template <class Bits>
Bits NarrowInteger(Bits bits, unsigned width) {
  constexpr unsigned kBits = sizeof(Bits) * 8;
  const Bits narrow = width < kBits ? bits >> (kBits - width) : bits;
  return (bits & 1) != 0 ? Bits{0} - narrow : narrow;
}

template <class Layout, class Bits>
Bits NarrowFloat(Bits bits, std::uint64_t random, unsigned width) {
  const int exponent = static_cast<int>(random % (width + 8)) - 8;
  return Layout::WithExponent(exponent, bits & Layout::kMantissa) |
         (bits & Layout::kSign);
}

// The magnitude, where Bits holds it.
template <class Bits>
Bits IntegerEdge(double edge) {
  return edge < static_cast<double>(std::numeric_limits<Bits>::max())
             ? static_cast<Bits>(edge)
             : 0;
}

}  // namespace

CastPatterns::CastPatterns(DType dtype, std::uint64_t seed)
    : dtype_(dtype), random_(seed), edges_(Edges()) {}

template <class Bits>
void CastPatterns::FillIntegers(std::byte* elements, std::size_t count) {
  std::optional<unsigned> width;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % kRun == 0) width = RunBits(random_());
    auto bits = static_cast<Bits>(random_());
    const std::uint64_t random = random_();
    const auto kind = static_cast<unsigned>(random % 8);
    if (width.has_value()) {
      bits = NarrowInteger<Bits>(bits, *width);
    } else if (kind < 6) {
      const double edge = edges_[(random >> 32) % edges_.size()];
      const Bits hard =
          HardInteger<Bits>(kind, bits, random >> 3, IntegerEdge<Bits>(edge));
      bits = (random >> 63) != 0 ? Bits{0} - hard : hard;
    }
    std::memcpy(elements + i * sizeof(Bits), &bits, sizeof(Bits));
  }
}

template <class Float, class Bits>
void CastPatterns::FillFloats(std::byte* elements, std::size_t count) {
  using Layout = FloatLayout<Float, Bits>;
  std::optional<unsigned> width;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % kRun == 0) width = RunBits(random_());
    auto bits = static_cast<Bits>(random_());
    const std::uint64_t random = random_();
    const auto kind = static_cast<unsigned>(random % 8);
    if (width.has_value()) {
      bits = NarrowFloat<Layout>(bits, random, *width);
    } else if (kind < 6) {
      const auto edge =
          static_cast<Float>(edges_[(random >> 32) % edges_.size()]);
      bits = Layout::Hard(kind, bits, random >> 3, std::bit_cast<Bits>(edge));
      if (random >> 63 != 0) bits ^= Layout::kSign;
    }
    std::memcpy(elements + i * sizeof(Bits), &bits, sizeof(Bits));
  }
}

void CastPatterns::Fill(std::byte* elements, std::size_t count) {
  const std::size_t parts = count * (ItemSize(dtype_) / SwapUnit(dtype_));
  const bool floating = Kind(dtype_) == DTypeKind::kFloating ||
                        Kind(dtype_) == DTypeKind::kComplex;
  if (SwapUnit(dtype_) == 4) {
    floating ? FillFloats<float, std::uint32_t>(elements, parts)
             : FillIntegers<std::uint32_t>(elements, parts);
  } else {
    floating ? FillFloats<double, std::uint64_t>(elements, parts)
             : FillIntegers<std::uint64_t>(elements, parts);
  }
}

}  // namespace tensord::testing
