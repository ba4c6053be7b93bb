#include "server/observe/device_watch.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

class FakeService final : public grpc::HealthCheckServiceInterface {
 public:
  void SetServingStatus(const std::string& name, bool serving) override {
    serving_[name] = serving;
  }
  void SetServingStatus(bool) override {}
  const std::map<std::string, bool>& serving() const { return serving_; }

 private:
  std::map<std::string, bool> serving_;
};

TEST(DeviceWatchTest, TellsOnceOfADeviceThatGoesOutOfService) {
  DeviceRegistry devices({.built = true});
  FakeBackend* broken = nullptr;
  for (const int index : {0, 1}) {
    auto backend = std::make_unique<FakeBackend>(
        Device{DeviceType::kCuda, index}, std::make_shared<FaultPlan>());
    if (index == 1) broken = backend.get();
    devices.Add(std::move(backend));
  }
  FakeService service;
  Health health(&service);
  DeviceWatch watch(devices, health, LogFormat::kText);
  const auto look = [&] {
    testing::internal::CaptureStderr();
    watch.Look();
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(look(), "");
  EXPECT_EQ(service.serving(), (std::map<std::string, bool>{
                                   {"tensord.v1.TensorService/cuda:0", true},
                                   {"tensord.v1.TensorService/cuda:1", true}}));
  broken->TakeOutOfService(absl::InternalError("fell off the bus"));
  EXPECT_EQ(look(),
            "device_out_of_service device=cuda:1 message=\"fell off the "
            "bus\"\n");
  EXPECT_EQ(look(), "");
  EXPECT_EQ(service.serving(),
            (std::map<std::string, bool>{
                {"tensord.v1.TensorService/cuda:0", true},
                {"tensord.v1.TensorService/cuda:1", false}}));
}

}  // namespace
}  // namespace tensord
