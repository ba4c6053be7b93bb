// Names of status codes, as dashboards know them.
#ifndef TENSORD_SERVER_OBSERVE_CODE_NAME_H_
#define TENSORD_SERVER_OBSERVE_CODE_NAME_H_

#include <array>
#include <cstddef>
#include <string_view>

#include "grpcpp/support/status_code_enum.h"

namespace tensord {

// In the order of grpc::StatusCode, spelled as Go's gRPC does, which is what
// existing dashboards ask for.
inline constexpr std::array<std::string_view, 17> kCodeNames = {
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated"};

// Index of `code` in kCodeNames; that of UNKNOWN for values which are no code.
constexpr std::size_t CodeIndex(grpc::StatusCode code) {
  constexpr auto kUnknown = static_cast<std::size_t>(grpc::StatusCode::UNKNOWN);
  const auto index = static_cast<std::size_t>(code);
  return index < kCodeNames.size() ? index : kUnknown;
}

constexpr std::string_view CodeName(grpc::StatusCode code) {
  return kCodeNames[CodeIndex(code)];
}

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_CODE_NAME_H_
