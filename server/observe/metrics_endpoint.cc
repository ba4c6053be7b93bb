#include "server/observe/metrics_endpoint.h"

#include <exception>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "prometheus/exposer.h"
#include "server/absl_text.h"
#include "server/repeater.h"

namespace tensord {
namespace {

// Two let one scrape go on while another peer is slow; who sends nothing is
// dropped.
constexpr char kThreads[] = "2";
constexpr char kRequestTimeoutMs[] = "5000";
constexpr absl::Duration kKnockInterval = absl::Milliseconds(20);

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    std::string_view address, const Metrics& metrics) {
  absl::StatusOr<ListenAddress> parsed = ParseListenAddress(address);
  if (!parsed.ok()) return parsed.status();
  if (parsed->is_unix()) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics can not be served on ", ToAbsl(address),
                     ": expected host:port"));
  }
  try {
    auto exposer =
        std::make_unique<prometheus::Exposer>(std::vector<std::string>{
            "listening_ports", ListenAddressString(*parsed), "num_threads",
            kThreads, "request_timeout_ms", kRequestTimeoutMs});
    for (const auto& collectable : metrics.collectables()) {
      exposer->RegisterCollectable(collectable);
    }
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (!ports.empty()) parsed->port = ports.front();
    return std::unique_ptr<MetricsEndpoint>(
        new MetricsEndpoint(std::move(exposer), *parsed));
  } catch (const std::exception&) {
    return absl::UnavailableError(absl::StrCat("can not serve metrics on ",
                                               ToAbsl(address), ": ",
                                               BindProblem(*parsed)));
  }
}

MetricsEndpoint::MetricsEndpoint(std::unique_ptr<prometheus::Exposer> exposer,
                                 const ListenAddress& address)
    : exposer_(std::move(exposer)),
      parsed_(address),
      address_(ListenAddressString(address)) {}

// The HTTP server looks every two seconds whether it is to stop, or when
// somebody connects.
MetricsEndpoint::~MetricsEndpoint() {
  const Repeater knock(kKnockInterval, [this] { IsAnswered(parsed_); });
  exposer_.reset();
}

}  // namespace tensord
