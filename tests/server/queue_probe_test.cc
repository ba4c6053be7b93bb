#include "server/queue_probe.h"

#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>

#include "gtest/gtest.h"
#include "test_calls.h"
#include "tests/eventually.h"

namespace tensord {
namespace {

// A server that answers no call, and needs none of gRPC's threads for that.
class SilentServer {
 public:
  SilentServer() {
    grpc::ServerBuilder builder;
    // Whatever servers of this process have by default.
    builder.SetOption(
        std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
  }
  ~SilentServer() {
    Shutdown();
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }

  grpc::Server& server() { return *server_; }
  void Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

 private:
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
};

// The last owner of gRPC's threads must not be one of them: gRPC 1.51 then
// frees the queue that the thread goes on to read, and mostly aborts.
TEST(QueueProbeTest, WaitsForTheEndsOfItsCalls) {
  SilentServer silent;
  std::atomic<bool> waits = false;
  QueueProbe probe([] { return true; },
                   [&](absl::Duration delay) {
                     if (delay > absl::ZeroDuration()) waits = true;
                   });
  ASSERT_TRUE(probe.Start(silent.server()).ok());
  EXPECT_TRUE(Eventually([&] { return waits.load(); }));
  std::future<void> stopped;
  {
    const BusyCallThreads busy;
    silent.Shutdown();
    stopped = std::async(std::launch::async, [&] { probe.Stop(); });
    EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(50)),
              std::future_status::timeout);
  }
  stopped.get();
}

TEST(QueueProbeTest, LeavesNoThreadOfGrpcToItself) {
  for (int i = 0; i < 500; ++i) {
    SilentServer silent;
    QueueProbe probe([] { return true; }, [](absl::Duration) {});
    ASSERT_TRUE(probe.Start(silent.server()).ok());
    silent.Shutdown();
  }
}

}  // namespace
}  // namespace tensord
