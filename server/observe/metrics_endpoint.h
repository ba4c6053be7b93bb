// The HTTP endpoint that Prometheus asks.
#ifndef TENSORD_SERVER_OBSERVE_METRICS_ENDPOINT_H_
#define TENSORD_SERVER_OBSERVE_METRICS_ENDPOINT_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/listen_address.h"
#include "server/observe/metrics.h"

namespace prometheus {
class Exposer;
}  // namespace prometheus

namespace tensord {

// Serves GET /metrics, on threads of its own, until destroyed.
class MetricsEndpoint {
 public:
  // `address` is "host:port"; port 0 picks a free one. `metrics` outlives the
  // endpoint. INVALID_ARGUMENT for what is no such address, UNAVAILABLE for one
  // that can not be bound.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      std::string_view address, const Metrics& metrics);
  ~MetricsEndpoint();

  // With the port that was picked.
  const std::string& address() const { return address_; }

 private:
  MetricsEndpoint(std::unique_ptr<prometheus::Exposer> exposer,
                  const ListenAddress& address);

  std::unique_ptr<prometheus::Exposer> exposer_;
  const ListenAddress parsed_;
  const std::string address_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_METRICS_ENDPOINT_H_
