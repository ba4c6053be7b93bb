#include "server/server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "server/listen_address.h"
#include "server/memory_size.h"
#include "tensord/v1/tensord.grpc.pb.h"
#include "test_calls.h"
#include "tests/core/device/fake_backend.h"
#include "tests/eventually.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr char kService[] = "tensord.v1.TensorService";
constexpr char kGetServerInfo[] = "/tensord.v1.TensorService/GetServerInfo";

ServerOptions SmallServer() {
  ServerOptions options;
  options.listen = {"127.0.0.1:0"};
  options.memory_limit_bytes = 64 << 20;
  options.max_tensor_bytes = 16 << 20;
  // Machines that run tests are overloaded.
  options.max_queue_delay = absl::ZeroDuration();
  return options;
}

std::unique_ptr<Server> MustStart(const ServerOptions& options) {
  auto server = Server::Start(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

absl::Duration TimeOf(const std::function<void()>& f) {
  const absl::Time start = absl::Now();
  f();
  return absl::Now() - start;
}

// A folder for sockets, which has a short name.
class ServerTest : public ::testing::Test {
 protected:
  TempFolder folder_;
  const std::filesystem::path socket_ = folder_ / "s";
};

// An UploadTensor of four bytes that has begun.
class Upload {
 public:
  explicit Upload(const std::shared_ptr<grpc::Channel>& channel,
                  absl::Duration timeout = kPatience)
      : stub_(v1::TensorService::NewStub(channel)) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    writer_ = stub_->UploadTensor(&context_, &tensor_);
    v1::UploadTensorRequest request;
    v1::ArrayDeclaration& array =
        *request.mutable_declaration()->mutable_array();
    array.mutable_raw()->set_dtype(v1::DTYPE_UINT8);
    array.mutable_raw()->add_shape(4);
    array.set_total_bytes(4);
    EXPECT_TRUE(writer_->Write(request));
  }

  grpc::Status Finish() {
    v1::UploadTensorRequest request;
    request.mutable_chunk()->set_data("abcd");
    request.set_finish(true);
    writer_->Write(request);
    writer_->WritesDone();
    return writer_->Finish();
  }

  grpc::Status Wait() { return writer_->Finish(); }

  void Cancel() { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::TensorService::Stub> stub_;
  grpc::ClientContext context_;
  v1::Tensor tensor_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadTensorRequest>> writer_;
};

// Until this line is among the metrics.
void WaitForMetric(const Server& server, const std::string& line) {
  EXPECT_TRUE(Eventually([&] {
    const auto page = HttpGet(server.metrics_address(), "/metrics");
    return page.has_value() && page->find("\n" + line + "\n") != page->npos;
  })) << "never saw "
      << line;
}

// Until the server knows of `count` calls.
void WaitForInflight(const Server& server, int count) {
  WaitForMetric(server, "tensord_inflight_rpcs " + std::to_string(count));
}

TEST_F(ServerTest, ServesOnEveryAddress) {
  ServerOptions options = SmallServer();
  options.listen = {"127.0.0.1:0", "unix:" + socket_.string(), "localhost:0"};
  const auto server = MustStart(options);
  EXPECT_THAT(server->addresses(),
              ElementsAre(MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"),
                          "unix:" + socket_.string(),
                          MatchesRegex("localhost:[1-9][0-9]*")));
  EXPECT_EQ(server->metrics_address(), "");
  for (const std::string& address : server->addresses()) {
    std::string response;
    const grpc::Status status =
        CallUnary(Connect(address), kGetServerInfo, "", &response);
    ASSERT_TRUE(status.ok()) << address << ": " << status.error_message();
    v1::ServerInfo info;
    ASSERT_TRUE(info.ParseFromString(response));
    EXPECT_THAT(info.version(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+.*"));
    EXPECT_FALSE(info.cuda_built());
    EXPECT_EQ(info.limits().memory_limit_bytes(), options.memory_limit_bytes);
    EXPECT_EQ(info.limits().max_tensor_bytes(), options.max_tensor_bytes);
  }
}

TEST_F(ServerTest, SaysThatItIsHealthy) {
  const auto server = MustStart(SmallServer());
  const auto channel = Connect(server->addresses()[0]);
  for (const char* name : {"", kService, "tensord-liveness"}) {
    EXPECT_EQ(Health(channel, name), kServing) << name;
  }
  EXPECT_EQ(Health(channel, "nothing"), std::nullopt);
}

// A server with a device that may wait.
class ServerWithDeviceTest : public ServerTest {
 protected:
  void Start(const ServerOptions& options) {
    auto backend = std::make_unique<FakeBackend>(Device{DeviceType::kCuda, 0},
                                                 std::make_shared<FaultPlan>());
    backend->SetHook([this] { gate_.Pass(); });
    device_ = backend.get();
    CudaDevices cuda;
    cuda.support.built = true;
    cuda.backends.push_back(std::move(backend));
    auto server = Server::Start(
        options, [&](const ParallelFor&) { return std::move(cuda); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = Connect(server_->addresses()[0]);
    stub_ = v1::TensorService::NewStub(channel_);
  }

  void TearDown() override {
    gate_.Open();
    server_.reset();
  }

  std::optional<int> DeviceHealth() {
    return Health(channel_, std::string(kService) + "/cuda:0");
  }

  v1::ListDevicesResponse Devices() {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    v1::ListDevicesResponse devices;
    EXPECT_TRUE(stub_->ListDevices(&context, {}, &devices).ok());
    return devices;
  }

  grpc::Status Create(std::size_t bytes) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    v1::CreateTensorRequest request;
    request.mutable_raw()->mutable_spec()->set_dtype(v1::DTYPE_UINT8);
    request.mutable_raw()->mutable_spec()->add_shape(
        static_cast<std::int64_t>(bytes));
    request.mutable_raw()->set_data(std::string(bytes, 'a'));
    request.mutable_options()->set_device("cuda:0");
    v1::Tensor tensor;
    return stub_->CreateTensor(&context, request, &tensor);
  }

  Gate gate_;
  FakeBackend* device_ = nullptr;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TensorService::Stub> stub_;
};

TEST_F(ServerWithDeviceTest, EachDeviceHasALimit) {
  ServerOptions options = SmallServer();
  options.cuda_memory_limit = {.value = 1000, .is_percent = false};
  Start(options);
  EXPECT_TRUE(Create(600).ok());
  const grpc::Status full = Create(401);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(full.error_message(),
              StartsWith("CUDA out of memory. Tried to allocate 401 bytes. GPU "
                         "0 has a total capacity of "));
  const v1::ListDevicesResponse devices = Devices();
  ASSERT_EQ(devices.devices_size(), 2);
  EXPECT_EQ(devices.devices(0).memory_limit_bytes(),
            options.memory_limit_bytes);
  EXPECT_EQ(devices.devices(0).memory_used_bytes(), 0);
  EXPECT_EQ(devices.devices(1).name(), "cuda:0");
  EXPECT_EQ(devices.devices(1).memory_limit_bytes(), 1000);
  EXPECT_EQ(devices.devices(1).memory_used_bytes(), 600);
}

TEST_F(ServerWithDeviceTest, LimitsAreAPartOfTheDevicesMemory) {
  Start(SmallServer());
  const auto total = static_cast<std::int64_t>(device_->memory_bytes());
  EXPECT_EQ(Devices().devices(1).memory_limit_bytes(),
            ToBytes(kDefaultCudaMemoryLimit, total));
  ServerOptions options = SmallServer();
  options.cuda_memory_limit = {.value = total + 1, .is_percent = false};
  Start(options);
  EXPECT_EQ(Devices().devices(1).memory_limit_bytes(), total);
}

TEST_F(ServerWithDeviceTest, TellsOfItsDevices) {
  Start(SmallServer());
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_TRUE(info.cuda_built());
  EXPECT_THAT(info.devices(), ElementsAre("cpu", "cuda:0"));
  EXPECT_EQ(info.cuda_unavailable(), "");
  EXPECT_EQ(Health(channel_, std::string(kService) + "/cpu"), kServing);
  EXPECT_EQ(DeviceHealth(), kServing);
}

TEST_F(ServerWithDeviceTest, TellsWhyItHasNone) {
  CudaDevices cuda;
  cuda.support = {.built = true, .unavailable = "No CUDA GPUs are available"};
  auto server = Server::Start(
      SmallServer(), [&](const ParallelFor&) { return std::move(cuda); });
  ASSERT_TRUE(server.ok()) << server.status();
  stub_ = v1::TensorService::NewStub(Connect((*server)->addresses()[0]));
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_TRUE(info.cuda_built());
  EXPECT_THAT(info.devices(), ElementsAre("cpu"));
  EXPECT_EQ(info.cuda_unavailable(), "No CUDA GPUs are available");
  EXPECT_EQ(Create(1).error_message(),
            "No CUDA GPUs are available; the devices are: cpu");
}

TEST_F(ServerWithDeviceTest, GoesOnWithoutADevice) {
  Start(SmallServer());
  // Even while calls to the device do not return.
  gate_.Close();
  std::vector<std::thread> stalled;
  for (int i = 0; i < 64; ++i) stalled.emplace_back([this] { Create(8); });
  device_->TakeOutOfService(absl::InternalError("fell off the bus"));
  EXPECT_TRUE(Eventually([&] { return DeviceHealth() == kNotServing; }));
  for (const char* name :
       {"", kService, "tensord.v1.TensorService/cpu", "tensord-liveness"}) {
    EXPECT_EQ(Health(channel_, name), kServing) << name;
  }
  const v1::ListDevicesResponse devices = Devices();
  EXPECT_EQ(devices.devices(0).out_of_service(), "");
  EXPECT_EQ(devices.devices(1).out_of_service(), "fell off the bus");
  EXPECT_TRUE(Upload(channel_).Finish().ok());
  gate_.Open();
  for (std::thread& thread : stalled) thread.join();
}

TEST_F(ServerTest, ReflectionListsTheService) {
  const auto server = MustStart(SmallServer());
  // ServerReflectionRequest{string list_services = 7}; the one response comes
  // as that of a unary call would.
  std::string response;
  const grpc::Status status = CallUnary(
      Connect(server->addresses()[0]),
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      std::string("\x3a\x01*"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response, HasSubstr(kService));
  EXPECT_THAT(response, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(ServerTest, MetricsTellOfCalls) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  const auto channel = Connect(server->addresses()[0]);
  EXPECT_TRUE(CallUnary(channel, kGetServerInfo, "").ok());
  EXPECT_EQ(CallUnary(channel, "/tensord.v1.TensorService/GetTensor", "")
                .error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(CallUnary(channel, "/made.Up/Method", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(Upload(channel).Finish().ok());
  // A call is under way until gRPC is done with it, which peers do not see.
  WaitForInflight(*server, 0);

  const auto page = HttpGet(server->metrics_address(), "/metrics");
  ASSERT_TRUE(page.has_value());
  EXPECT_THAT(*page, StartsWith("HTTP/1.1 200"));
  for (const char* series :
       {"grpc_server_started_total{grpc_method=\"GetServerInfo\","
        "grpc_service=\"tensord.v1.TensorService\",grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"OK\","
        "grpc_method=\"GetServerInfo\","
        "grpc_service=\"tensord.v1.TensorService\",grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"InvalidArgument\","
        "grpc_method=\"GetTensor\",grpc_service=\"tensord.v1.TensorService\","
        "grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"OK\","
        "grpc_method=\"UploadTensor\","
        "grpc_service=\"tensord.v1.TensorService\","
        "grpc_type=\"client_stream\"} 1",
        "grpc_server_handled_total{grpc_code=\"Unimplemented\","
        "grpc_method=\"other\",grpc_service=\"other\",grpc_type=\"unknown\"} 1",
        "grpc_server_handling_seconds_bucket{grpc_method=\"GetServerInfo\","
        "grpc_service=\"tensord.v1.TensorService\",grpc_type=\"unary\","
        "le=\"30\"} 1",
        "tensord_tensors{device=\"cpu\"} 1",
        "tensord_memory_bytes{device=\"cpu\",kind=\"stored\"} 4",
        "tensord_memory_limit_bytes{device=\"cpu\"} 67108864",
        "tensord_upload_bytes_total 4", "tensord_download_bytes_total 0",
        "tensord_conversion_seconds_count{",
        "tensord_rejected_total{reason=\"NAME_INVALID\"} 1",
        "tensord_build_info{version=\""}) {
    EXPECT_NE(page->find(std::string("\n") + series), page->npos) << series;
  }
}

std::string HandledUploads(const std::string& code, int count) {
  return "grpc_server_handled_total{grpc_code=\"" + code +
         "\",grpc_method=\"UploadTensor\","
         "grpc_service=\"tensord.v1.TensorService\","
         "grpc_type=\"client_stream\"} " +
         std::to_string(count);
}

TEST_F(ServerTest, MetricsTellOfCallsThatPeersLeave) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  const auto channel = Connect(server->addresses()[0]);
  {
    Upload cancelled(channel);
    WaitForInflight(*server, 1);
    cancelled.Cancel();
    WaitForMetric(*server, HandledUploads("Canceled", 1));
  }
  // On a busy machine the reset of a client may overtake the server's own
  // deadline by far, and looks like any other.
  const auto sees_deadline = [&] {
    Upload late(channel, absl::Milliseconds(50));
    EXPECT_EQ(late.Wait().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    WaitForInflight(*server, 0);
    return HttpGet(server->metrics_address(), "/metrics")
        .value_or("")
        .find("grpc_code=\"DeadlineExceeded\",grpc_method=\"UploadTensor\"");
  };
  int tries = 0;
  while (sees_deadline() == std::string::npos && ++tries < 20) {
  }
  EXPECT_LT(tries, 20);
  WaitForInflight(*server, 0);
  WaitForMetric(*server,
                "tensord_memory_bytes{device=\"cpu\",kind=\"reserved\"} 0");
}

TEST_F(ServerTest, TheMetricsEndpointServesNothingElse) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  for (const char* path : {"/", "/etc/passwd", "/../../../../etc/passwd",
                           "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"}) {
    const auto page = HttpGet(server->metrics_address(), path);
    ASSERT_TRUE(page.has_value());
    EXPECT_THAT(*page, Not(StartsWith("HTTP/1.1 200"))) << path;
  }
}

TEST_F(ServerTest, RefusesOptionsThatMakeNoSense) {
  struct Senseless {
    const char* what;
    void (*spoil)(ServerOptions&);
  };
  for (const Senseless& one : std::vector<Senseless>{
           {"no address", [](ServerOptions& o) { o.listen.clear(); }},
           {"bad address", [](ServerOptions& o) { o.listen = {"x"}; }},
           {"bad metrics", [](ServerOptions& o) { o.metrics_listen = "x"; }},
           {"queue delay",
            [](ServerOptions& o) { o.max_queue_delay = -absl::Seconds(1); }},
           {"metrics on a socket",
            [](ServerOptions& o) { o.metrics_listen = "unix:/a"; }},
           {"no memory", [](ServerOptions& o) { o.memory_limit_bytes = 0; }},
           {"no memory of CUDA devices",
            [](ServerOptions& o) { o.cuda_memory_limit.value = 0; }},
           {"more memory than CUDA devices have",
            [](ServerOptions& o) { o.cuda_memory_limit.value = 101; }},
           {"no tensors", [](ServerOptions& o) { o.max_tensor_bytes = 0; }},
           {"tensors above the limit",
            [](ServerOptions& o) {
              o.max_tensor_bytes = o.memory_limit_bytes + 1;
            }},
           {"key without certificate",
            [](ServerOptions& o) { o.tls_key_file = "k"; }},
           {"certificate without key",
            [](ServerOptions& o) { o.tls_cert_file = "c"; }},
           {"client CA without TLS",
            [](ServerOptions& o) { o.tls_client_ca_file = "c"; }},
           {"TLS files that are not there",
            [](ServerOptions& o) {
              o.tls_cert_file = "/missing";
              o.tls_key_file = "/missing";
            }},
       }) {
    ServerOptions options = SmallServer();
    one.spoil(options);
    const auto server = Server::Start(options);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument)
        << one.what << ": " << server.status();
  }
}

TEST_F(ServerTest, IsDestroyedWhereItCouldNotStart) {
  ServerOptions options = SmallServer();
  options.auth_tokens_file = "/missing";
  const auto server = Server::Start(options);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument)
      << server.status();
}

TEST_F(ServerTest, ASecondServerCanNotHaveThePort) {
  const auto first = MustStart(SmallServer());
  ServerOptions options = SmallServer();
  options.listen = {"127.0.0.1:0", first->addresses()[0]};
  const auto second = Server::Start(options);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(
      std::string(second.status().message()),
      HasSubstr(first->addresses()[0] + ": " + std::strerror(EADDRINUSE)));
  EXPECT_EQ(Health(Connect(first->addresses()[0]), ""), kServing);
}

TEST_F(ServerTest, ASecondServerCanNotHaveTheMetricsPort) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto first = MustStart(options);
  options.metrics_listen = first->metrics_address();
  const auto second = Server::Start(options);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(
      std::string(second.status().message()),
      HasSubstr(first->metrics_address() + ": " + std::strerror(EADDRINUSE)));
}

TEST_F(ServerTest, ASecondServerCanNotHaveTheSocket) {
  ServerOptions options = SmallServer();
  options.listen = {"unix:" + socket_.string()};
  const auto first = MustStart(options);
  EXPECT_EQ(Server::Start(options).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(Health(Connect(first->addresses()[0]), ""), kServing);
}

TEST_F(ServerTest, TakesOverASocketThatNobodyAnswersOn) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, socket_.c_str(), sizeof(name.sun_path) - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  close(fd);
  ServerOptions options = SmallServer();
  options.listen = {"unix:" + socket_.string()};
  const auto server = MustStart(options);
  EXPECT_EQ(Health(Connect(server->addresses()[0]), ""), kServing);
}

TEST_F(ServerTest, LeavesNoSocketBehind) {
  ServerOptions options = SmallServer();
  options.listen = {"unix:" + socket_.string()};
  MustStart(options)->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(ServerTest, RefusesOversizedMessagesAndMetadata) {
  const auto server = MustStart(SmallServer());
  const auto channel = Connect(server->addresses()[0]);
  EXPECT_EQ(CallUnary(channel, "/tensord.v1.TensorService/CreateTensor",
                      std::string(5 << 20, 'x'))
                .error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext context;
  context.AddMetadata("x-large", std::string(9 << 10, 'x'));
  v1::ServerInfo info;
  EXPECT_EQ(v1::TensorService::NewStub(channel)
                ->GetServerInfo(&context, {}, &info)
                .error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  // gRPC may close the connection over the metadata.
  EXPECT_EQ(Health(Connect(server->addresses()[0]), ""), kServing);
}

TEST_F(ServerTest, RefusesCompressedMessages) {
  const auto server = MustStart(SmallServer());
  const auto channel = Connect(server->addresses()[0]);
  const auto stub = v1::TensorService::NewStub(channel);
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::CreateTensorRequest request;
    request.mutable_raw()->set_data(std::string(1 << 20, '\0'));
    v1::Tensor tensor;
    EXPECT_EQ(stub->CreateTensor(&context, request, &tensor).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(Health(channel, ""), kServing);
}

TEST_F(ServerTest, ShutdownLetsCallsFinish) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  const auto channel = Connect(server->addresses()[0]);
  HealthWatch watch(channel, "");
  EXPECT_THAT(watch.WaitForStates(1), ElementsAre(kServing));
  Upload upload(channel);
  WaitForInflight(*server, 2);
  auto shutdown =
      std::async(std::launch::async, [&] { server->Shutdown(kPatience); });
  EXPECT_THAT(watch.WaitForStates(2), ElementsAre(kServing, kNotServing));
  EXPECT_EQ(shutdown.wait_for(std::chrono::milliseconds(200)),
            std::future_status::timeout);
  EXPECT_EQ(CallUnary(Connect(server->addresses()[0]), kGetServerInfo, "")
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(upload.Finish().ok());
  const absl::Duration rest = TimeOf([&] { shutdown.get(); });
  EXPECT_LT(rest, kPatience / 2) << "the watch of health held it up";
}

TEST_F(ServerTest, ShutdownCancelsCallsAfterTheGrace) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  Upload upload(Connect(server->addresses()[0]));
  WaitForInflight(*server, 1);
  const absl::Duration grace = absl::Milliseconds(200);
  const absl::Duration took = TimeOf([&] { server->Shutdown(grace); });
  EXPECT_GE(took, grace);
  EXPECT_LT(took, kPatience / 2);
  EXPECT_THAT(upload.Wait().error_code(), AnyOf(grpc::StatusCode::CANCELLED,
                                                grpc::StatusCode::UNAVAILABLE));
}

TEST_F(ServerTest, ShutdownOfAnIdleServerIsQuick) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  const auto channel = Connect(server->addresses()[0]);
  HealthWatch readiness(channel, kService);
  HealthWatch liveness(channel, "tensord-liveness");
  EXPECT_THAT(readiness.WaitForStates(1), ElementsAre(kServing));
  EXPECT_THAT(liveness.WaitForStates(1), ElementsAre(kServing));
  EXPECT_LT(TimeOf([&] { server->Shutdown(kPatience); }), kPatience / 2);
  EXPECT_THAT(readiness.WaitForStates(3), ElementsAre(kServing, kNotServing));
  EXPECT_THAT(liveness.WaitForStates(2), ElementsAre(kServing));
}

TEST_F(ServerTest, FurtherShutdownsDoNothing) {
  const auto server = MustStart(SmallServer());
  server->Shutdown(absl::InfiniteDuration());
  server->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(IsAnswered(*ParseListenAddress(server->addresses()[0])));
}

TEST_F(ServerTest, ThePortIsFreeAgainAfterShutdown) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  auto server = MustStart(options);
  options.listen = server->addresses();
  options.metrics_listen = server->metrics_address();
  EXPECT_TRUE(
      CallUnary(Connect(server->addresses()[0]), kGetServerInfo, "").ok());
  server.reset();
  const auto again = MustStart(options);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->addresses(), options.listen);
}

std::string TlsFile(const std::string& name) {
  return std::string(TENSORD_TLS_FILES) + "/" + name;
}

std::string Content(const std::string& name) {
  std::ifstream in(TlsFile(name));
  return {std::istreambuf_iterator<char>(in), {}};
}

ServerOptions TlsServer() {
  ServerOptions options = SmallServer();
  options.tls_cert_file = TlsFile("server.pem");
  options.tls_key_file = TlsFile("server.key");
  return options;
}

// Credentials of a client that trusts the authority of the server, and has the
// certificate `name` if that is not empty.
std::shared_ptr<grpc::ChannelCredentials> TlsClient(const std::string& name) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = Content("ca.pem");
  if (!name.empty()) {
    options.pem_cert_chain = Content(name + ".pem");
    options.pem_private_key = Content(name + ".key");
  }
  return grpc::SslCredentials(options);
}

TEST_F(ServerTest, SpeaksTlsOverTcpOnly) {
  ServerOptions options = TlsServer();
  options.listen.push_back("unix:" + socket_.string());
  const auto server = MustStart(options);
  const std::string& tcp = server->addresses()[0];
  EXPECT_EQ(Health(Connect(tcp, TlsClient("")), ""), kServing);
  EXPECT_EQ(CallUnary(Connect(tcp), kGetServerInfo, "").error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Health(Connect(server->addresses()[1]), ""), kServing);
}

TEST_F(ServerTest, AsksClientsForCertificates) {
  ServerOptions options = TlsServer();
  options.tls_client_ca_file = TlsFile("ca.pem");
  const auto server = MustStart(options);
  const std::string& address = server->addresses()[0];
  EXPECT_EQ(Health(Connect(address, TlsClient("client")), ""), kServing);
  for (const char* name : {"", "stranger"}) {
    EXPECT_EQ(CallUnary(Connect(address, TlsClient(name)), kGetServerInfo, "")
                  .error_code(),
              grpc::StatusCode::UNAVAILABLE)
        << name;
  }
}

TEST_F(ServerTest, RefusesTlsFilesThatDoNotBelongTogether) {
  ServerOptions options = TlsServer();
  options.tls_key_file = TlsFile("client.key");
  EXPECT_EQ(Server::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.tls_key_file = TlsFile("server.pem");
  EXPECT_EQ(Server::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// The value of a series; empty if it is not there.
std::string Metric(const Server& server, const std::string& series) {
  const std::string page =
      HttpGet(server.metrics_address(), "/metrics").value_or("");
  const std::size_t begin = page.find("\n" + series + " ");
  if (begin == page.npos) return "";
  const std::size_t value = begin + series.size() + 2;
  return page.substr(value, page.find('\n', value) - value);
}

TEST_F(ServerTest, RefusesAFewCallsWhileAllWaitForTooLong) {
  constexpr char kGetTensor[] = "/tensord.v1.TensorService/GetTensor";
  constexpr char kDeleteTensor[] = "/tensord.v1.TensorService/DeleteTensor";
  constexpr int kCalls = 2000;
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  options.max_queue_delay = absl::Nanoseconds(1);
  const auto server = MustStart(options);
  const auto channel = Connect(server->addresses()[0]);
  v1::GetTensorRequest get;
  get.set_name("tensors/none");
  v1::DeleteTensorRequest remove;
  remove.set_name("tensors/none");
  remove.set_allow_missing(true);
  EXPECT_TRUE(Eventually([&] {
    return CallUnary(channel, kGetTensor, get.SerializeAsString())
               .error_code() != grpc::StatusCode::NOT_FOUND;
  }));
  int refused = 0;
  for (int i = 0; i < kCalls; ++i) {
    const grpc::Status status =
        CallUnary(channel, kGetTensor, get.SerializeAsString());
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) continue;
    ++refused;
    ASSERT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(),
                MatchesRegex("calls wait for their turn for [0-9]+ ms, longer "
                             "than 0 ms"));
    EXPECT_THAT(status.error_details(), HasSubstr("OVERLOADED"));
    EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  }
  // One in twenty, give or take six standard deviations.
  EXPECT_GT(refused, 40);
  EXPECT_LT(refused, 160);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(CallUnary(channel, kGetServerInfo, "").ok());
    ASSERT_TRUE(
        CallUnary(channel, kDeleteTensor, remove.SerializeAsString()).ok());
  }
  EXPECT_NE(Metric(*server, "tensord_queue_delay_seconds"), "0");
  EXPECT_NE(Metric(*server, "tensord_rejected_total{reason=\"OVERLOADED\"}"),
            "");
}

TEST_F(ServerTest, SeesThatCallsWaitWhileItsThreadsAreBusy) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  const auto server = MustStart(options);
  const auto delay = [&] {
    double seconds = 0;
    EXPECT_TRUE(absl::SimpleAtod(Metric(*server, "tensord_queue_delay_seconds"),
                                 &seconds));
    return seconds;
  };
  EXPECT_TRUE(Eventually([&] {
    const double seconds = delay();
    return seconds > 0 && seconds < 0.05;
  }));
  {
    const BusyCallThreads busy;
    EXPECT_TRUE(Eventually([&] { return delay() > 0.2; }));
  }
  EXPECT_TRUE(Eventually([&] { return delay() < 0.05; }));
}

TEST_F(ServerTest, ItsCallsToItselfAreNeitherCountedNorLogged) {
  ServerOptions options = SmallServer();
  options.metrics_listen = "127.0.0.1:0";
  options.access_log = LogFormat::kText;
  ::testing::internal::CaptureStderr();
  const auto server = MustStart(options);
  EXPECT_TRUE(Eventually([&] {
    const std::string delay = Metric(*server, "tensord_queue_delay_seconds");
    return !delay.empty() && delay != "0";
  }));
  EXPECT_EQ(Health(Connect(server->addresses()[0]), ""), kServing);
  server->Shutdown(absl::ZeroDuration());
  const std::string log = ::testing::internal::GetCapturedStderr();
  const std::size_t first = log.find("Health/Check");
  ASSERT_NE(first, log.npos) << log;
  EXPECT_EQ(log.find("Health/Check", first + 1), log.npos) << log;
}

// gRPC's threads sleep for a tenth of a second once they had nothing to do for
// one, all at the same time where all were busy before.
TEST_F(ServerTest, AnswersAtOnceAfterAnIdleSecond) {
  const auto server = MustStart(SmallServer());
  ASSERT_NE(server, nullptr);
  const auto channel = Connect(server->addresses()[0]);
  const auto call = [&] {
    EXPECT_TRUE(CallUnary(channel, kGetServerInfo, "").ok());
  };
  // Machines pause as well, but not every time.
  constexpr absl::Duration kAtOnce = absl::Milliseconds(35);
  absl::Duration fastest = absl::InfiniteDuration();
  for (int i = 0; i < 20 && fastest >= kAtOnce; ++i) {
    std::vector<std::jthread> busy;
    for (int caller = 0; caller < 8; ++caller) busy.emplace_back(call);
    busy.clear();
    absl::SleepFor(absl::Milliseconds(1030));
    fastest = std::min(fastest, TimeOf(call));
  }
  EXPECT_LT(fastest, kAtOnce);
}

}  // namespace
}  // namespace tensord
