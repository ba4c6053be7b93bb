// What the health service says of this server.
#ifndef TENSORD_SERVER_OBSERVE_HEALTH_H_
#define TENSORD_SERVER_OBSERVE_HEALTH_H_

#include "grpcpp/health_check_service_interface.h"

namespace tensord {

// Health of "" (the server as a whole) and of this service.
inline constexpr char kServiceHealthName[] = "tensord.v1.TensorService";
// For probes that restart what does not answer: a server that drains is alive.
inline constexpr char kLivenessHealthName[] = "tensord-liveness";

// Sets the states of the health service that gRPC brings along. Thread-safe.
class Health {
 public:
  // `service` outlives this object.
  explicit Health(grpc::HealthCheckServiceInterface* service);

  // All names are SERVING.
  void SetServing();
  // All names but that for liveness are NOT_SERVING. Who watches is told.
  void SetDraining();

 private:
  grpc::HealthCheckServiceInterface* const service_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_HEALTH_H_
