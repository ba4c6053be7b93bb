// Refusals: an absl::Status that carries a stable reason, the fields at fault
// and values for programs to read.
//
// core makes them, the server turns them into google.rpc details, the clients
// turn those back into the same form; so a status looks alike on both ends of
// the wire. The details live in payloads of the status, as text. Thread-safe:
// everything here works on values.
#ifndef TENSORD_CORE_ERROR_H_
#define TENSORD_CORE_ERROR_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace tensord {

// A field of a request, as a path ("array.raw.shape"), and what is wrong with
// it.
struct FieldViolation {
  std::string field;
  std::string description;
  bool operator==(const FieldViolation&) const = default;
};

// What a refusal says besides its code and message.
struct ErrorDetails {
  // Upper-case, stable across releases: "NEEDS_DETACH". Empty when the status
  // did not come from tensord.
  std::string reason;
  // Keys in lowerCamelCase, with units.
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> violations;
};

// A status with `code`, `message` and `reason`; with one violation of the same
// text if `field` is not empty.
absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message, std::string_view field = {});

// Short for MakeError(kInvalidArgument, ...).
absl::Status InvalidArgument(std::string_view reason, std::string_view message,
                             std::string_view field = {});

// The details that `status` carries; empty ones if it carries none.
ErrorDetails GetErrorDetails(const absl::Status& status);

// GetErrorDetails(status).reason.
std::string GetErrorReason(const absl::Status& status);

// Replaces the details of `status`. REQUIRES: !status.ok().
void SetErrorDetails(absl::Status& status, const ErrorDetails& details);

// Adds a value for programs to read. REQUIRES: !status.ok().
void AddErrorMetadata(absl::Status& status, std::string_view key,
                      std::string_view value);

// The same status, whose violations name fields below `prefix`: "shape" becomes
// "prefix.shape", "" becomes "prefix".
absl::Status WithFieldPrefix(absl::Status status, std::string_view prefix);

// `text` of a stranger as it may stand in a message: between quotes, escaped to
// printable ASCII, cut after 48 bytes.
std::string QuoteForMessage(std::string_view text);

// The reasons of every refusal. tests/wire has an input for each that a client
// can cause.
namespace reason {
// .npy files
inline constexpr std::string_view kNpyTruncated = "NPY_TRUNCATED";
inline constexpr std::string_view kNpyBadMagic = "NPY_BAD_MAGIC";
inline constexpr std::string_view kNpzNotSupported = "NPZ_NOT_SUPPORTED";
inline constexpr std::string_view kPickleForbidden = "PICKLE_FORBIDDEN";
inline constexpr std::string_view kNpyBadVersion = "NPY_BAD_VERSION";
inline constexpr std::string_view kNpyHeaderTooLarge = "NPY_HEADER_TOO_LARGE";
inline constexpr std::string_view kNpyHeaderSyntax = "NPY_HEADER_SYNTAX";
inline constexpr std::string_view kNpyBadOrder = "NPY_BAD_ORDER";
inline constexpr std::string_view kTrailingBytes = "TRAILING_BYTES";
// Shapes, strides, indices
inline constexpr std::string_view kShapeInvalid = "SHAPE_INVALID";
inline constexpr std::string_view kShapeOverflow = "SHAPE_OVERFLOW";
inline constexpr std::string_view kSizeMismatch = "SIZE_MISMATCH";
inline constexpr std::string_view kStridesInvalid = "STRIDES_INVALID";
inline constexpr std::string_view kOrderInvalid = "ORDER_INVALID";
inline constexpr std::string_view kSliceInvalid = "SLICE_INVALID";
inline constexpr std::string_view kSliceOutOfRange = "SLICE_OUT_OF_RANGE";
inline constexpr std::string_view kDimsInvalid = "DIMS_INVALID";
inline constexpr std::string_view kViewNeedsCopy = "VIEW_NEEDS_COPY";
// Dtypes and casts
inline constexpr std::string_view kDtypeUnknown = "DTYPE_UNKNOWN";
inline constexpr std::string_view kDtypeUnsupported = "DTYPE_UNSUPPORTED";
inline constexpr std::string_view kDtypeObjectForbidden =
    "DTYPE_OBJECT_FORBIDDEN";
inline constexpr std::string_view kDtypeStructuredUnsupported =
    "DTYPE_STRUCTURED_UNSUPPORTED";
inline constexpr std::string_view kDtypeAmbiguous = "DTYPE_AMBIGUOUS";
inline constexpr std::string_view kDtypeSizeMismatch = "DTYPE_SIZE_MISMATCH";
inline constexpr std::string_view kByteOrderInvalid = "BYTE_ORDER_INVALID";
inline constexpr std::string_view kOverflowInvalid = "OVERFLOW_INVALID";
inline constexpr std::string_view kEncodingInvalid = "ENCODING_INVALID";
inline constexpr std::string_view kCastValueOutOfRange =
    "CAST_VALUE_OUT_OF_RANGE";
// Devices and autograd
inline constexpr std::string_view kDeviceInvalid = "DEVICE_INVALID";
inline constexpr std::string_view kDeviceNotPresent = "DEVICE_NOT_PRESENT";
inline constexpr std::string_view kCudaNotBuilt = "CUDA_NOT_BUILT";
inline constexpr std::string_view kDeviceError = "DEVICE_ERROR";
inline constexpr std::string_view kDeviceOutOfService = "DEVICE_OUT_OF_SERVICE";
inline constexpr std::string_view kDeviceMemoryExhausted =
    "DEVICE_MEMORY_EXHAUSTED";
inline constexpr std::string_view kGradDtype = "GRAD_DTYPE";
inline constexpr std::string_view kGradNonLeaf = "GRAD_NON_LEAF";
inline constexpr std::string_view kNeedsDetach = "NEEDS_DETACH";
inline constexpr std::string_view kNeedsCpu = "NEEDS_CPU";
// Names, the store, memory
inline constexpr std::string_view kNameInvalid = "NAME_INVALID";
inline constexpr std::string_view kTensorNotFound = "TENSOR_NOT_FOUND";
inline constexpr std::string_view kTensorExists = "TENSOR_EXISTS";
inline constexpr std::string_view kUploadConflict = "UPLOAD_CONFLICT";
inline constexpr std::string_view kEtagMismatch = "ETAG_MISMATCH";
inline constexpr std::string_view kTtlInvalid = "TTL_INVALID";
inline constexpr std::string_view kLeaseInvalid = "LEASE_INVALID";
inline constexpr std::string_view kFieldMaskInvalid = "FIELD_MASK_INVALID";
inline constexpr std::string_view kFilterInvalid = "FILTER_INVALID";
inline constexpr std::string_view kOrderByInvalid = "ORDER_BY_INVALID";
inline constexpr std::string_view kPageSizeInvalid = "PAGE_SIZE_INVALID";
inline constexpr std::string_view kPageTokenInvalid = "PAGE_TOKEN_INVALID";
inline constexpr std::string_view kTensorTooLarge = "TENSOR_TOO_LARGE";
inline constexpr std::string_view kMemoryExhausted = "MEMORY_EXHAUSTED";
inline constexpr std::string_view kResultTooLarge = "RESULT_TOO_LARGE";
inline constexpr std::string_view kOperationInvalid = "OPERATION_INVALID";
// Streams
inline constexpr std::string_view kHeaderMissing = "HEADER_MISSING";
inline constexpr std::string_view kHeaderRepeated = "HEADER_REPEATED";
inline constexpr std::string_view kArrayMissing = "ARRAY_MISSING";
inline constexpr std::string_view kMessageEmpty = "MESSAGE_EMPTY";
inline constexpr std::string_view kMessageMalformed = "MESSAGE_MALFORMED";
inline constexpr std::string_view kDataAfterFinish = "DATA_AFTER_FINISH";
inline constexpr std::string_view kUploadIncomplete = "UPLOAD_INCOMPLETE";
inline constexpr std::string_view kUploadOverrun = "UPLOAD_OVERRUN";
inline constexpr std::string_view kChunkTooLarge = "CHUNK_TOO_LARGE";
inline constexpr std::string_view kChunkRate = "CHUNK_RATE";
inline constexpr std::string_view kChecksumMismatch = "CHECKSUM_MISMATCH";
inline constexpr std::string_view kOffsetInvalid = "OFFSET_INVALID";
inline constexpr std::string_view kOffsetMismatch = "OFFSET_MISMATCH";
inline constexpr std::string_view kReadPastEnd = "READ_PAST_END";
// Repeated requests
inline constexpr std::string_view kRequestIdInvalid = "REQUEST_ID_INVALID";
inline constexpr std::string_view kRequestIdReused = "REQUEST_ID_REUSED";
inline constexpr std::string_view kRequestInProgress = "REQUEST_IN_PROGRESS";
inline constexpr std::string_view kPartInvalid = "PART_INVALID";
inline constexpr std::string_view kUploadNotFound = "UPLOAD_NOT_FOUND";
// Who may call, and how much
inline constexpr std::string_view kTokenMissing = "TOKEN_MISSING";
inline constexpr std::string_view kTokenMalformed = "TOKEN_MALFORMED";
inline constexpr std::string_view kTokenInvalid = "TOKEN_INVALID";
inline constexpr std::string_view kTokenExposed = "TOKEN_EXPOSED";
inline constexpr std::string_view kTraceparentInvalid = "TRACEPARENT_INVALID";
inline constexpr std::string_view kForked = "FORKED";
inline constexpr std::string_view kRoleMissing = "ROLE_MISSING";
inline constexpr std::string_view kTensorDenied = "TENSOR_DENIED";
inline constexpr std::string_view kUploadDenied = "UPLOAD_DENIED";
inline constexpr std::string_view kTooManyRequests = "TOO_MANY_REQUESTS";
inline constexpr std::string_view kOverloaded = "OVERLOADED";
inline constexpr std::string_view kQuotaExceeded = "QUOTA_EXCEEDED";
inline constexpr std::string_view kStreamIdle = "STREAM_IDLE";
inline constexpr std::string_view kDeadlinePassed = "DEADLINE_PASSED";
// Files of a client
inline constexpr std::string_view kFileError = "FILE_ERROR";
// The server
inline constexpr std::string_view kLogLevelInvalid = "LOG_LEVEL_INVALID";
inline constexpr std::string_view kDraining = "DRAINING";
inline constexpr std::string_view kInternal = "INTERNAL";
}  // namespace reason

}  // namespace tensord

#endif  // TENSORD_CORE_ERROR_H_
