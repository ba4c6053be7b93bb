// What the health service says of this server.
#ifndef TENSORD_SERVER_OBSERVE_HEALTH_H_
#define TENSORD_SERVER_OBSERVE_HEALTH_H_

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "core/device/device.h"
#include "core/mutex.h"
#include "grpcpp/health_check_service_interface.h"

namespace tensord {

// Health of "" (the server as a whole) and of this service. A device that is
// out of service changes neither: the others go on.
inline constexpr char kServiceHealthName[] = "tensord.v1.TensorService";
// For probes that restart what does not answer: a server that drains is alive.
inline constexpr char kLivenessHealthName[] = "tensord-liveness";

// Of one device: "tensord.v1.TensorService/cuda:0".
std::string DeviceHealthName(Device device);

// Sets the states of the health service that gRPC brings along. Thread-safe.
class Health {
 public:
  // `service` outlives this object.
  explicit Health(grpc::HealthCheckServiceInterface* service);

  // All names but those of devices are SERVING.
  void SetServing();
  // The device is SERVING or NOT_SERVING; no effect once the server drains.
  void SetDevice(Device device, bool is_in_service);
  // All names but that for liveness are NOT_SERVING. Who watches is told.
  void SetDraining();

 private:
  grpc::HealthCheckServiceInterface* const service_;
  Mutex mutex_;
  bool is_draining_ ABSL_GUARDED_BY(mutex_) = false;
  // Names of devices.
  std::set<std::string> devices_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_HEALTH_H_
