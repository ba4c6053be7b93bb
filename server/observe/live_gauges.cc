#include "server/observe/live_gauges.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace tensord {
namespace {

using GaugeLabels = std::vector<prometheus::ClientMetric::Label>;

prometheus::MetricFamily Family(std::string name, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .type = prometheus::MetricType::Gauge,
          .metric = {}};
}

void AddDouble(prometheus::MetricFamily& family, GaugeLabels labels,
               double value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

void Add(prometheus::MetricFamily& family, GaugeLabels labels,
         std::int64_t value) {
  AddDouble(family, std::move(labels), static_cast<double>(value));
}

// The second number of /proc/self/statm counts pages; 0 if it can not be read.
std::int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  file >> size >> resident;
  return file ? resident * sysconf(_SC_PAGESIZE) : 0;
}

// When the system was started, as line "btime" of /proc/stat has it, in seconds
// since 1970, and field 22 of /proc/self/stat, in ticks since then; 0 if they
// can not be read.
double StartTimeSeconds() {
  constexpr int kFieldsBefore = 19;
  std::ifstream system("/proc/stat");
  std::string word;
  double boot_seconds = 0;
  while (system >> word && word != "btime") {
  }
  system >> boot_seconds;
  std::ifstream self("/proc/self/stat");
  // The program's name, in parentheses, may have spaces.
  std::getline(self, word, ')');
  for (int i = 0; i < kFieldsBefore; ++i) self >> word;
  double ticks = 0;
  self >> ticks;
  if (!system || !self) return 0;
  return boot_seconds + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

class LiveGauges final : public prometheus::Collectable {
 public:
  explicit LiveGauges(GaugeSources sources) : sources_(std::move(sources)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    auto limit = Family("tensord_memory_limit_bytes",
                        "Most bytes that tensors and uploads may take.");
    auto inflight =
        Family("tensord_inflight_rpcs", "Calls that are being worked on.");
    Add(inflight, {}, sources_.calls->total());
    auto delay = Family("tensord_queue_delay_seconds",
                        "How long calls wait for their turn.");
    AddDouble(delay, {},
              absl::ToDoubleSeconds(sources_.load_shedder->queue_delay()));
    auto suspended =
        Family("tensord_suspended_uploads",
               "Uploads that lost their connection and may be gone on with.");
    Add(suspended, {}, static_cast<std::int64_t>(sources_.suspended_uploads()));
    auto build = Family("tensord_build_info", "Always 1.");
    Add(build,
        {{"version", sources_.version},
         {"cuda", sources_.devices->cuda().built ? "true" : "false"}},
        1);
    auto resident = Family("process_resident_memory_bytes",
                           "Memory that the process has in RAM.");
    Add(resident, {}, ResidentBytes());
    auto start = Family("process_start_time_seconds",
                        "When the process was started, since 1970 in UTC.");
    AddDouble(start, {}, start_time_seconds_);
    auto reserved = Family(
        "tensord_pool_reserved_bytes",
        "Bytes that were asked of the system for tensors, in use or not.");
    auto used = Family("tensord_pool_used_bytes",
                       "Bytes of tensord_pool_reserved_bytes in use.");
    auto chunks = Family("tensord_chunk_memory_bytes",
                         "Bytes for chunks that are converted on the way, in "
                         "use or kept for the next.");
    const Arena::Stats of_chunks = sources_.chunk_arena->stats();
    Add(chunks, {},
        static_cast<std::int64_t>(of_chunks.used_bytes +
                                  of_chunks.pooled_bytes));
    auto tensors = Family("tensord_tensors", "Tensors that are stored.");
    auto memory = Family("tensord_memory_bytes",
                         "Bytes that count against the memory limit, and "
                         "beside them the host's that are pinned for "
                         "transfers.");
    sources_.for_each_tenant([&](const TenantSources& tenant) {
      AddTenant(tenant, tensors, memory);
    });
    auto in_service = Family("tensord_device_in_service",
                             "1, or 0 once the device is out of service.");
    for (const auto& backend : sources_.devices->backends()) {
      const auto stats = backend->pool_stats();
      const std::string device = DeviceString(backend->device());
      Add(limit, {{"device", device}},
          sources_.quotas->Of(backend->device()).limit_bytes());
      Add(in_service, {{"device", device}}, backend->health().ok() ? 1 : 0);
      Add(reserved, {{"device", device}},
          static_cast<std::int64_t>(stats.reserved_bytes));
      Add(used, {{"device", device}},
          static_cast<std::int64_t>(stats.used_bytes));
      if (!backend->may_wait()) continue;
      Add(memory, {{"device", device}, {"kind", "pinned"}},
          static_cast<std::int64_t>(stats.pinned_bytes));
    }
    return {tensors,  in_service, memory,   limit, reserved,  used, chunks,
            resident, start,      inflight, delay, suspended, build};
  }

 private:
  void AddTenant(const TenantSources& tenant, prometheus::MetricFamily& tensors,
                 prometheus::MetricFamily& memory) const {
    const auto labels = [&](Device device, const char* kind) {
      GaugeLabels all = {{"device", DeviceString(device)}};
      if (kind != nullptr) all.push_back({"kind", kind});
      if (!tenant.name.empty()) {
        all.push_back({"tenant", std::string(tenant.name)});
      }
      return all;
    };
    for (const auto& backend : sources_.devices->backends()) {
      const Device device = backend->device();
      const DeviceUsage usage = tenant.store->UsageOf(device);
      Add(tensors, labels(device, nullptr), usage.tensors);
      Add(memory, labels(device, "stored"), usage.stored_bytes);
      Add(memory, labels(device, "reserved"),
          std::max<std::int64_t>(
              tenant.quotas->Of(device).used_bytes() - usage.stored_bytes, 0));
    }
  }

  const GaugeSources sources_;
  const double start_time_seconds_ = StartTimeSeconds();
};

}  // namespace

std::shared_ptr<prometheus::Collectable> NewLiveGauges(GaugeSources sources) {
  return std::make_shared<LiveGauges>(std::move(sources));
}

}  // namespace tensord
