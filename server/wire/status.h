// The one conversion of a refusal into what gRPC sends.
#ifndef TENSORD_SERVER_WIRE_STATUS_H_
#define TENSORD_SERVER_WIRE_STATUS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/status.h"

namespace tensord {

// Longest message that is sent, in bytes.
inline constexpr std::size_t kMaxStatusMessageBytes = 1024;
// Largest google.rpc.Status that is sent: clients accept 8 KiB of metadata, in
// which it travels as base64 next to the message.
inline constexpr std::size_t kMaxStatusDetailsBytes = 4096;

// The same refusal for a client: code, message, and in grpc-status-details-bin
// a google.rpc.Status with
//   - exactly one ErrorInfo of domain "tensord", whose reason is INTERNAL if
//     `status` did not come from tensord;
//   - BadRequest if fields are at fault;
//   - PreconditionFailure for FAILED_PRECONDITION;
//   - QuotaFailure for MEMORY_EXHAUSTED and QUOTA_EXCEEDED;
//   - RetryInfo if waiting may help: for those, and TOO_MANY_REQUESTS;
//   - ResourceInfo for NOT_FOUND, named by the metadata `name`.
// The message is valid UTF-8 (other bytes are escaped) and cut at
// kMaxStatusMessageBytes; violations that do not fit in kMaxStatusDetailsBytes
// are left out. Of statuses without a reason the text stays here.
grpc::Status ToGrpcStatus(const absl::Status& status);

// What RetryDelay says when trying again can not help.
inline constexpr absl::Duration kNeverRetry = absl::InfiniteDuration();

// How long a client should wait before it tries again; nothing where `status`
// does not come of a passing shortage of memory or of places, kNeverRetry where
// more was asked for than there could ever be.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// `text` with every byte that is not part of well-formed UTF-8 written as \xNN,
// cut at a character's end to at most `max_bytes` bytes.
std::string PrintableUtf8(std::string_view text, std::size_t max_bytes);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_STATUS_H_
