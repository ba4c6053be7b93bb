// Messages of the API to the types of this client, and back. Functions;
// thread-safe. What comes from servers is checked: errors are INTERNAL
// (MESSAGE_MALFORMED) unless said otherwise.
#ifndef TENSORD_CLIENT_CPP_SRC_PROTO_CONVERT_H_
#define TENSORD_CLIENT_CPP_SRC_PROTO_CONVERT_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/client.h"
#include "tensord/remote_tensor.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord::client {

v1::Dtype ToProto(DType dtype);
v1::OverflowPolicy ToProto(Overflow overflow);
// Clamped to what the message can hold.
google::protobuf::Duration ToProto(absl::Duration duration);
google::protobuf::RepeatedPtrField<v1::IndexTerm> ToProto(
    absl::Span<const IndexTerm> terms);

// INVALID_ARGUMENT: DIMS_INVALID (beyond 32 bits), DEVICE_INVALID.
absl::StatusOr<v1::Operation> ToProto(const Operation& operation);

// What is to be done to some tensor. The same errors.
absl::StatusOr<v1::TransformTensorRequest> ToProto(
    absl::Span<const Operation> operations, std::optional<absl::Duration> ttl);

// INVALID_ARGUMENT (DEVICE_INVALID).
absl::StatusOr<v1::TensorOptions> ToProto(const CreateOptions& options);

// Id of a new tensor, and what becomes of one that has it already, of
// CreateOptions or TransformOptions.
template <class Options, class Request>
void SetNewId(const Options& options, Request& request) {
  request.set_tensor_id(options.id);
  request.set_replace(options.replace);
  request.set_if_match(options.if_match);
}

// OK if protobuf can carry both; else INVALID_ARGUMENT (NAME_INVALID,
// ETAG_MISMATCH).
absl::Status CheckNewId(std::string_view id, std::string_view if_match);

v1::ReadOptions ToProto(const ReadOptions& options);

// "tensors/{id}".
std::string ToName(std::string_view id);

// OK if protobuf can carry `text`; else INVALID_ARGUMENT (`reason`). What a
// field may hold beyond that, the server says.
absl::Status CheckText(std::string_view text, std::string_view reason,
                       std::string_view field);

// Nothing for numbers this client does not know.
std::optional<DType> FromProto(v1::Dtype dtype);

// Shape and strides of the result are sound: arithmetic on them does not
// overflow.
absl::StatusOr<TensorInfo> FromProto(const v1::Tensor& tensor);
DeviceInfo FromProto(const v1::Device& device);
// Dtypes this client does not know are left out.
ServerInfo FromProto(const v1::ServerInfo& info);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_PROTO_CONVERT_H_
