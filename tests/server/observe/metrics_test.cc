#include "server/observe/metrics.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/device/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/observe/code_name.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGetTensor[] = "/tensord.v1.TensorService/GetTensor";
constexpr std::int64_t kLimit = 1 << 20;
constexpr std::int64_t kCudaLimit = 1 << 10;
constexpr Device kCuda0{DeviceType::kCuda, 0};

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    devices_.Add(NewCpuBackend({.max_pooled_bytes = 0}));
    devices_.Add(
        std::make_unique<FakeBackend>(kCuda0, std::make_shared<FaultPlan>()));
    quotas_.Add(*devices_.backends()[0], kLimit);
    quotas_.Add(*devices_.backends()[1], kCudaLimit);
    metrics_ = std::make_unique<Metrics>(
        GaugeSources{.devices = &devices_,
                     .chunk_arena = &chunk_arena_,
                     .for_each_tenant =
                         [this](const auto& visit) {
                           visit({"", &store_, &quotas_});
                         },
                     .quotas = &quotas_,
                     .calls = &inflight_,
                     .load_shedder = &load_shedder_,
                     .suspended_uploads = [] { return 3; },
                     .version = "1.2.3"});
  }

  // The value of a series; nothing if it is not there.
  std::optional<double> Value(const std::string& series) const {
    const std::string text = metrics_->Text();
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::StartsWith(line, series + " ")) continue;
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(line.substr(series.size() + 1), &value));
      return value;
    }
    return std::nullopt;
  }

  std::size_t SeriesCount() const {
    return std::vector<std::string>(absl::StrSplit(metrics_->Text(), '\n'))
        .size();
  }

  // As if a service did it: the memory counts against the quota.
  std::shared_ptr<Buffer> NewBuffer(std::size_t size_bytes,
                                    Device device = kCpuDevice) {
    struct Owner {
      std::shared_ptr<void> charge;
      std::shared_ptr<Buffer> buffer;
    };
    auto owner = std::make_shared<Owner>();
    owner->charge =
        quotas_.Reserve(device, static_cast<std::int64_t>(size_bytes)).value();
    owner->buffer = (*devices_.Find(device))->Allocate(size_bytes).value();
    return std::make_shared<Buffer>(device, owner->buffer->data(), size_bytes,
                                    owner);
  }

  void Store(const std::string& id, std::shared_ptr<const Buffer> buffer) {
    const auto count = static_cast<std::int64_t>(buffer->size_bytes());
    const auto stored =
        std::move(store_.ClaimId(id))
            .value()
            .Commit(Tensor(DType::kUInt8, Layout{{count}, {1}, 0},
                           std::move(buffer)),
                    {});
    ASSERT_TRUE(stored.ok());
  }

  DeviceRegistry devices_;
  Arena chunk_arena_{{}};
  TensorStore store_;
  DeviceQuotas quotas_;
  InflightCalls inflight_;
  LoadShedder load_shedder_{absl::ZeroDuration()};
  std::unique_ptr<Metrics> metrics_;
};

std::string CallLabels(const std::string& code) {
  return absl::StrCat(
      code.empty() ? "{" : absl::StrCat("{grpc_code=\"", code, "\","),
      "grpc_method=\"GetTensor\",grpc_service=\"tensord.v1.TensorService\","
      "grpc_type=\"unary\"}");
}

TEST_F(MetricsTest, CountsCallsAsGoDoes) {
  ASSERT_EQ(kCodeNames.size(), 17u);
  for (int code = 0; code < 17; ++code) {
    for (int i = 0; i <= code; ++i) {
      metrics_->CallStarted({.method = kGetTensor});
      metrics_->CallFinished({.method = kGetTensor,
                              .peer = "unix:",
                              .code = static_cast<grpc::StatusCode>(code),
                              .duration = absl::Milliseconds(4)});
    }
  }
  EXPECT_EQ(Value("grpc_server_started_total" + CallLabels("")), 153);
  for (std::size_t code = 0; code < kCodeNames.size(); ++code) {
    EXPECT_EQ(Value("grpc_server_handled_total" +
                    CallLabels(std::string(kCodeNames[code]))),
              code + 1);
  }
  EXPECT_EQ(Value("grpc_server_handling_seconds_count" + CallLabels("")), 153);
  EXPECT_NEAR(*Value("grpc_server_handling_seconds_sum" + CallLabels("")),
              153 * 0.004, 1e-9);
}

TEST_F(MetricsTest, KnowsTheTypesOfMethods) {
  const std::string text = metrics_->Text();
  for (const char* labels :
       {"grpc_method=\"UploadTensor\",grpc_service=\"tensord.v1.TensorService\""
        ",grpc_type=\"client_stream\"",
        "grpc_method=\"DownloadTensor\","
        "grpc_service=\"tensord.v1.TensorService\","
        "grpc_type=\"server_stream\"",
        "grpc_method=\"ConvertArray\",grpc_service=\"tensord.v1.TensorService\""
        ",grpc_type=\"bidi_stream\"",
        "grpc_method=\"Check\",grpc_service=\"grpc.health.v1.Health\","
        "grpc_type=\"unary\""}) {
    EXPECT_THAT(text, HasSubstr(labels));
  }
}

TEST_F(MetricsTest, CodesThatAreNoneAreUnknown) {
  metrics_->CallFinished({.method = kGetTensor,
                          .peer = "",
                          .code = static_cast<grpc::StatusCode>(31),
                          .duration = absl::ZeroDuration()});
  EXPECT_EQ(Value("grpc_server_handled_total" + CallLabels("Unknown")), 1);
}

TEST_F(MetricsTest, MadeUpMethodsAndReasonsMakeNoSeries) {
  const auto make_up = [&](int i) {
    const std::string method = absl::StrCat("/a.B", i, "/C\"\n");
    metrics_->CallStarted({.method = method});
    metrics_->CallFinished({.method = method,
                            .peer = "",
                            .code = grpc::StatusCode::UNIMPLEMENTED,
                            .duration = absl::ZeroDuration()});
    metrics_->Refused(absl::StrCat("bad reason ", i));
  };
  make_up(0);
  const std::size_t before = SeriesCount();
  for (int i = 1; i < 1000; ++i) make_up(i);
  EXPECT_EQ(SeriesCount(), before);
  EXPECT_EQ(Value("grpc_server_handled_total{grpc_code=\"Unimplemented\","
                  "grpc_method=\"other\",grpc_service=\"other\","
                  "grpc_type=\"unknown\"}"),
            1000);
  EXPECT_EQ(Value("tensord_rejected_total{reason=\"other\"}"), 1000);
}

TEST_F(MetricsTest, CountsTensorsThatLeave) {
  metrics_->Expired(kCpuDevice);
  metrics_->Evicted(kCpuDevice);
  metrics_->Evicted(kCpuDevice);
  metrics_->Evicted({DeviceType::kCuda, 1});
  EXPECT_EQ(Value("tensord_expiries_total{device=\"cpu\"}"), 1);
  EXPECT_EQ(Value("tensord_evictions_total{device=\"cpu\"}"), 2);
  EXPECT_EQ(Value("tensord_evictions_total{device=\"cuda:1\"}"), 1);
}

TEST_F(MetricsTest, ReasonsAreBounded) {
  for (int i = 0; i < 1000; ++i) metrics_->Refused(absl::StrCat("REASON_", i));
  EXPECT_EQ(Value("tensord_rejected_total{reason=\"REASON_0\"}"), 1);
  EXPECT_EQ(Value("tensord_rejected_total{reason=\"REASON_999\"}"),
            std::nullopt);
  EXPECT_GT(*Value("tensord_rejected_total{reason=\"other\"}"), 800);
  metrics_->Refused("REASON_0");
  EXPECT_EQ(Value("tensord_rejected_total{reason=\"REASON_0\"}"), 2);
}

TEST_F(MetricsTest, CountsWhatTheServiceTells) {
  metrics_->ArrayBytesReceived(3);
  metrics_->ArrayBytesReceived(std::int64_t{1} << 40);
  metrics_->ArrayBytesSent(5);
  metrics_->Converted(DType::kFloat32, DType::kBFloat16, kCpuDevice, kCpuDevice,
                      absl::Milliseconds(2));
  metrics_->Converted(DType::kFloat32, DType::kBFloat16, kCpuDevice, kCpuDevice,
                      absl::Seconds(2));
  EXPECT_EQ(Value("tensord_upload_bytes_total"), 1099511627779.0);
  EXPECT_EQ(Value("tensord_download_bytes_total"), 5);
  const std::string labels =
      "{device=\"cpu\",from=\"float32\",to=\"bfloat16\"}";
  EXPECT_EQ(Value("tensord_conversion_seconds_count" + labels), 2);
  EXPECT_NEAR(*Value("tensord_conversion_seconds_sum" + labels), 2.002, 1e-9);
}

TEST_F(MetricsTest, LooksAtTheStore) {
  EXPECT_EQ(Value("tensord_tensors{device=\"cpu\"}"), 0);
  EXPECT_EQ(Value("tensord_memory_limit_bytes{device=\"cpu\"}"), kLimit);
  const auto shared = NewBuffer(1000);
  Store("a", shared);
  Store("b", shared);
  Store("c", NewBuffer(500));
  const auto upload = quotas_.Reserve(kCpuDevice, 300).value();
  EXPECT_EQ(Value("tensord_tensors{device=\"cpu\"}"), 3);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"stored\"}"),
            1500);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"reserved\"}"),
            300);
  ASSERT_TRUE(store_.Delete("a", "").ok());
  ASSERT_TRUE(store_.Delete("b", "").ok());
  EXPECT_EQ(Value("tensord_tensors{device=\"cpu\"}"), 1);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"stored\"}"), 500);
  // `shared` is still held here, as by a call that reads it.
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"reserved\"}"),
            1300);
}

TEST_F(MetricsTest, CountsTheMemoryOfEachDevice) {
  Store("a", NewBuffer(100, kCuda0));
  Store("b", NewBuffer(1000));
  const auto upload = quotas_.Reserve(kCuda0, 30).value();
  EXPECT_EQ(Value("tensord_memory_limit_bytes{device=\"cuda:0\"}"), kCudaLimit);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cuda:0\",kind=\"stored\"}"),
            100);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cuda:0\",kind=\"reserved\"}"),
            30);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"stored\"}"),
            1000);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"reserved\"}"), 0);
}

TEST_F(MetricsTest, TellsOfDevicesThatAreOutOfService) {
  EXPECT_EQ(Value("tensord_device_in_service{device=\"cpu\"}"), 1);
  EXPECT_EQ(Value("tensord_device_in_service{device=\"cuda:0\"}"), 1);
  static_cast<FakeBackend&>(**devices_.Find(kCuda0))
      .TakeOutOfService(absl::InternalError("broken"));
  EXPECT_EQ(Value("tensord_device_in_service{device=\"cpu\"}"), 1);
  EXPECT_EQ(Value("tensord_device_in_service{device=\"cuda:0\"}"), 0);
}

TEST_F(MetricsTest, SeesEveryPageOfTheStore) {
  const auto shared = NewBuffer(1);
  for (int i = 0; i < 2500; ++i) Store(absl::StrCat("t", i), shared);
  EXPECT_EQ(Value("tensord_tensors{device=\"cpu\"}"), 2500);
  EXPECT_EQ(Value("tensord_memory_bytes{device=\"cpu\",kind=\"stored\"}"), 1);
}

TEST_F(MetricsTest, LooksAtCallsAndVersion) {
  inflight_.Enter(/*is_probe=*/false);
  inflight_.Enter(/*is_probe=*/true);
  EXPECT_EQ(Value("tensord_inflight_rpcs"), 2);
  inflight_.Leave(/*is_probe=*/true);
  EXPECT_EQ(Value("tensord_inflight_rpcs"), 1);
  EXPECT_EQ(Value("tensord_build_info{version=\"1.2.3\",cuda=\"false\"}"), 1);
}

TEST_F(MetricsTest, LooksAtTheQueue) {
  EXPECT_EQ(Value("tensord_queue_delay_seconds"), 0);
  load_shedder_.SetQueueDelay(absl::Milliseconds(1.5));
  EXPECT_EQ(Value("tensord_queue_delay_seconds"), 0.0015);
}

TEST_F(MetricsTest, TellsWhenTheProcessWasStarted) {
  const auto start = Value("process_start_time_seconds");
  ASSERT_TRUE(start.has_value());
  const absl::Duration age =
      absl::Now() -
      absl::FromUnixMicros(static_cast<std::int64_t>(*start * 1e6));
  // To the second, which is how exact the system's own start is.
  EXPECT_GT(age, absl::Seconds(-1.1));
  EXPECT_LT(age, absl::Minutes(30));
}

TEST_F(MetricsTest, LooksAtMemoryThatIsKept) {
  const auto buffer = *devices_.backends().front()->Allocate(3 << 20);
  EXPECT_EQ(Value("tensord_pool_reserved_bytes{device=\"cpu\"}"), 3 << 20);
  EXPECT_EQ(Value("tensord_pool_used_bytes{device=\"cpu\"}"), 3 << 20);
  EXPECT_GT(Value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_EQ(Value("tensord_suspended_uploads"), 3);
}

TEST_F(MetricsTest, CountsFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 500;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kCalls; ++i) {
          metrics_->CallStarted({.method = kGetTensor});
          metrics_->CallFinished({.method = kGetTensor,
                                  .peer = "",
                                  .code = grpc::StatusCode::ABORTED,
                                  .duration = absl::Seconds(1)});
          metrics_->Refused("ETAG_MISMATCH");
          metrics_->Converted(DType::kInt8, DType::kInt16, kCpuDevice,
                              kCpuDevice, absl::ZeroDuration());
          if (i % 100 == 0) {
            EXPECT_THAT(metrics_->Text(), Not(""));
          }
        }
      });
    }
  }
  EXPECT_EQ(Value("grpc_server_handled_total" + CallLabels("Aborted")),
            kThreads * kCalls);
  EXPECT_EQ(Value("tensord_rejected_total{reason=\"ETAG_MISMATCH\"}"),
            kThreads * kCalls);
}

}  // namespace
}  // namespace tensord
