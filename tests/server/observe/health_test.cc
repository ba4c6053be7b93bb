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

}  // namespace
}  // namespace tensord
