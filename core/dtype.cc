#include "core/dtype.h"

#include <bit>
#include <charconv>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

static_assert(std::endian::native == std::endian::little,
              "a descr without a byte order means this machine's");

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  DTypeKind kind;
  std::size_t item_size;
  std::string_view little_descr;
  std::string_view big_descr;
};

using enum DTypeKind;
constexpr std::array<DTypeInfo, kDTypeCount> kInfos = {{
    {DType::kBool, "bool", kBool, 1, "|b1", "|b1"},
    {DType::kUInt8, "uint8", kUnsigned, 1, "|u1", "|u1"},
    {DType::kUInt16, "uint16", kUnsigned, 2, "<u2", ">u2"},
    {DType::kUInt32, "uint32", kUnsigned, 4, "<u4", ">u4"},
    {DType::kUInt64, "uint64", kUnsigned, 8, "<u8", ">u8"},
    {DType::kInt8, "int8", kSigned, 1, "|i1", "|i1"},
    {DType::kInt16, "int16", kSigned, 2, "<i2", ">i2"},
    {DType::kInt32, "int32", kSigned, 4, "<i4", ">i4"},
    {DType::kInt64, "int64", kSigned, 8, "<i8", ">i8"},
    {DType::kFloat16, "float16", kFloating, 2, "<f2", ">f2"},
    {DType::kBFloat16, "bfloat16", kFloating, 2, "<V2", ">V2"},
    {DType::kFloat32, "float32", kFloating, 4, "<f4", ">f4"},
    {DType::kFloat64, "float64", kFloating, 8, "<f8", ">f8"},
    {DType::kComplex64, "complex64", kComplex, 8, "<c8", ">c8"},
    {DType::kComplex128, "complex128", kComplex, 16, "<c16", ">c16"},
    {DType::kFloat8E4M3FN, "float8_e4m3fn", kFloating, 1, "|V1", "|V1"},
    {DType::kFloat8E5M2, "float8_e5m2", kFloating, 1, "|V1", "|V1"},
}};

constexpr bool InfosFollowTheEnum() {
  for (std::size_t i = 0; i < kDTypeCount; ++i) {
    if (kInfos[i].dtype != static_cast<DType>(i)) return false;
  }
  return true;
}
static_assert(InfosFollowTheEnum());

const DTypeInfo& Info(DType dtype) {
  return kInfos[static_cast<std::size_t>(dtype)];
}

// The numbers of a floating-point format.
struct FloatInfo {
  // Of the significand, the leading one included.
  int digits;
  // Of the largest number, and of the smallest above 0: powers of 2.
  int max_exponent;
  int min_exponent;
  bool has_infinity;
};

// Of the parts of complex numbers; REQUIRES: floating point or complex.
FloatInfo FloatInfoOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat8E4M3FN:
      return {4, 8, -9, false};
    case DType::kFloat8E5M2:
      return {3, 15, -16, true};
    case DType::kFloat16:
      return {11, 15, -24, true};
    case DType::kBFloat16:
      return {8, 127, -133, true};
    case DType::kFloat32:
    case DType::kComplex64:
      return {24, 127, -149, true};
    default:
      return {53, 1023, -1074, true};
  }
}

bool IsInteger(DTypeKind kind) { return kind == kUnsigned || kind == kSigned; }

// Of the largest magnitude but the one of the lowest number.
int IntegerDigits(DType dtype) {
  const int bits = static_cast<int>(ItemSize(dtype)) * 8;
  return Kind(dtype) == kSigned ? bits - 1 : bits;
}

constexpr std::array<std::pair<std::string_view, DType>, 8> kAliases = {{
    {"half", DType::kFloat16},
    {"float", DType::kFloat32},
    {"double", DType::kFloat64},
    {"short", DType::kInt16},
    {"int", DType::kInt32},
    {"long", DType::kInt64},
    {"cfloat", DType::kComplex64},
    {"cdouble", DType::kComplex128},
}};

absl::Status UnknownDescr(std::string_view descr) {
  return InvalidArgument(
      reason::kDtypeUnknown,
      absl::StrCat("unknown NumPy dtype ", QuoteForMessage(descr)));
}

absl::Status UnsupportedDescr(std::string_view descr, std::string_view what) {
  return InvalidArgument(
      reason::kDtypeUnsupported,
      absl::StrCat("NumPy dtype ", QuoteForMessage(descr), " (",
                   std::string(what),
                   ") is not supported; only booleans and numbers are"));
}

// A descr taken apart: byte order, letter, what follows the letter.
struct DescrParts {
  ByteOrder order = ByteOrder::kLittle;
  char letter = '\0';
  std::string_view rest;
};

std::optional<DescrParts> SplitDescr(std::string_view descr) {
  DescrParts parts;
  if (!descr.empty() &&
      std::string_view("<>|=").find(descr[0]) != std::string_view::npos) {
    if (descr[0] == '>') parts.order = ByteOrder::kBig;
    descr.remove_prefix(1);
  }
  if (descr.empty()) return std::nullopt;
  parts.letter = descr[0];
  parts.rest = descr.substr(1);
  return parts;
}

// A size without sign and leading zeros, at most 9 digits.
std::optional<std::size_t> ParseSize(std::string_view digits) {
  if (digits.empty() || digits.size() > 9) return std::nullopt;
  if (digits[0] == '0' && digits.size() > 1) return std::nullopt;
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  std::size_t size = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), size);
  return size;
}

// What NumPy calls the kinds that tensors do not have; empty for other letters.
std::string_view UnsupportedKind(char letter) {
  switch (letter) {
    case 'U':
    case 'S':
    case 'a':
    case 'T':
      return "string";
    case 'M':
      return "datetime";
    case 'm':
      return "timedelta";
    case 'V':
      return "void";
    default:
      return {};
  }
}

// Whether `rest` may follow the letter of an unsupported kind: nothing, a size,
// for times a size and a unit in brackets.
bool IsUnsupportedTail(char letter, std::string_view rest) {
  if (letter == 'M' || letter == 'm') {
    const std::size_t bracket = rest.find('[');
    if (bracket != std::string_view::npos) {
      if (rest.back() != ']') return false;
      rest = rest.substr(0, bracket);
    }
  }
  return rest.empty() || ParseSize(rest).has_value();
}

std::optional<DType> FindByLetter(char letter, std::size_t item_size) {
  for (const DTypeInfo& info : kInfos) {
    if (info.little_descr[1] == letter && letter != 'V' &&
        info.item_size == item_size) {
      return info.dtype;
    }
  }
  return std::nullopt;
}

// 80-bit floats, padded to 12 or 16 bytes, and pairs of them.
bool IsLongDouble(const DescrParts& parts) {
  if (parts.letter == 'g' || parts.letter == 'G') return parts.rest.empty();
  if (parts.letter == 'f') return parts.rest == "16" || parts.rest == "12";
  if (parts.letter == 'c') return parts.rest == "32" || parts.rest == "24";
  return false;
}

bool IsRawBytes(const DescrParts& parts) {
  if (parts.letter == 'V') return parts.rest == "1" || parts.rest == "2";
  return parts.letter == 'f' && parts.rest == "1";
}

}  // namespace

std::size_t ItemSize(DType dtype) { return Info(dtype).item_size; }

std::size_t SwapUnit(DType dtype) {
  const DTypeInfo& info = Info(dtype);
  return info.kind == DTypeKind::kComplex ? info.item_size / 2 : info.item_size;
}

DTypeKind Kind(DType dtype) { return Info(dtype).kind; }

bool IsDifferentiable(DType dtype) {
  const DTypeKind kind = Kind(dtype);
  return kind == DTypeKind::kFloating || kind == DTypeKind::kComplex;
}

bool HoldsEveryValue(DType dtype, DType source) {
  const DTypeKind kind = Kind(dtype);
  const DTypeKind source_kind = Kind(source);
  if (source_kind == kBool) return true;
  if (kind == kBool) return false;
  if (IsInteger(kind)) {
    return IsInteger(source_kind) &&
           (kind == kSigned || source_kind == kUnsigned) &&
           IntegerDigits(source) <= IntegerDigits(dtype);
  }
  const FloatInfo info = FloatInfoOf(dtype);
  if (IsInteger(source_kind)) {
    return IntegerDigits(source) <= info.digits &&
           IntegerDigits(source) <= info.max_exponent;
  }
  if (source_kind == kComplex && kind != kComplex) return false;
  const FloatInfo from = FloatInfoOf(source);
  return from.digits <= info.digits && from.max_exponent <= info.max_exponent &&
         from.min_exponent >= info.min_exponent &&
         (info.has_infinity || !from.has_infinity);
}

std::string_view Name(DType dtype) { return Info(dtype).name; }

std::string_view NumpyDescr(DType dtype, ByteOrder order) {
  const DTypeInfo& info = Info(dtype);
  return order == ByteOrder::kLittle ? info.little_descr : info.big_descr;
}

std::optional<DType> DTypeFromName(std::string_view name) {
  for (const DTypeInfo& info : kInfos) {
    if (info.name == name) return info.dtype;
  }
  for (const auto& [alias, dtype] : kAliases) {
    if (alias == name) return dtype;
  }
  return std::nullopt;
}

absl::StatusOr<NumpyType> ParseNumpyDescr(std::string_view descr) {
  const std::optional<DescrParts> parts = SplitDescr(descr);
  if (!parts) return UnknownDescr(descr);
  const std::optional<std::size_t> size = ParseSize(parts->rest);
  if (parts->letter == '?' && parts->rest.empty()) {
    return NumpyType{DType::kBool, parts->order, 1};
  }
  if (IsRawBytes(*parts)) {
    return NumpyType{std::nullopt, parts->order, *size};
  }
  if (IsLongDouble(*parts)) return UnsupportedDescr(descr, "long double");
  if (parts->letter == 'O' && (parts->rest.empty() || size)) {
    return InvalidArgument(reason::kDtypeObjectForbidden,
                           absl::StrCat("NumPy dtype ", QuoteForMessage(descr),
                                        " holds Python objects, which are "
                                        "never read"));
  }
  const std::string_view kind = UnsupportedKind(parts->letter);
  if (!kind.empty() && IsUnsupportedTail(parts->letter, parts->rest)) {
    return UnsupportedDescr(descr, kind);
  }
  const std::optional<DType> dtype =
      size ? FindByLetter(parts->letter, *size) : std::nullopt;
  if (!dtype) return UnknownDescr(descr);
  return NumpyType{dtype, parts->order, *size};
}

}  // namespace tensord
