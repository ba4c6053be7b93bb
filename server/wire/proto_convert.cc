#include "server/wire/proto_convert.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/error.h"

namespace tensord {
namespace {

// Bounds of google.protobuf.Duration and Timestamp.
constexpr std::int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr std::int64_t kMinTimestampSeconds = -62'135'596'800;
constexpr std::int64_t kMaxTimestampSeconds = 253'402'300'799;
constexpr std::int32_t kNanosPerSecond = 1'000'000'000;

bool IsValid(const google::protobuf::Duration& duration) {
  const bool mixed = (duration.seconds() > 0 && duration.nanos() < 0) ||
                     (duration.seconds() < 0 && duration.nanos() > 0);
  return !mixed && duration.seconds() >= -kMaxDurationSeconds &&
         duration.seconds() <= kMaxDurationSeconds &&
         duration.nanos() > -kNanosPerSecond &&
         duration.nanos() < kNanosPerSecond;
}

bool IsValid(const google::protobuf::Timestamp& timestamp) {
  return timestamp.seconds() >= kMinTimestampSeconds &&
         timestamp.seconds() <= kMaxTimestampSeconds &&
         timestamp.nanos() >= 0 && timestamp.nanos() < kNanosPerSecond;
}

// What can be wrong with a kind of lifetime, and what messages call it.
struct LifetimeKind {
  std::string_view reason;
  std::string_view name;
};
constexpr LifetimeKind kTtl{reason::kTtlInvalid, "lifetime"};
constexpr LifetimeKind kLease{reason::kLeaseInvalid, "lease"};

absl::Status BadLifetime(const LifetimeKind& kind, std::string_view problem) {
  return InvalidArgument(
      kind.reason,
      absl::StrCat("the ", std::string(kind.name), " ", std::string(problem),
                   "; it has to be more than 0 and at most 10 years"));
}

absl::Status CheckLifetime(const LifetimeKind& kind, absl::Duration time) {
  if (time <= absl::ZeroDuration()) {
    return BadLifetime(kind, absl::StrCat("is ", absl::FormatDuration(time)));
  }
  if (time > kMaxTtl) return BadLifetime(kind, "is longer than 10 years");
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> ParseLifetimeOf(
    const LifetimeKind& kind, const google::protobuf::Duration& duration) {
  if (!IsValid(duration)) return BadLifetime(kind, "is not a valid Duration");
  const absl::Duration time =
      absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  absl::Status status = CheckLifetime(kind, time);
  if (!status.ok()) return status;
  return time;
}

google::protobuf::Duration WriteDuration(absl::Duration duration) {
  google::protobuf::Duration out;
  out.set_seconds(absl::ToInt64Seconds(duration));
  out.set_nanos(static_cast<std::int32_t>(
      absl::ToInt64Nanoseconds(duration - absl::Seconds(out.seconds()))));
  return out;
}

// Strides as they were given, or those of the order; checked.
absl::StatusOr<Dims> ParseStrides(const v1::ArraySpec& spec, const Dims& shape,
                                  std::optional<Order> order) {
  if (spec.strides().empty()) {
    return DenseStrides(shape, order.value_or(Order::kC));
  }
  Dims strides(spec.strides().begin(), spec.strides().end());
  absl::Status status = CheckDenseStrides(shape, strides);
  if (!status.ok()) return status;
  return strides;
}

absl::StatusOr<IndexTerm> ParseIndexTerm(const v1::IndexTerm& term) {
  switch (term.term_case()) {
    case v1::IndexTerm::kIndex:
      return IndexTerm(term.index());
    case v1::IndexTerm::kSlice: {
      Slice slice;
      if (term.slice().has_start()) slice.start = term.slice().start();
      if (term.slice().has_stop()) slice.stop = term.slice().stop();
      if (term.slice().has_step()) slice.step = term.slice().step();
      return IndexTerm(slice);
    }
    case v1::IndexTerm::kEllipsis:
      return IndexTerm(Ellipsis{});
    case v1::IndexTerm::kNewAxis:
      return IndexTerm(NewAxis{});
    case v1::IndexTerm::TERM_NOT_SET:
      break;
  }
  return InvalidArgument(reason::kSliceInvalid,
                         "a term of the index says nothing");
}

v1::ConversionReport WriteConversionReport(const ConversionReport& report) {
  v1::ConversionReport out;
  out.set_rounded(report.rounded);
  out.set_overflowed(report.overflowed);
  out.set_nan_to_integer(report.nan_to_integer);
  out.set_max_absolute_error(report.max_absolute_error);
  return out;
}

}  // namespace

std::int64_t ArrayFormat::data_bytes() const {
  return ElementCount(layout.shape) *
         static_cast<std::int64_t>(ItemSize(dtype));
}

std::optional<Order> DenseOrder(const Layout& layout) {
  if (IsContiguous(layout)) return Order::kC;
  Layout reversed = layout;
  std::reverse(reversed.shape.begin(), reversed.shape.end());
  std::reverse(reversed.strides.begin(), reversed.strides.end());
  if (IsContiguous(reversed)) return Order::kF;
  return std::nullopt;
}

ArrayFormat ParseArraySpec(const v1::ArraySpec& spec, std::string_view path,
                           Violations& violations) {
  Violations found;
  ArrayFormat format;
  format.dtype = found.Take(ParseDType(spec.dtype()), FieldPath(path, "dtype"));
  const std::size_t item_size = found.empty() ? ItemSize(format.dtype) : 1;
  format.byte_order = found.Take(ParseByteOrder(spec.byte_order()),
                                 FieldPath(path, "byte_order"));
  const std::optional<Order> order =
      found.Take(ParseOrder(spec.order()), FieldPath(path, "order"));
  if (order.has_value() && !spec.strides().empty()) {
    found.Check(InvalidArgument(reason::kOrderInvalid,
                                "order and strides are given; one says it all"),
                FieldPath(path, "order"));
  }
  Dims shape(spec.shape().begin(), spec.shape().end());
  const auto count = CheckedElementCount(shape, item_size);
  found.Check(count.status(), FieldPath(path, "shape"));
  if (count.ok()) {
    format.layout.strides = found.Take(ParseStrides(spec, shape, order),
                                       FieldPath(path, "strides"));
  }
  format.layout.shape = std::move(shape);
  violations.Add(found);
  return format;
}

v1::ArraySpec WriteArraySpec(const ArrayFormat& format) {
  v1::ArraySpec spec;
  spec.set_dtype(ToProto(format.dtype));
  spec.mutable_shape()->Add(format.layout.shape.begin(),
                            format.layout.shape.end());
  spec.set_byte_order(ToProto(format.byte_order));
  const std::optional<Order> order = DenseOrder(format.layout);
  if (order.has_value()) {
    spec.set_order(ToProto(*order));
  } else {
    spec.mutable_strides()->Add(format.layout.strides.begin(),
                                format.layout.strides.end());
  }
  return spec;
}

DeclaredArray ParseArrayDeclaration(const v1::ArrayDeclaration& declaration,
                                    std::string_view path,
                                    Violations& violations) {
  DeclaredArray declared;
  declared.total_bytes = declaration.total_bytes();
  switch (declaration.format_case()) {
    case v1::ArrayDeclaration::kRaw:
      declared.raw = ParseArraySpec(declaration.raw(),
                                    FieldPath(path, "raw").text(), violations);
      break;
    case v1::ArrayDeclaration::kNpy:
      break;
    case v1::ArrayDeclaration::FORMAT_NOT_SET:
      violations.Check(InvalidArgument(reason::kArrayMissing,
                                       "the format of the array is missing"),
                       FieldPath(path, "format"));
  }
  return declared;
}

NewTensorOptions ParseTensorOptions(const v1::TensorOptions& options,
                                    std::string_view path,
                                    Violations& violations) {
  NewTensorOptions parsed;
  parsed.dtype = violations.Take(ParseOptionalDType(options.dtype()),
                                 FieldPath(path, "dtype"));
  if (!options.device().empty()) {
    parsed.device = violations.Take(ParseDevice(options.device()),
                                    FieldPath(path, "device"));
  }
  parsed.requires_grad = options.requires_grad();
  parsed.overflow = violations.Take(ParseOverflow(options.overflow()),
                                    FieldPath(path, "overflow"));
  parsed.lifetime = ParseLifetime(options, path, violations);
  parsed.report_conversion = options.report_conversion();
  return parsed;
}

std::vector<IndexTerm> ParseIndexTerms(
    const google::protobuf::RepeatedPtrField<v1::IndexTerm>& terms,
    std::string_view path, Violations& violations) {
  // More are refused by IndexLayout, one by one in a message of megabytes they
  // would only cost time.
  constexpr int kMaxTerms = 1024;
  std::vector<IndexTerm> parsed;
  if (terms.size() > kMaxTerms) {
    violations.Check(
        InvalidArgument(reason::kSliceInvalid,
                        absl::StrCat("too many terms in the index: ",
                                     terms.size(), ", at most ", kMaxTerms)),
        path);
    return parsed;
  }
  for (int i = 0; i < terms.size(); ++i) {
    parsed.push_back(
        violations.Take(ParseIndexTerm(terms[i]),
                        absl::StrCat(std::string(path), "[", i, "]")));
  }
  return parsed;
}

TensorReadOptions ParseReadOptions(const v1::ReadOptions& options,
                                   std::string_view path,
                                   Violations& violations) {
  TensorReadOptions parsed;
  parsed.index = ParseIndexTerms(options.index(),
                                 FieldPath(path, "index").text(), violations);
  parsed.dtype = violations.Take(ParseOptionalDType(options.dtype()),
                                 FieldPath(path, "dtype"));
  parsed.overflow = violations.Take(ParseOverflow(options.overflow()),
                                    FieldPath(path, "overflow"));
  parsed.byte_order = violations.Take(ParseByteOrder(options.byte_order()),
                                      FieldPath(path, "byte_order"));
  parsed.order =
      violations.Take(ParseOrder(options.order()), FieldPath(path, "order"));
  parsed.encoding = violations.Take(ParseEncoding(options.encoding()),
                                    FieldPath(path, "encoding"));
  parsed.force = options.force();
  return parsed;
}

absl::StatusOr<std::string> ParseTensorName(std::string_view name) {
  std::string_view id = name;
  if (id.substr(0, kTensorNamePrefix.size()) != kTensorNamePrefix) {
    return InvalidArgument(reason::kNameInvalid,
                           "a tensor's name has the form tensors/{id}", "name");
  }
  id.remove_prefix(kTensorNamePrefix.size());
  absl::Status status = AtField(CheckTensorId(id), "name");
  if (!status.ok()) return status;
  return std::string(id);
}

std::string WriteTensorName(std::string_view id) {
  return absl::StrCat(std::string(kTensorNamePrefix), std::string(id));
}

absl::Status CheckNewTensorId(std::string_view id,
                              const ClaimOptions& options) {
  if (!id.empty()) return CheckTensorId(id);
  return options.replaces() ? ReplacesNothing() : absl::OkStatus();
}

absl::StatusOr<absl::Duration> ParseTtl(
    const google::protobuf::Duration& duration) {
  return ParseLifetimeOf(kTtl, duration);
}

absl::StatusOr<absl::Duration> ParseLease(
    const google::protobuf::Duration& duration) {
  return ParseLifetimeOf(kLease, duration);
}

absl::Status TwoLifetimes() {
  return InvalidArgument(reason::kLeaseInvalid,
                         "a lease does not go with a ttl or an expire_time");
}

absl::StatusOr<absl::Time> ParseExpireTime(
    const google::protobuf::Timestamp& timestamp, absl::Time now) {
  if (!IsValid(timestamp)) return BadLifetime(kTtl, "is not a valid Timestamp");
  const absl::Time time = absl::FromUnixSeconds(timestamp.seconds()) +
                          absl::Nanoseconds(timestamp.nanos());
  absl::Status status = CheckLifetime(kTtl, time - now);
  if (!status.ok()) return status;
  return time;
}

google::protobuf::Timestamp WriteTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const std::int64_t seconds = absl::ToUnixSeconds(time);
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<std::int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}

v1::Tensor WriteTensor(const StoredTensor& stored,
                       const std::optional<ConversionReport>& report) {
  v1::Tensor out;
  WriteTensor(stored, report, out);
  return out;
}

void WriteTensor(const StoredTensor& stored,
                 const std::optional<ConversionReport>& report,
                 v1::Tensor& out) {
  const Tensor& tensor = stored.tensor;
  out.set_name(WriteTensorName(stored.id));
  out.set_dtype(ToProto(tensor.dtype()));
  out.mutable_shape()->Add(tensor.shape().begin(), tensor.shape().end());
  out.mutable_strides()->Add(tensor.strides().begin(), tensor.strides().end());
  out.set_device(DeviceString(tensor.device()));
  out.set_requires_grad(tensor.requires_grad());
  out.set_is_leaf(tensor.is_leaf());
  out.set_grad_fn(std::string(tensor.grad_fn()));
  out.set_size_bytes(tensor.size_bytes());
  out.set_storage_id(absl::StrCat(tensor.buffer()->id()));
  out.set_storage_offset(tensor.layout().offset);
  out.set_etag(stored.etag);
  *out.mutable_create_time() = WriteTimestamp(stored.create_time);
  *out.mutable_update_time() = WriteTimestamp(stored.update_time);
  const absl::Time end = stored.end();
  if (end != absl::InfiniteFuture()) {
    // Of members of a oneof, mutable_expire_time() and its like leave a
    // message that can not be destroyed where memory runs out in them.
    out.set_allocated_expire_time(
        new google::protobuf::Timestamp(WriteTimestamp(end)));
  }
  if (stored.lease != nullptr) {
    *out.mutable_lease() = WriteDuration(stored.lease->duration());
  }
  if (report.has_value()) {
    *out.mutable_conversion_report() = WriteConversionReport(*report);
  }
}

}  // namespace tensord
