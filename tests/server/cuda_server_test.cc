// A whole server with CUDA devices, whose runtime a stand-in is: what becomes
// of the others when one of them stops or breaks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/device/cuda/cuda_backend.h"
#include "grpcpp/client_context.h"
#include "server/server.h"
#include "tensord/v1/tensord.grpc.pb.h"
#include "test_calls.h"
#include "tests/core/device/cuda/fake_cuda_runtime.h"

namespace tensord {
namespace {

using ::tensord::testing::FakeCudaMachine;
using ::testing::HasSubstr;
using Fault = FakeCudaMachine::Fault;

constexpr int kDevices = 2;

class CudaServerTest : public ::testing::Test {
 protected:
  CudaServerTest() {
    Start([] {});
  }
  ~CudaServerTest() override { machine_->Resume(); }

  // `prepare` is called between the finding of devices and their tests.
  void Start(const std::function<void()>& prepare) {
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.metrics_listen = "127.0.0.1:0";
    auto server = Server::Start(options, [&](const ParallelFor& parallel) {
      CudaDevices cuda;
      cuda.support.built = true;
      for (int i = 0; i < kDevices; ++i) {
        cuda.backends.push_back(
            *NewCudaBackend(machine_->NewDevice(i), parallel));
      }
      prepare();
      return cuda;
    });
    server_ = *std::move(server);
    channel_ = Connect(server_->addresses()[0]);
    stub_ = v1::TensorService::NewStub(channel_);
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  }

  // Stores bytes on a device, reads them as float32, and deletes them.
  grpc::Status ComeAndGo(const std::string& device) {
    v1::CreateTensorRequest create;
    create.mutable_raw()->mutable_spec()->set_dtype(v1::DTYPE_UINT8);
    create.mutable_raw()->mutable_spec()->add_shape(1000);
    create.mutable_raw()->set_data(std::string(1000, 'a'));
    create.mutable_options()->set_device(device);
    create.mutable_options()->set_dtype(v1::DTYPE_FLOAT32);
    v1::Tensor tensor;
    grpc::ClientContext creating;
    SetDeadline(creating);
    grpc::Status status = stub_->CreateTensor(&creating, create, &tensor);
    if (!status.ok()) return status;
    v1::ReadTensorRequest read;
    read.set_name(tensor.name());
    read.mutable_options()->set_force(true);
    read.mutable_options()->set_dtype(v1::DTYPE_UINT8);
    v1::ReadTensorResponse elements;
    grpc::ClientContext reading;
    SetDeadline(reading);
    status = stub_->ReadTensor(&reading, read, &elements);
    EXPECT_TRUE(!status.ok() || elements.data() == create.raw().data());
    v1::DeleteTensorRequest remove;
    remove.set_name(tensor.name());
    google::protobuf::Empty nothing;
    grpc::ClientContext deleting;
    SetDeadline(deleting);
    EXPECT_TRUE(stub_->DeleteTensor(&deleting, remove, &nothing).ok());
    return status;
  }

  std::optional<int> DeviceHealth(const std::string& device) {
    return Health(channel_, "tensord.v1.TensorService/" + device);
  }

  std::shared_ptr<FakeCudaMachine> machine_ = FakeCudaMachine::Make();
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TensorService::Stub> stub_;
};

TEST_F(CudaServerTest, OthersAreServedWhileTheDevicesStandStill) {
  std::atomic<int> done = 0;
  machine_->Pause();
  std::vector<std::jthread> waiting;
  for (int i = 0; i < 40; ++i) {
    waiting.emplace_back([&, i] {
      EXPECT_TRUE(ComeAndGo(i % 2 == 0 ? "cuda:0" : "cuda:1").ok());
      ++done;
    });
  }
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(ComeAndGo("cpu").ok());
  EXPECT_EQ(Health(channel_, ""), kServing);
  EXPECT_EQ(done, 0);
  machine_->Resume();
  waiting.clear();
  EXPECT_EQ(done, 40);
}

class BrokenCudaServerTest : public CudaServerTest,
                             public ::testing::WithParamInterface<Fault> {};

TEST_P(BrokenCudaServerTest, ServesWhatIsLeft) {
  EXPECT_TRUE(ComeAndGo("cuda:0").ok());
  EXPECT_TRUE(ComeAndGo("cuda:1").ok());
  {
    std::vector<std::jthread> clients;
    for (const char* const device : {"cuda:0", "cuda:1"}) {
      clients.emplace_back([this, device] {
        for (int i = 0; i < 100; ++i) {
          const grpc::Status status = ComeAndGo(device);
          // The one that found out, those under way, and all that came later.
          EXPECT_TRUE(status.ok() ||
                      absl::StrContains(status.error_message(),
                                        absl::StrCat("on ", device)))
              << status.error_message();
        }
      });
    }
    for (int i = 0; i < 100; ++i) {
      if (i == 20) machine_->FailAfter(0, GetParam());
      EXPECT_TRUE(ComeAndGo("cpu").ok());
    }
  }
  int working = 0;
  for (const char* const device : {"cuda:0", "cuda:1"}) {
    const grpc::Status status = ComeAndGo(device);
    working += status.ok() ? 1 : 0;
    const absl::Time patience = absl::Now() + kPatience;
    const int expected = status.ok() ? kServing : kNotServing;
    while (DeviceHealth(device) != expected && absl::Now() < patience) {
      absl::SleepFor(absl::Milliseconds(20));
    }
    EXPECT_EQ(DeviceHealth(device), expected);
    if (status.ok()) continue;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(),
                HasSubstr(std::string(device) + " is out of service"));
  }
  EXPECT_LT(working, kDevices);
  EXPECT_TRUE(ComeAndGo("cpu").ok());
  EXPECT_EQ(Health(channel_, ""), kServing);
}

// cuda:1 gets a bit wrong from the start on.
class MiscomputingCudaServerTest : public CudaServerTest {
 protected:
  MiscomputingCudaServerTest() {
    Start([this] { machine_->SpoilCasts(1); });
  }
};

TEST_F(MiscomputingCudaServerTest, ServesTheOthers) {
  EXPECT_TRUE(ComeAndGo("cpu").ok());
  EXPECT_TRUE(ComeAndGo("cuda:0").ok());
  EXPECT_EQ(Health(channel_, ""), kServing);
  EXPECT_EQ(DeviceHealth("cuda:0"), kServing);
  EXPECT_EQ(DeviceHealth("cuda:1"), kNotServing);
  const std::string why =
      "cuda:1 is out of service, since the self-test of cuda:1 failed: casting "
      "bool to uint8 gave other bits than PyTorch has";
  const grpc::Status status = ComeAndGo("cuda:1");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), why);
  EXPECT_THAT(status.error_details(), HasSubstr("DEVICE_OUT_OF_SERVICE"));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListDevicesResponse devices;
  EXPECT_TRUE(stub_->ListDevices(&context, {}, &devices).ok());
  ASSERT_EQ(devices.devices_size(), 3);
  EXPECT_EQ(devices.devices(1).out_of_service(), "");
  EXPECT_EQ(devices.devices(2).name(), "cuda:1");
  EXPECT_EQ(devices.devices(2).out_of_service(), why);
  const std::string page =
      HttpGet(server_->metrics_address(), "/metrics").value_or("");
  EXPECT_THAT(page, HasSubstr("tensord_device_in_service{device=\"cpu\"} 1\n"));
  EXPECT_THAT(page,
              HasSubstr("tensord_device_in_service{device=\"cuda:0\"} 1\n"));
  EXPECT_THAT(page,
              HasSubstr("tensord_device_in_service{device=\"cuda:1\"} 0\n"));
}

// One that errs in its self-test is no more of use than one that miscomputes.
class ErringCudaServerTest : public CudaServerTest,
                             public ::testing::WithParamInterface<Fault> {
 protected:
  ErringCudaServerTest() {
    Start([this] { machine_->FailAfter(100, GetParam()); });
  }
};

TEST_P(ErringCudaServerTest, ServesTheOthers) {
  EXPECT_TRUE(machine_->fired());
  EXPECT_TRUE(ComeAndGo("cpu").ok());
  EXPECT_TRUE(ComeAndGo("cuda:1").ok());
  EXPECT_EQ(DeviceHealth("cuda:0"), kNotServing);
  EXPECT_THAT(ComeAndGo("cuda:0").error_message(),
              ::testing::StartsWith("cuda:0 is out of service, since the "
                                    "self-test of cuda:0 failed in "));
}

INSTANTIATE_TEST_SUITE_P(Faults, ErringCudaServerTest,
                         ::testing::Values(Fault::kLasting, Fault::kInStream));

INSTANTIATE_TEST_SUITE_P(Faults, BrokenCudaServerTest,
                         ::testing::Values(Fault::kLasting, Fault::kInStream));

}  // namespace
}  // namespace tensord
