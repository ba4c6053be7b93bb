#include "tests/core/cast/fast_oracle.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/dtype.h"

// Compiles a function, and what it calls, for processors with wider vectors
// too. Sanitizers are not ready when the loader chooses.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TENSORD_WIDE_CLONES \
  __attribute__((target_clones("avx2", "default"), flatten))
#else
#define TENSORD_WIDE_CLONES
#endif

namespace tensord::testing {
namespace {

template <class T>
T LoadAt(const std::byte* elements, std::size_t index) {
  T element;
  std::memcpy(&element, elements + index * sizeof(T), sizeof(T));
  return element;
}

template <class T>
void StoreAt(T element, std::byte* elements, std::size_t index) {
  std::memcpy(elements + index * sizeof(T), &element, sizeof(T));
}

FastOracle::Kind KindOf(DType dtype) {
  switch (tensord::Kind(dtype)) {
    case DTypeKind::kBool:
    case DTypeKind::kUnsigned:
      return FastOracle::Kind::kUnsigned;
    case DTypeKind::kSigned:
      return FastOracle::Kind::kSigned;
    default:
      return FastOracle::Kind::kReal;
  }
}

// ---- Reading ----------------------------------------------------------------

template <class From, class Value>
void Widen(const std::byte* elements, std::size_t count, Value* values) {
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<Value>(LoadAt<From>(elements, i));
  }
}

template <class Float>
void WidenParts(const std::byte* elements, std::size_t count, double* real,
                double* imag) {
  for (std::size_t i = 0; i < count; ++i) {
    real[i] = LoadAt<Float>(elements, 2 * i);
    imag[i] = LoadAt<Float>(elements, 2 * i + 1);
  }
}

struct SmallFloat {
  int exponent_bits;
  int mantissa_bits;
  bool has_infinity;
};

constexpr SmallFloat kFloat16 = {5, 10, true};
constexpr SmallFloat kBFloat16 = {8, 7, true};
constexpr SmallFloat kE4M3 = {4, 3, false};
constexpr SmallFloat kE5M2 = {5, 2, true};

// The number that a code without sign stands for; NaN with its payload, quiet.
double Decode(unsigned code, SmallFloat format) {
  const unsigned units = 1u << format.mantissa_bits;
  const unsigned last = (1u << format.exponent_bits) - 1;
  const unsigned exponent = code / units;
  const unsigned mantissa = code % units;
  if (format.has_infinity && exponent == last) {
    const std::uint64_t payload = std::uint64_t{mantissa}
                                  << (52 - format.mantissa_bits);
    if (mantissa == 0) return HUGE_VAL;
    return std::bit_cast<double>(0x7ff8000000000000 | payload);
  }
  if (!format.has_infinity && code == (last + 1) * units - 1) {
    return std::bit_cast<double>(0x7ff8000000000000 |
                                 std::uint64_t{mantissa}
                                     << (52 - format.mantissa_bits));
  }
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const unsigned leading = exponent == 0 ? 0 : units;
  const int lowest = exponent == 0 ? 1 : static_cast<int>(exponent);
  return std::ldexp(leading + mantissa, lowest - bias - format.mantissa_bits);
}

std::vector<double> DecodeAll(SmallFloat format) {
  const unsigned half = 1u << (format.exponent_bits + format.mantissa_bits);
  std::vector<double> numbers(2 * half);
  for (unsigned code = 0; code < half; ++code) {
    numbers[code] = Decode(code, format);
    numbers[half + code] = -numbers[code];
  }
  return numbers;
}

std::vector<double> DecodedCodes(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return DecodeAll(kFloat16);
    case DType::kBFloat16:
      return DecodeAll(kBFloat16);
    case DType::kFloat8E4M3FN:
      return DecodeAll(kE4M3);
    case DType::kFloat8E5M2:
      return DecodeAll(kE5M2);
    default:
      return {};
  }
}

// ---- Integers ---------------------------------------------------------------

template <class To>
constexpr double kMin = static_cast<double>(std::numeric_limits<To>::min());
// The power of two after the largest.
template <class To>
constexpr double kEnd =
    2 * static_cast<double>(To{1} << (std::numeric_limits<To>::digits - 1));

// Whether the integer part is a To. Every double beyond 2^53 is an integer, so
// there the lower bound is one too.
template <class To>
bool Holds(double value) {
  const bool above = sizeof(To) == 8 && std::is_signed_v<To>
                         ? value >= kMin<To>
                         : value > kMin<To> - 1;
  return above & (value < kEnd<To>);
}

template <class To>
bool Holds(std::int64_t value) {
  constexpr auto kMost = static_cast<std::int64_t>(
      std::min<std::uint64_t>(std::numeric_limits<To>::max(),
                              std::numeric_limits<std::int64_t>::max()));
  return (value >= static_cast<std::int64_t>(std::numeric_limits<To>::min())) &
         (value <= kMost);
}

template <class To>
bool Holds(std::uint64_t value) {
  return value <= static_cast<std::uint64_t>(std::numeric_limits<To>::max());
}

// What cvttsd2si gives: the lowest integer for all that it can not say.
template <class Via>
Via Convert(double value) {
  return static_cast<Via>(Holds<Via>(value) ? value : kMin<Via>);
}

// Through which integer PyTorch takes doubles to those of up to 32 bits.
template <class To>
constexpr bool kThroughInt32 = std::is_signed_v<To> ? sizeof(To) <= 4
                                                    : sizeof(To) == 2;

// 2^63 less, and that much more, above 2^63.
std::uint64_t ConvertToUInt64(double value) {
  const bool upper = value >= 0x1p63;
  const double excess = upper ? value - 0x1p63 : value;
  const auto low = static_cast<std::uint64_t>(Convert<std::int64_t>(excess));
  return upper ? low + (std::uint64_t{1} << 63) : low;
}

template <class To, std::integral Value>
To Wrapped(Value value) {
  return static_cast<To>(static_cast<std::uint64_t>(value));
}

// The verdict on one element.
template <class To>
struct Verdict {
  To torch;
  To saturate;
  bool fits;
};

template <class To>
struct ToInteger {
  // `wrapping` has the bits that the result under kTorch is the lowest of.
  template <class Value, class Wrapping>
  static Verdict<To> Judge(Value value, Wrapping wrapping) {
    using Limits = std::numeric_limits<To>;
    const To outside = value > Value{0}   ? Limits::max()
                       : value < Value{0} ? Limits::min()
                                          : To{0};
    const To torch = Wrapped<To>(wrapping);
    const bool fits = Holds<To>(value);
    return {torch, fits ? torch : outside, fits};
  }
};

// ---- The 16- and 8-bit floats -----------------------------------------------

template <class Code, int kExponentBits, int kMantissaBits, bool kHasInfinity>
struct ToSmallFloat {
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr std::uint32_t kSign = std::uint32_t{1}
                                         << (sizeof(Code) * 8 - 1);
  static constexpr std::uint32_t kLargest =
      kSign - 1 - (kHasInfinity ? std::uint32_t{1} << kMantissaBits : 1);
  static constexpr std::uint32_t kNaN =
      sizeof(Code) == 1
          ? 0x7f
          : kLargest + 1 + (std::uint32_t{1} << (kMantissaBits - 1));

  static std::uint32_t SignOf(float value) {
    return std::bit_cast<std::uint32_t>(value) >> 31 ? kSign : 0;
  }

  // The code of the magnitude, as if exponents had no upper limit; some code
  // that is too large for what is.
  static std::uint32_t Round(float value) {
    constexpr std::uint64_t kExponentOfOne = 1023;
    constexpr auto kLowest =
        std::bit_cast<double>((kExponentOfOne + 1 - kBias) << 52);
    constexpr auto kTooLarge =
        std::bit_cast<double>((kExponentOfOne + kBias + 3) << 52);
    const double absolute = value < 0 ? -double{value} : double{value};
    const double magnitude = absolute < kTooLarge ? absolute : kTooLarge;
    const double normal = magnitude > kLowest ? magnitude : kLowest;
    const std::uint64_t exponent = std::bit_cast<std::uint64_t>(normal) >> 52;
    const std::uint64_t shifter = (exponent + 52 - kMantissaBits) << 52;
    const double sum = std::bit_cast<double>(shifter) + magnitude;
    // In units of the destination's last place.
    const std::uint64_t units = std::bit_cast<std::uint64_t>(sum) - shifter;
    const std::uint64_t exponents = exponent - (kExponentOfOne + 1 - kBias);
    return static_cast<std::uint32_t>((exponents << kMantissaBits) + units);
  }

  // `code` is the number's, rounded.
  static Verdict<Code> Judge(float value, std::uint32_t code) {
    constexpr std::uint32_t kMost = sizeof(Code) == 1 ? kLargest : kLargest + 1;
    const bool nan = value != value;
    const std::uint32_t sign = SignOf(value);
    const std::uint32_t torch = nan ? kNaN : std::min(code, kLargest + 1);
    const std::uint32_t saturate = nan ? kNaN : std::min(code, kMost);
    const bool special = kHasInfinity ? std::isinf(value) | nan : nan;
    const bool fits = special | (code <= kLargest);
    return {static_cast<Code>(sign | torch), static_cast<Code>(sign | saturate),
            fits};
  }
};

using ToFloat16 = ToSmallFloat<std::uint16_t, 5, 10, true>;
using ToBFloat16 = ToSmallFloat<std::uint16_t, 8, 7, true>;
using ToE4M3 = ToSmallFloat<std::uint8_t, 4, 3, false>;
using ToE5M2 = ToSmallFloat<std::uint8_t, 5, 2, true>;

// ---- Blocks -----------------------------------------------------------------

// `values` are one or more arrays of what a verdict depends on. One loop for
// each result: compilers vectorise none that stores elements of unlike sizes.
template <class Rule, class... Values>
void JudgeAll(std::size_t count, std::byte* __restrict torch,
              std::byte* __restrict saturate, std::uint8_t* __restrict misfits,
              const Values*... values) {
  for (std::size_t i = 0; i < count; ++i) {
    StoreAt(Rule::Judge(values[i]...).torch, torch, i);
  }
  for (std::size_t i = 0; i < count; ++i) {
    StoreAt(Rule::Judge(values[i]...).saturate, saturate, i);
  }
  for (std::size_t i = 0; i < count; ++i) {
    misfits[i] = Rule::Judge(values[i]...).fits ? 0 : 1;
  }
}

// First the codes, whose loop has other lanes than what is made of them.
template <class Rule>
void RoundAll(const float* values, std::size_t count, std::uint32_t* codes) {
  for (std::size_t i = 0; i < count; ++i) codes[i] = Rule::Round(values[i]);
}

template <class Rule>
void NarrowAll(const float* values, std::size_t count, std::uint32_t* codes,
               std::byte* __restrict results) {
  RoundAll<Rule>(values, count, codes);
  for (std::size_t i = 0; i < count; ++i) {
    StoreAt(Rule::Judge(values[i], codes[i]).torch, results, i);
  }
}

// Calls `apply` with an integer of the dtype.
template <class Apply>
void WithInteger(DType to, Apply apply) {
  switch (to) {
    case DType::kUInt8:
      return apply(std::uint8_t());
    case DType::kUInt16:
      return apply(std::uint16_t());
    case DType::kUInt32:
      return apply(std::uint32_t());
    case DType::kUInt64:
      return apply(std::uint64_t());
    case DType::kInt8:
      return apply(std::int8_t());
    case DType::kInt16:
      return apply(std::int16_t());
    case DType::kInt32:
      return apply(std::int32_t());
    default:
      return apply(std::int64_t());
  }
}

bool IsInteger(DType dtype) {
  return tensord::Kind(dtype) == DTypeKind::kUnsigned ||
         tensord::Kind(dtype) == DTypeKind::kSigned;
}

bool IsSmallFloat(DType dtype) {
  return tensord::Kind(dtype) == DTypeKind::kFloating && ItemSize(dtype) <= 2;
}

// Parts of a Part each; imag may be null.
template <class Part, class Value>
void StoreParts(const Value* real, const double* imag, std::size_t count,
                std::byte* results) {
  for (std::size_t i = 0; i < count; ++i) {
    StoreAt(static_cast<Part>(real[i]), results, 2 * i);
    const double other = imag == nullptr ? 0 : imag[i];
    StoreAt(static_cast<Part>(other), results, 2 * i + 1);
  }
}

}  // namespace

FastOracle::FastOracle(DType from)
    : from_(from), kind_(KindOf(from)), decoded_(DecodedCodes(from)) {}

bool FastOracle::MayMisfit(DType from, DType to) {
  const bool narrows = IsInteger(to) || (IsSmallFloat(to) && ItemSize(to) == 1);
  return narrows && from != to;
}

// Calls the visitor with the integers or real parts.
template <class Visitor>
void FastOracle::Visit(Visitor visitor) const {
  switch (kind_) {
    case Kind::kUnsigned:
      return visitor(unsigned_.data());
    case Kind::kSigned:
      return visitor(signed_.data());
    case Kind::kReal:
      return visitor(real_.data());
  }
}

void FastOracle::TakeFloats(const std::byte* elements) {
  const std::size_t count = count_;
  real_.resize(count);
  if (from_ == DType::kFloat32) {
    Widen<float>(elements, count, real_.data());
  } else if (from_ == DType::kFloat64) {
    Widen<double>(elements, count, real_.data());
  } else if (from_ == DType::kComplex64 || from_ == DType::kComplex128) {
    imag_.resize(count);
    from_ == DType::kComplex64
        ? WidenParts<float>(elements, count, real_.data(), imag_.data())
        : WidenParts<double>(elements, count, real_.data(), imag_.data());
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t code = ItemSize(from_) == 1
                                   ? LoadAt<std::uint8_t>(elements, i)
                                   : LoadAt<std::uint16_t>(elements, i);
      real_[i] = decoded_[code];
    }
  }
  TruncateReal();
}

TENSORD_WIDE_CLONES void FastOracle::TruncateReal() {
  truncated32_.resize(count_);
  truncated64_.resize(count_);
  wrapped_.resize(count_);
  for (std::size_t i = 0; i < count_; ++i) {
    truncated32_[i] = Convert<std::int32_t>(real_[i]);
    truncated64_[i] = Convert<std::int64_t>(real_[i]);
    wrapped_[i] = ConvertToUInt64(real_[i]);
  }
}

// The bits of NaN stay as they are where the source has them: a conversion
// would make them quiet.
void FastOracle::RoundToFloats() {
  floats_.resize(count_);
  codes_.resize(count_);
  float* const floats = floats_.data();
  if (from_ == DType::kFloat32) {
    std::memcpy(floats, elements_, count_ * sizeof(float));
  } else if (from_ == DType::kBFloat16) {
    for (std::size_t i = 0; i < count_; ++i) {
      const std::uint32_t upper = LoadAt<std::uint16_t>(elements_, i);
      StoreAt(upper << 16, reinterpret_cast<std::byte*>(floats), i);
    }
  } else if (from_ == DType::kComplex64) {
    for (std::size_t i = 0; i < count_; ++i) {
      std::memcpy(floats + i, elements_ + 8 * i, sizeof(float));
    }
  } else {
    Visit([&](const auto* values) {
      for (std::size_t i = 0; i < count_; ++i) {
        floats[i] = static_cast<float>(values[i]);
      }
    });
  }
}

TENSORD_WIDE_CLONES void FastOracle::Take(const std::byte* elements,
                                          std::size_t count) {
  elements_ = elements;
  count_ = count;
  unsigned_.resize(kind_ == Kind::kUnsigned ? count : 0);
  signed_.resize(kind_ == Kind::kSigned ? count : 0);
  std::uint64_t* const naturals = unsigned_.data();
  std::int64_t* const integers = signed_.data();
  switch (from_) {
    case DType::kBool:
      for (std::size_t i = 0; i < count; ++i) {
        naturals[i] = elements[i] == std::byte{0} ? 0 : 1;
      }
      break;
    case DType::kUInt8:
      Widen<std::uint8_t>(elements, count, naturals);
      break;
    case DType::kUInt16:
      Widen<std::uint16_t>(elements, count, naturals);
      break;
    case DType::kUInt32:
      Widen<std::uint32_t>(elements, count, naturals);
      break;
    case DType::kUInt64:
      Widen<std::uint64_t>(elements, count, naturals);
      break;
    case DType::kInt8:
      Widen<std::int8_t>(elements, count, integers);
      break;
    case DType::kInt16:
      Widen<std::int16_t>(elements, count, integers);
      break;
    case DType::kInt32:
      Widen<std::int32_t>(elements, count, integers);
      break;
    case DType::kInt64:
      Widen<std::int64_t>(elements, count, integers);
      break;
    default:
      TakeFloats(elements);
  }
  RoundToFloats();
}

TENSORD_WIDE_CLONES void FastOracle::Expect(DType to, std::byte* torch,
                                            std::byte* saturate,
                                            std::uint8_t* misfits) {
  if (!MayMisfit(from_, to)) {
    ExpectFitting(to, torch);
    std::memcpy(saturate, torch, count_ * ItemSize(to));
    std::fill_n(misfits, count_, std::uint8_t{0});
  } else if (to == DType::kFloat8E4M3FN) {
    RoundAll<ToE4M3>(floats_.data(), count_, codes_.data());
    JudgeAll<ToE4M3>(count_, torch, saturate, misfits, floats_.data(),
                     codes_.data());
  } else if (to == DType::kFloat8E5M2) {
    RoundAll<ToE5M2>(floats_.data(), count_, codes_.data());
    JudgeAll<ToE5M2>(count_, torch, saturate, misfits, floats_.data(),
                     codes_.data());
  } else {
    WithInteger(to, [&]<class To>(To) {
      const auto judge = [&](const auto* values, const auto* wrapping) {
        JudgeAll<ToInteger<To>>(count_, torch, saturate, misfits, values,
                                wrapping);
      };
      if (kind_ == Kind::kUnsigned) {
        judge(unsigned_.data(), unsigned_.data());
      } else if (kind_ == Kind::kSigned) {
        judge(signed_.data(), signed_.data());
      } else if (std::same_as<To, std::uint64_t>) {
        judge(real_.data(), wrapped_.data());
      } else if (kThroughInt32<To>) {
        judge(real_.data(), truncated32_.data());
      } else {
        judge(real_.data(), truncated64_.data());
      }
    });
  }
}

TENSORD_WIDE_CLONES void FastOracle::ExpectFitting(DType to,
                                                   std::byte* results) {
  const double* const imag = imag_.empty() ? nullptr : imag_.data();
  if (to == from_ && to != DType::kBool) {
    std::memcpy(results, elements_, count_ * ItemSize(to));
  } else if (to == DType::kFloat16) {
    NarrowAll<ToFloat16>(floats_.data(), count_, codes_.data(), results);
  } else if (to == DType::kBFloat16) {
    NarrowAll<ToBFloat16>(floats_.data(), count_, codes_.data(), results);
  } else if (to == DType::kBool) {
    Visit([&](const auto* values) {
      for (std::size_t i = 0; i < count_; ++i) {
        const bool other = imag != nullptr && imag[i] != 0;
        results[i] = values[i] != 0 || other ? std::byte{1} : std::byte{0};
      }
    });
  } else if (to == DType::kFloat32) {
    std::memcpy(results, floats_.data(), count_ * sizeof(float));
  } else if (to == DType::kFloat64) {
    Visit([&](const auto* values) {
      for (std::size_t i = 0; i < count_; ++i) {
        StoreAt(static_cast<double>(values[i]), results, i);
      }
    });
  } else if (to == DType::kComplex64) {
    StoreParts<float>(floats_.data(), imag, count_, results);
  } else {
    Visit([&](const auto* values) {
      StoreParts<double>(values, imag, count_, results);
    });
  }
}

}  // namespace tensord::testing
