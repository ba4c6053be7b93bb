#include "server/observe/health.h"

#include "absl/strings/str_cat.h"

namespace tensord {

std::string DeviceHealthName(Device device) {
  return absl::StrCat(kServiceHealthName, "/", DeviceString(device));
}

Health::Health(grpc::HealthCheckServiceInterface* service)
    : service_(service) {}

void Health::SetServing() {
  for (const char* name : {"", kServiceHealthName, kLivenessHealthName}) {
    service_->SetServingStatus(name, true);
  }
}

void Health::SetDevice(Device device, bool is_in_service) {
  const std::string name = DeviceHealthName(device);
  MutexLock lock(mutex_);
  if (is_draining_) return;
  devices_.insert(name);
  service_->SetServingStatus(name, is_in_service);
}

void Health::SetDraining() {
  MutexLock lock(mutex_);
  is_draining_ = true;
  for (const char* name : {"", kServiceHealthName}) {
    service_->SetServingStatus(name, false);
  }
  for (const std::string& name : devices_) {
    service_->SetServingStatus(name, false);
  }
}

}  // namespace tensord
