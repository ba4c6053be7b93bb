// The enums of the wire and those of core. Enums of proto3 are open: any number
// may arrive.
#ifndef TENSORD_SERVER_WIRE_PROTO_ENUMS_H_
#define TENSORD_SERVER_WIRE_PROTO_ENUMS_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "core/cast/cast.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// How an array is written into bytes.
enum class Encoding : std::uint8_t { kRaw, kNpy };

// INVALID_ARGUMENT (DTYPE_UNKNOWN): unspecified, or no number of a dtype.
absl::StatusOr<DType> ParseDType(v1::Dtype dtype);

// The same where unspecified means "keep": nothing.
absl::StatusOr<std::optional<DType>> ParseOptionalDType(v1::Dtype dtype);

// Nothing for unspecified. INVALID_ARGUMENT (ORDER_INVALID).
absl::StatusOr<std::optional<Order>> ParseOrder(v1::Order order);

// INVALID_ARGUMENT (BYTE_ORDER_INVALID).
absl::StatusOr<ByteOrder> ParseByteOrder(v1::ByteOrder order);

// INVALID_ARGUMENT (OVERFLOW_INVALID).
absl::StatusOr<Overflow> ParseOverflow(v1::OverflowPolicy overflow);

// INVALID_ARGUMENT (ENCODING_INVALID).
absl::StatusOr<Encoding> ParseEncoding(v1::Encoding encoding);

v1::Dtype ToProto(DType dtype);
v1::Order ToProto(Order order);
v1::ByteOrder ToProto(ByteOrder order);
v1::Encoding ToProto(Encoding encoding);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_PROTO_ENUMS_H_
