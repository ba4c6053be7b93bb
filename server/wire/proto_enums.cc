#include "server/wire/proto_enums.h"

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

constexpr int Number(DType dtype) { return static_cast<int>(dtype) + 1; }

static_assert(Number(DType::kBool) == v1::DTYPE_BOOL);
static_assert(Number(DType::kUInt8) == v1::DTYPE_UINT8);
static_assert(Number(DType::kUInt16) == v1::DTYPE_UINT16);
static_assert(Number(DType::kUInt32) == v1::DTYPE_UINT32);
static_assert(Number(DType::kUInt64) == v1::DTYPE_UINT64);
static_assert(Number(DType::kInt8) == v1::DTYPE_INT8);
static_assert(Number(DType::kInt16) == v1::DTYPE_INT16);
static_assert(Number(DType::kInt32) == v1::DTYPE_INT32);
static_assert(Number(DType::kInt64) == v1::DTYPE_INT64);
static_assert(Number(DType::kFloat16) == v1::DTYPE_FLOAT16);
static_assert(Number(DType::kBFloat16) == v1::DTYPE_BFLOAT16);
static_assert(Number(DType::kFloat32) == v1::DTYPE_FLOAT32);
static_assert(Number(DType::kFloat64) == v1::DTYPE_FLOAT64);
static_assert(Number(DType::kComplex64) == v1::DTYPE_COMPLEX64);
static_assert(Number(DType::kComplex128) == v1::DTYPE_COMPLEX128);
static_assert(Number(DType::kFloat8E4M3FN) == v1::DTYPE_FLOAT8_E4M3FN);
static_assert(Number(DType::kFloat8E5M2) == v1::DTYPE_FLOAT8_E5M2);
static_assert(kDTypeCount == v1::Dtype_ARRAYSIZE - 1);

absl::Status NoSuchNumber(std::string_view reason, std::string_view what,
                          int number) {
  return InvalidArgument(reason, absl::StrCat("there is no ", std::string(what),
                                              " with the number ", number));
}

}  // namespace

absl::StatusOr<DType> ParseDType(v1::Dtype dtype) {
  if (dtype == v1::DTYPE_UNSPECIFIED) {
    return InvalidArgument(reason::kDtypeUnknown, "a dtype is required");
  }
  if (!v1::Dtype_IsValid(dtype)) {
    return NoSuchNumber(reason::kDtypeUnknown, "dtype", dtype);
  }
  return static_cast<DType>(dtype - 1);
}

absl::StatusOr<std::optional<DType>> ParseOptionalDType(v1::Dtype dtype) {
  if (dtype == v1::DTYPE_UNSPECIFIED) return std::optional<DType>();
  const absl::StatusOr<DType> parsed = ParseDType(dtype);
  if (!parsed.ok()) return parsed.status();
  return std::optional<DType>(*parsed);
}

absl::StatusOr<std::optional<Order>> ParseOrder(v1::Order order) {
  switch (order) {
    case v1::ORDER_UNSPECIFIED:
      return std::optional<Order>();
    case v1::ORDER_C:
      return std::optional<Order>(Order::kC);
    case v1::ORDER_F:
      return std::optional<Order>(Order::kF);
    default:
      return NoSuchNumber(reason::kOrderInvalid, "order", order);
  }
}

absl::StatusOr<ByteOrder> ParseByteOrder(v1::ByteOrder order) {
  switch (order) {
    case v1::BYTE_ORDER_UNSPECIFIED:
    case v1::BYTE_ORDER_LITTLE_ENDIAN:
      return ByteOrder::kLittle;
    case v1::BYTE_ORDER_BIG_ENDIAN:
      return ByteOrder::kBig;
    default:
      return NoSuchNumber(reason::kByteOrderInvalid, "byte order", order);
  }
}

absl::StatusOr<Overflow> ParseOverflow(v1::OverflowPolicy overflow) {
  switch (overflow) {
    case v1::OVERFLOW_POLICY_UNSPECIFIED:
    case v1::OVERFLOW_POLICY_TORCH:
      return Overflow::kTorch;
    case v1::OVERFLOW_POLICY_SATURATE:
      return Overflow::kSaturate;
    case v1::OVERFLOW_POLICY_ERROR:
      return Overflow::kError;
    default:
      return NoSuchNumber(reason::kOverflowInvalid, "overflow policy",
                          overflow);
  }
}

absl::StatusOr<Encoding> ParseEncoding(v1::Encoding encoding) {
  switch (encoding) {
    case v1::ENCODING_UNSPECIFIED:
    case v1::ENCODING_RAW:
      return Encoding::kRaw;
    case v1::ENCODING_NPY:
      return Encoding::kNpy;
    default:
      return NoSuchNumber(reason::kEncodingInvalid, "encoding", encoding);
  }
}

v1::Dtype ToProto(DType dtype) { return static_cast<v1::Dtype>(Number(dtype)); }

v1::Order ToProto(Order order) {
  return order == Order::kC ? v1::ORDER_C : v1::ORDER_F;
}

v1::ByteOrder ToProto(ByteOrder order) {
  return order == ByteOrder::kLittle ? v1::BYTE_ORDER_LITTLE_ENDIAN
                                     : v1::BYTE_ORDER_BIG_ENDIAN;
}

v1::Encoding ToProto(Encoding encoding) {
  return encoding == Encoding::kRaw ? v1::ENCODING_RAW : v1::ENCODING_NPY;
}

}  // namespace tensord
