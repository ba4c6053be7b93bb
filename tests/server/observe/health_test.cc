#include "server/observe/health.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace tensord {
namespace {

class FakeService final : public grpc::HealthCheckServiceInterface {
 public:
  void SetServingStatus(const std::string& name, bool serving) override {
    serving_[name] = serving;
  }
  void SetServingStatus(bool serving) override {
    for (auto& [name, state] : serving_) state = serving;
  }
  const std::map<std::string, bool>& serving() const { return serving_; }

 private:
  std::map<std::string, bool> serving_;
};

TEST(HealthTest, ADrainingServerIsAlive) {
  FakeService service;
  Health health(&service);
  health.SetServing();
  EXPECT_EQ(service.serving(),
            (std::map<std::string, bool>{{"", true},
                                         {"tensord.v1.TensorService", true},
                                         {"tensord-liveness", true}}));
  health.SetDraining();
  EXPECT_EQ(service.serving(),
            (std::map<std::string, bool>{{"", false},
                                         {"tensord.v1.TensorService", false},
                                         {"tensord-liveness", true}}));
}

TEST(HealthTest, DevicesHaveStatesOfTheirOwn) {
  FakeService service;
  Health health(&service);
  health.SetServing();
  const Device cuda{DeviceType::kCuda, 0};
  health.SetDevice(kCpuDevice, true);
  health.SetDevice(cuda, true);
  health.SetDevice(cuda, false);
  EXPECT_EQ(service.serving(), (std::map<std::string, bool>{
                                   {"", true},
                                   {"tensord.v1.TensorService", true},
                                   {"tensord.v1.TensorService/cpu", true},
                                   {"tensord.v1.TensorService/cuda:0", false},
                                   {"tensord-liveness", true}}));
  health.SetDraining();
  // A look that was under way.
  health.SetDevice(kCpuDevice, true);
  EXPECT_FALSE(service.serving().at("tensord.v1.TensorService/cpu"));
  EXPECT_FALSE(service.serving().at("tensord.v1.TensorService/cuda:0"));
}

}  // namespace
}  // namespace tensord
