// What tests of the service share: a store on the CPU, and a server on
// loopback.
#ifndef TENSORD_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_
#define TENSORD_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/device/cpu_backend.h"
#include "core/device/device_registry.h"
#include "core/memory/arena.h"
#include "core/npy.h"
#include "core/store/device_quotas.h"
#include "core/store/tensor_store.h"
#include "server/access/authenticator.h"
#include "server/rpc/admission.h"
#include "server/rpc/request_log.h"
#include "server/rpc/service_context.h"
#include "server/rpc/tenant.h"
#include "server/rpc/tensor_service.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_convert.h"
#include "tensord/internal/rpc_status.pb.h"
#include "tensord/v1/tensord.grpc.pb.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {

// Counts.
class CountingEvents final : public ServiceEvents {
 public:
  void ArrayBytesReceived(std::int64_t bytes) override { received += bytes; }
  void ArrayBytesSent(std::int64_t bytes) override { sent += bytes; }
  void Converted(DType, DType, Device, Device, absl::Duration) override {
    ++conversions;
  }
  void Queued(Device, absl::Duration) override {}
  void RefusedBytes(std::int64_t) override {}
  void Refused(std::string_view) override { ++refusals; }
  void Expired(Device) override { ++expiries; }
  void Evicted(Device) override { ++evictions; }

  std::atomic<std::int64_t> received{0};
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> conversions{0};
  std::atomic<std::int64_t> refusals{0};
  std::atomic<std::int64_t> expiries{0};
  std::atomic<std::int64_t> evictions{0};
};

// Everything that the service works with; the CPU is the only device unless
// others are added.
struct TestContext {
  static constexpr std::int64_t kQuotaBytes = 32 << 20;
  static constexpr std::int64_t kMaxTensorBytes = 16 << 20;

  explicit TestContext(CudaSupport cuda = {},
                       ParallelFor parallel_for = nullptr)
      : devices(std::move(cuda)) {
    AddDevice(NewCpuBackend({}, std::move(parallel_for)), kQuotaBytes);
    context = {.devices = &devices,
               .chunk_arena = &chunk_arena,
               .store = &store,
               .quotas = &quotas,
               .requests = &requests,
               .uploads = &uploads,
               .limits = {.max_tensor_bytes = kMaxTensorBytes},
               .events = &events,
               .version = "1.2.3",
               .start_time = absl::Now()};
  }

  void AddDevice(std::unique_ptr<DeviceBackend> backend,
                 std::int64_t limit_bytes) {
    quotas.Add(*backend, limit_bytes);
    devices.Add(std::move(backend));
  }
  // A device that may wait, on the CPU's memory.
  FakeBackend& AddFakeCuda(int index = 0,
                           std::int64_t limit_bytes = kQuotaBytes) {
    auto backend =
        std::make_unique<FakeBackend>(Device{DeviceType::kCuda, index}, faults);
    FakeBackend& added = *backend;
    AddDevice(std::move(backend), limit_bytes);
    return added;
  }
  // What is taken of a device's quota.
  std::int64_t used_bytes(Device device = kCpuDevice) const {
    return quotas.Of(device).used_bytes();
  }

  // Of the fake devices.
  std::shared_ptr<FaultPlan> faults = std::make_shared<FaultPlan>();
  DeviceRegistry devices;
  Arena chunk_arena{{}};
  TensorStore store;
  DeviceQuotas quotas;
  RequestLog requests;
  Uploads uploads{absl::Seconds(60)};
  CountingEvents events;
  ServiceContext context;
};

// `values` as they lie in memory.
template <class T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()),
                     values.size() * sizeof(T));
}

inline v1::ArraySpec MakeSpec(v1::Dtype dtype, const Dims& shape) {
  v1::ArraySpec spec;
  spec.set_dtype(dtype);
  for (const std::int64_t size : shape) spec.add_shape(size);
  return spec;
}

// A .npy file of bytes 0, 1, 2 and so on.
inline std::string NpyFile(std::int64_t size) {
  std::string file =
      WriteNpyHeader(DType::kUInt8, ByteOrder::kLittle, Order::kC, Dims{size});
  for (std::int64_t i = 0; i < size; ++i) file.push_back(static_cast<char>(i));
  return file;
}

// What a refusal says in its ErrorInfo.
inline internal::ErrorInfo ErrorInfoOf(const grpc::Status& status) {
  internal::RpcStatus details;
  internal::ErrorInfo info;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& any : details.details()) {
    if (any.type_url() == "type.googleapis.com/google.rpc.ErrorInfo") {
      EXPECT_TRUE(info.ParseFromString(any.value()));
    }
  }
  return info;
}

// "OK", or code and reason: "3 SHAPE_INVALID".
inline std::string Outcome(const grpc::Status& status) {
  if (status.ok()) return "OK";
  return absl::StrCat(static_cast<int>(status.error_code()), " ",
                      ErrorInfoOf(status).reason());
}

// A server with one tensor, the sentinel, that has to survive everything.
class ServiceFixture : public testing::Test {
 protected:
  explicit ServiceFixture(CudaSupport cuda = {},
                          ParallelFor parallel_for = nullptr)
      : test_(std::move(cuda), std::move(parallel_for)) {}

  static constexpr std::string_view kSentinel = "tensors/sentinel";

  void SetUp() override {
    tenant_.emplace("", test_.context, INT64_MAX);
    service_ = NewTensorService(admission_, test_.context);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(
        static_cast<int>(test_.context.limits.max_message_bytes));
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = Connect(absl::StrCat("127.0.0.1:", port_));
    ASSERT_EQ(Outcome(Create("sentinel", v1::DTYPE_INT32, {3},
                             Bytes<std::int32_t>({1, 2, 3}))),
              "OK");
    used_before_ = test_.used_bytes();
  }

  void TearDown() override {
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
    server_->Wait();
    stub_.reset();
    service_.reset();
    test_.uploads.Clear();
  }

  // A connection of its own.
  static std::unique_ptr<v1::TensorService::Stub> Connect(
      const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::TensorService::NewStub(grpc::CreateCustomChannel(
        target, grpc::InsecureChannelCredentials(), arguments));
  }

  grpc::Status Create(const std::string& id, v1::Dtype dtype, const Dims& shape,
                      const std::string& data,
                      const v1::TensorOptions& options = {},
                      v1::Tensor* tensor = nullptr) {
    v1::CreateTensorRequest request;
    request.set_tensor_id(id);
    *request.mutable_raw()->mutable_spec() = MakeSpec(dtype, shape);
    request.mutable_raw()->set_data(data);
    *request.mutable_options() = options;
    return Create(request, tensor);
  }

  grpc::Status Create(const v1::CreateTensorRequest& request,
                      v1::Tensor* tensor = nullptr) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    return stub_->CreateTensor(&context, request,
                               tensor != nullptr ? tensor : &ignored);
  }

  grpc::Status Read(const std::string& name, const v1::ReadOptions& options,
                    v1::ReadTensorResponse* response) {
    grpc::ClientContext context;
    v1::ReadTensorRequest request;
    request.set_name(name);
    *request.mutable_options() = options;
    return stub_->ReadTensor(&context, request, response);
  }

  // The bytes of a whole tensor.
  std::string ReadBytes(const std::string& name) {
    v1::ReadTensorResponse response;
    EXPECT_EQ(Outcome(Read(name, {}, &response)), "OK") << name;
    return response.data();
  }

  // Waits for what cancelled calls hold to come back, then checks that nothing
  // but the sentinel is there.
  void ExpectNothingLeft() {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (test_.used_bytes() != used_before_ && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(test_.used_bytes(), used_before_);
    EXPECT_EQ(test_.store.size(), 1U);
    EXPECT_EQ(ReadBytes(std::string(kSentinel)),
              Bytes<std::int32_t>({1, 2, 3}));
  }

  TestContext test_;
  std::optional<Tenant> tenant_;
  const Authenticator everybody_{{}, std::nullopt};
  LoadShedder load_shedder_{absl::ZeroDuration()};
  Admission admission_{everybody_,
                       [this](std::string_view) { return &tenant_.value(); },
                       /*max_calls=*/1024, load_shedder_};
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::unique_ptr<v1::TensorService::Stub> stub_;
  std::int64_t used_before_ = 0;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_SERVER_RPC_SERVICE_FIXTURE_H_
