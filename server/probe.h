// The daemon's own client: asks the server beside it whether it is well.
#ifndef TENSORD_SERVER_PROBE_H_
#define TENSORD_SERVER_PROBE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/listen_address.h"
#include "server/server.h"

namespace tensord {

enum class ProbeKind : std::uint8_t {
  // Whether it takes calls.
  kReadiness,
  // Whether it answers at all; what does not is to be started again.
  kLiveness,
};

// Who runs probes has a limit of its own; this one ends those that nobody ends,
// and is beyond what a busy machine takes to answer.
inline constexpr absl::Duration kProbePatience = absl::Seconds(10);

// Where a server that listens on `listen` is asked: on its first Unix socket,
// which needs no certificate, else on its first address. INVALID_ARGUMENT if
// nobody but the server knows the port.
absl::StatusOr<ListenAddress> ProbedAddress(
    const std::vector<std::string>& listen);

// Asks the health of the server that was started with `options`, over a
// connection of its own and through no proxy. OK if it is SERVING. UNAVAILABLE,
// with the address and a reason, if it is not, can not be reached, or has not
// answered within `patience`. INVALID_ARGUMENT for options that lead to no
// server.
//
// With TLS, the certificate of the server is not checked: nothing secret is
// said, and one that has run out is no reason to start a server again. Where
// clients need a certificate, the server's own is shown.
absl::Status Probe(const ServerOptions& options, ProbeKind kind,
                   absl::Duration patience = kProbePatience);

}  // namespace tensord

#endif  // TENSORD_SERVER_PROBE_H_
