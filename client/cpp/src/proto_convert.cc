#include "client/cpp/src/proto_convert.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

constexpr std::string_view kNamePrefix = "tensors/";

// The bound of google.protobuf.Duration: 10000 years.
constexpr absl::Duration kMaxDuration = absl::Seconds(315576000000);

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

ConversionReport FromProto(const v1::ConversionReport& report) {
  return {.rounded = report.rounded(),
          .overflowed = report.overflowed(),
          .nan_to_integer = report.nan_to_integer(),
          .max_absolute_error = report.max_absolute_error()};
}

v1::IndexTerm TermToProto(const IndexTerm& term) {
  v1::IndexTerm result;
  if (const auto* index = std::get_if<std::int64_t>(&term)) {
    result.set_index(*index);
  } else if (const auto* slice = std::get_if<Slice>(&term)) {
    v1::Slice* bounds = result.mutable_slice();
    if (slice->start) bounds->set_start(*slice->start);
    if (slice->stop) bounds->set_stop(*slice->stop);
    if (slice->step) bounds->set_step(*slice->step);
  } else if (std::holds_alternative<Ellipsis>(term)) {
    result.mutable_ellipsis();
  } else {
    result.mutable_new_axis();
  }
  return result;
}

absl::Status CheckDevice(std::string_view device, std::string_view field) {
  return CheckText(device, reason::kDeviceInvalid, field);
}

absl::Status Fill(const ToOperation& from, v1::Operation* to) {
  v1::Operation::To* step = to->mutable_to();
  if (from.dtype) step->set_dtype(ToProto(*from.dtype));
  step->set_device(from.device);
  step->set_copy(from.copy);
  step->set_overflow(ToProto(from.overflow));
  return CheckDevice(from.device, "operations.to.device");
}

absl::Status Fill(const DetachOperation&, v1::Operation* to) {
  to->mutable_detach();
  return absl::OkStatus();
}

absl::Status Fill(const IndexOperation& from, v1::Operation* to) {
  *to->mutable_index()->mutable_terms() = ToProto(from.terms);
  return absl::OkStatus();
}

absl::Status Fill(const ReshapeOperation& from, v1::Operation* to) {
  v1::Operation::Reshape* step = to->mutable_reshape();
  step->mutable_shape()->Add(from.shape.begin(), from.shape.end());
  step->set_view_only(from.view_only);
  return absl::OkStatus();
}

absl::Status Fill(const PermuteOperation& from, v1::Operation* to) {
  v1::Operation::Permute* step = to->mutable_permute();
  for (const std::int64_t dim : from.dims) {
    if (dim < INT32_MIN || dim > INT32_MAX) {
      return InvalidArgument(
          reason::kDimsInvalid,
          absl::StrCat("dimension ", dim, " is out of range"),
          "operations.permute.dims");
    }
    step->add_dims(static_cast<std::int32_t>(dim));
  }
  return absl::OkStatus();
}

absl::Status Fill(const CloneOperation&, v1::Operation* to) {
  to->mutable_clone();
  return absl::OkStatus();
}

absl::Status Fill(const ContiguousOperation&, v1::Operation* to) {
  to->mutable_contiguous();
  return absl::OkStatus();
}

// Whether everything that will be computed from the tensor's layout fits in 64
// bits.
bool SoundLayout(const TensorInfo& info) {
  const std::size_t item = ItemSize(info.dtype);
  return info.strides.size() == info.shape.size() &&
         CheckedElementCount(info.shape, item).ok() &&
         CheckReach({info.shape, info.strides, 0}, item).ok();
}

}  // namespace

v1::Dtype ToProto(DType dtype) {
  return static_cast<v1::Dtype>(static_cast<int>(dtype) + 1);
}

std::optional<DType> FromProto(v1::Dtype dtype) {
  const int number = dtype;
  if (number < 1 || number > static_cast<int>(kDTypeCount)) return std::nullopt;
  return static_cast<DType>(number - 1);
}

v1::OverflowPolicy ToProto(Overflow overflow) {
  switch (overflow) {
    case Overflow::kTorch:
      return v1::OVERFLOW_POLICY_TORCH;
    case Overflow::kSaturate:
      return v1::OVERFLOW_POLICY_SATURATE;
    case Overflow::kError:
      return v1::OVERFLOW_POLICY_ERROR;
  }
  return v1::OVERFLOW_POLICY_UNSPECIFIED;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  duration = std::clamp(duration, -kMaxDuration, kMaxDuration);
  google::protobuf::Duration result;
  result.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  result.set_nanos(
      static_cast<std::int32_t>(absl::ToInt64Nanoseconds(duration)));
  return result;
}

google::protobuf::RepeatedPtrField<v1::IndexTerm> ToProto(
    absl::Span<const IndexTerm> terms) {
  google::protobuf::RepeatedPtrField<v1::IndexTerm> result;
  for (const IndexTerm& term : terms) *result.Add() = TermToProto(term);
  return result;
}

absl::StatusOr<v1::Operation> ToProto(const Operation& operation) {
  v1::Operation result;
  absl::Status status = std::visit(
      [&](const auto& step) { return Fill(step, &result); }, operation);
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<v1::TransformTensorRequest> ToProto(
    absl::Span<const Operation> operations, std::optional<absl::Duration> ttl) {
  v1::TransformTensorRequest request;
  if (ttl) *request.mutable_ttl() = ToProto(*ttl);
  for (const Operation& operation : operations) {
    absl::StatusOr<v1::Operation> step = ToProto(operation);
    if (!step.ok()) return step.status();
    *request.add_operations() = *std::move(step);
    const auto* const to = std::get_if<ToOperation>(&operation);
    if (to != nullptr && to->report_conversion) {
      request.set_report_conversion(true);
    }
  }
  return request;
}

absl::StatusOr<v1::TensorOptions> ToProto(const CreateOptions& options) {
  v1::TensorOptions result;
  if (options.dtype) result.set_dtype(ToProto(*options.dtype));
  result.set_device(options.device);
  result.set_requires_grad(options.requires_grad);
  result.set_overflow(ToProto(options.overflow));
  if (options.ttl) *result.mutable_ttl() = ToProto(*options.ttl);
  if (options.lease) *result.mutable_lease() = ToProto(*options.lease);
  result.set_report_conversion(options.report_conversion);
  if (absl::Status status = CheckDevice(options.device, "options.device");
      !status.ok()) {
    return status;
  }
  return result;
}

v1::ReadOptions ToProto(const ReadOptions& options) {
  v1::ReadOptions result;
  *result.mutable_index() = ToProto(options.index);
  if (options.dtype) result.set_dtype(ToProto(*options.dtype));
  result.set_overflow(ToProto(options.overflow));
  result.set_force(options.force);
  if (options.order) {
    result.set_order(*options.order == Order::kC ? v1::ORDER_C : v1::ORDER_F);
  }
  return result;
}

std::string ToName(std::string_view id) {
  std::string name(kNamePrefix);
  return name.append(id);
}

absl::Status CheckText(std::string_view text, std::string_view reason,
                       std::string_view field) {
  const auto plain = [](char c) {
    return absl::ascii_isascii(static_cast<unsigned char>(c)) && c != '\0';
  };
  if (std::all_of(text.begin(), text.end(), plain)) return absl::OkStatus();
  return InvalidArgument(
      reason,
      absl::StrCat(std::string(field), " has characters that are not ASCII"),
      field);
}

absl::Status CheckNewId(std::string_view id, std::string_view if_match) {
  absl::Status status = CheckText(id, reason::kNameInvalid, "id");
  if (!status.ok()) return status;
  return CheckText(if_match, reason::kEtagMismatch, "if_match");
}

absl::StatusOr<TensorInfo> FromProto(const v1::Tensor& tensor) {
  TensorInfo info;
  const std::optional<DType> dtype = FromProto(tensor.dtype());
  const std::string& name = tensor.name();
  if (!dtype) return MalformedAnswer("a tensor of unknown dtype");
  if (!name.starts_with(kNamePrefix) || name.size() == kNamePrefix.size()) {
    return MalformedAnswer("a tensor without a name");
  }
  info.id = name.substr(kNamePrefix.size());
  info.dtype = *dtype;
  info.shape.assign(tensor.shape().begin(), tensor.shape().end());
  info.strides.assign(tensor.strides().begin(), tensor.strides().end());
  if (!SoundLayout(info)) return MalformedAnswer("a tensor of unsound layout");
  info.device = tensor.device();
  info.requires_grad = tensor.requires_grad();
  info.is_leaf = tensor.is_leaf();
  info.grad_fn = tensor.grad_fn();
  info.size_bytes = tensor.size_bytes();
  info.storage_id = tensor.storage_id();
  info.storage_offset = tensor.storage_offset();
  info.etag = tensor.etag();
  info.create_time = ToTime(tensor.create_time());
  info.update_time = ToTime(tensor.update_time());
  if (tensor.has_expire_time()) {
    info.expire_time = ToTime(tensor.expire_time());
  }
  if (tensor.has_lease()) {
    info.lease = absl::Seconds(tensor.lease().seconds()) +
                 absl::Nanoseconds(tensor.lease().nanos());
  }
  if (tensor.has_conversion_report()) {
    info.conversion_report = FromProto(tensor.conversion_report());
  }
  return info;
}

DeviceInfo FromProto(const v1::Device& device) {
  return {.name = device.name(),
          .description = device.description(),
          .memory_limit_bytes = device.memory_limit_bytes(),
          .memory_used_bytes = device.memory_used_bytes(),
          .out_of_service = device.out_of_service()};
}

ServerInfo FromProto(const v1::ServerInfo& info) {
  ServerInfo result;
  result.version = info.version();
  result.cuda_built = info.cuda_built();
  for (const int number : info.dtypes()) {
    if (const auto dtype = FromProto(static_cast<v1::Dtype>(number))) {
      result.dtypes.push_back(*dtype);
    }
  }
  const v1::ServerLimits& limits = info.limits();
  result.max_tensor_bytes = limits.max_tensor_bytes();
  result.max_message_bytes = limits.max_message_bytes();
  result.max_chunk_bytes = limits.max_chunk_bytes();
  result.memory_limit_bytes = limits.memory_limit_bytes();
  result.max_dimensions = limits.max_dimensions();
  result.max_upload_parts = limits.max_upload_parts();
  result.max_tensors = limits.max_tensors();
  result.start_time = ToTime(info.start_time());
  result.devices.assign(info.devices().begin(), info.devices().end());
  result.cuda_unavailable = info.cuda_unavailable();
  return result;
}

}  // namespace tensord::client
