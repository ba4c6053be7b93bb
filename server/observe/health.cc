#include "server/observe/health.h"

namespace tensord {

Health::Health(grpc::HealthCheckServiceInterface* service)
    : service_(service) {}

void Health::SetServing() {
  for (const char* name : {"", kServiceHealthName, kLivenessHealthName}) {
    service_->SetServingStatus(name, true);
  }
}

void Health::SetDraining() {
  for (const char* name : {"", kServiceHealthName}) {
    service_->SetServingStatus(name, false);
  }
}

}  // namespace tensord
