// Numbers for Prometheus.
#ifndef TENSORD_SERVER_OBSERVE_METRICS_H_
#define TENSORD_SERVER_OBSERVE_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/observe/call_observer.h"
#include "server/observe/live_gauges.h"
#include "server/observe/service_events.h"

namespace tensord {

// Counts what it is told, and looks at the rest when it is asked. Calls have
// the names and labels of go-grpc-prometheus, everything else is tensord_*;
// sizes are in bytes, times in seconds. The number of series is bounded,
// whatever peers send. Thread-safe.
class Metrics final : public ServiceEvents, public CallObserver {
 public:
  explicit Metrics(const GaugeSources& sources);
  ~Metrics() override;

  void ArrayBytesReceived(std::int64_t bytes) override;
  void ArrayBytesSent(std::int64_t bytes) override;
  void Converted(DType from, DType to, Device source, Device destination,
                 absl::Duration duration) override;
  void Queued(Device device, absl::Duration duration) override;
  void RefusedBytes(std::int64_t bytes) override;
  void Refused(std::string_view reason) override;
  void Expired(Device device) override;
  void Evicted(Device device) override;

  // Files of this kind changed, and could be used or not.
  void Reloaded(std::string_view files, bool is_used);

  void CallStarted(const StartedCall& call) override;
  void CallFinished(const FinishedCall& call) override;

  // Where the numbers are to be had; good for as long as this object.
  std::vector<std::shared_ptr<prometheus::Collectable>> collectables() const;

  // All of them, in Prometheus' text format.
  std::string Text() const;

 private:
  class Counters;
  std::shared_ptr<Counters> counters_;
  std::shared_ptr<prometheus::Collectable> gauges_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_METRICS_H_
