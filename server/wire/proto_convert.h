// Messages of the wire and the types that core works with.
//
// Functions that read a message collect what is wrong with it in a Violations,
// under the path of the message, and go on; what they return means nothing if
// they found anything.
#ifndef TENSORD_SERVER_WIRE_PROTO_CONVERT_H_
#define TENSORD_SERVER_WIRE_PROTO_CONVERT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_report.h"
#include "core/device/device.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "core/store/tensor_store.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "google/protobuf/timestamp.pb.h"
#include "server/wire/proto_enums.h"
#include "server/wire/violations.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// A dense array as bytes.
struct ArrayFormat {
  DType dtype = DType::kBool;
  // Dense: the bytes are all elements, in the order of their addresses.
  Layout layout;
  ByteOrder byte_order = ByteOrder::kLittle;

  std::int64_t data_bytes() const;
};

// The order that strides follow, C before F; nothing if another.
std::optional<Order> DenseOrder(const Layout& layout);

// DTYPE_UNKNOWN, SHAPE_INVALID, SHAPE_OVERFLOW, ORDER_INVALID, STRIDES_INVALID,
// BYTE_ORDER_INVALID.
ArrayFormat ParseArraySpec(const v1::ArraySpec& spec, std::string_view path,
                           Violations& violations);

// `strides` only where `order` can not say it.
v1::ArraySpec WriteArraySpec(const ArrayFormat& format);

// An array that arrives.
struct DeclaredArray {
  // Nothing for a .npy file.
  std::optional<ArrayFormat> raw;
  std::int64_t total_bytes = 0;
};

// ARRAY_MISSING and those of ParseArraySpec. total_bytes is as it came.
DeclaredArray ParseArrayDeclaration(const v1::ArrayDeclaration& declaration,
                                    std::string_view path,
                                    Violations& violations);

// What a new tensor is to be.
struct NewTensorOptions {
  // Of the tensor, or of the bytes of a .npy of type `V`; nothing: as it
  // arrives.
  std::optional<DType> dtype;
  Device device = kCpuDevice;
  bool requires_grad = false;
  Overflow overflow = Overflow::kTorch;
  Lifetime lifetime;
  bool report_conversion = false;
};

// DTYPE_UNKNOWN, DEVICE_INVALID, OVERFLOW_INVALID, those of ParseLifetime.
NewTensorOptions ParseTensorOptions(const v1::TensorOptions& options,
                                    std::string_view path,
                                    Violations& violations);

// How a tensor is read.
struct TensorReadOptions {
  std::vector<IndexTerm> index;
  std::optional<DType> dtype;
  Overflow overflow = Overflow::kTorch;
  ByteOrder byte_order = ByteOrder::kLittle;
  std::optional<Order> order;
  Encoding encoding = Encoding::kRaw;
  bool force = false;
};

// SLICE_INVALID (a term without a kind) and those of the enums.
TensorReadOptions ParseReadOptions(const v1::ReadOptions& options,
                                   std::string_view path,
                                   Violations& violations);

// SLICE_INVALID: a term without a kind.
std::vector<IndexTerm> ParseIndexTerms(
    const google::protobuf::RepeatedPtrField<v1::IndexTerm>& terms,
    std::string_view path, Violations& violations);

inline constexpr std::string_view kTensorNamePrefix = "tensors/";

// The id in `tensors/{id}`. INVALID_ARGUMENT (NAME_INVALID).
absl::StatusOr<std::string> ParseTensorName(std::string_view name);

// `tensors/{id}`.
std::string WriteTensorName(std::string_view id);

// What `request`, which makes a tensor, says of one that has its id already.
template <class Request>
ClaimOptions ParseClaimOptions(const Request& request) {
  return {.replace = request.replace(), .if_match = request.if_match()};
}

// INVALID_ARGUMENT (NAME_INVALID) unless an id, or empty where nothing is to be
// replaced.
absl::Status CheckNewTensorId(std::string_view id, const ClaimOptions& options);

// More than 0 and at most kMaxTtl. INVALID_ARGUMENT (TTL_INVALID).
absl::StatusOr<absl::Duration> ParseTtl(
    const google::protobuf::Duration& duration);

// The same for a lease. INVALID_ARGUMENT (LEASE_INVALID).
absl::StatusOr<absl::Duration> ParseLease(
    const google::protobuf::Duration& duration);

// INVALID_ARGUMENT (LEASE_INVALID): a lease and another lifetime.
absl::Status TwoLifetimes();

// What `message`, at `path`, says of the lifetime of a new tensor. TTL_INVALID,
// LEASE_INVALID (also if both are given).
template <class Message>
Lifetime ParseLifetime(const Message& message, std::string_view path,
                       Violations& violations) {
  Lifetime lifetime;
  if (message.has_ttl()) {
    lifetime.ttl =
        violations.Take(ParseTtl(message.ttl()), FieldPath(path, "ttl"));
  }
  if (message.has_lease()) {
    lifetime.lease =
        violations.Take(ParseLease(message.lease()), FieldPath(path, "lease"));
    if (message.has_ttl()) {
      violations.Check(TwoLifetimes(), FieldPath(path, "lease"));
    }
  }
  return lifetime;
}

// After `now` and at most kMaxTtl later. INVALID_ARGUMENT (TTL_INVALID).
absl::StatusOr<absl::Time> ParseExpireTime(
    const google::protobuf::Timestamp& timestamp, absl::Time now);

// `report` is what the call that made the tensor was asked for, if anything.
v1::Tensor WriteTensor(
    const StoredTensor& stored,
    const std::optional<ConversionReport>& report = std::nullopt);
// The same, into a message that is empty.
void WriteTensor(const StoredTensor& stored,
                 const std::optional<ConversionReport>& report,
                 v1::Tensor& out);

// REQUIRES: a time that Timestamp can say (years 1 to 9999).
google::protobuf::Timestamp WriteTimestamp(absl::Time time);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_PROTO_CONVERT_H_
