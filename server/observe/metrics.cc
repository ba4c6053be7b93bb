#include "server/observe/metrics.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "core/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/observe/call_series.h"
#include "server/observe/metric_families.h"

namespace tensord {
namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Labels;

// More than there are reasons; what comes beyond is counted as "other".
constexpr std::size_t kMaxReasons = 128;

bool IsReason(std::string_view text) {
  constexpr std::size_t kMaxBytes = 63;
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isupper(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

Counter& NewCounter(prometheus::Registry& registry, const char* name,
                    const char* help) {
  return CounterFamily(registry, name, help).Add({});
}

}  // namespace

class Metrics::Counters final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    return registry_.Collect();
  }

  // The series of conversions of one kind.
  struct Conversions {
    Histogram* seconds = nullptr;
    Counter* count = nullptr;
    // Null if it can lose nothing.
    Counter* lossy = nullptr;
  };

  Conversions OfKind(DType from, DType to, Device source, Device destination) {
    const Device device = source == kCpuDevice ? destination : source;
    MutexLock lock(mutex_);
    Conversions& known = conversions_[{from, to, source.type, source.index,
                                       destination.type, destination.index}];
    if (known.count != nullptr) return known;
    const Labels dtypes = {{"from", std::string(Name(from))},
                           {"to", std::string(Name(to))}};
    if (!HoldsEveryValue(to, from)) known.lossy = &lossy_family_.Add(dtypes);
    Labels labels = dtypes;
    labels["device"] = DeviceString(device);
    known.seconds = &conversion_family_.Add(labels, SecondsBuckets());
    labels = dtypes;
    labels["source"] = DeviceString(source);
    labels["destination"] = DeviceString(destination);
    known.count = &conversion_count_family_.Add(labels);
    return known;
  }

  Histogram& Queue(Device device) {
    return queue_family_.Add({{"device", DeviceString(device)}},
                             SecondsBuckets());
  }

  Counter& Reloads(std::string_view files, bool is_used) {
    return reload_family_.Add({{"files", std::string(files)},
                               {"result", is_used ? "used" : "refused"}});
  }

  Counter& Expiries(Device device) {
    return expiry_family_.Add({{"device", DeviceString(device)}});
  }

  Counter& Evictions(Device device) {
    return eviction_family_.Add({{"device", DeviceString(device)}});
  }

  Counter& Rejected(std::string_view reason) {
    if (!IsReason(reason)) reason = "other";
    MutexLock lock(mutex_);
    auto it = rejected_.find(reason);
    if (it == rejected_.end()) {
      if (rejected_.size() >= kMaxReasons) reason = "other";
      Counter& counter =
          rejected_family_.Add({{"reason", std::string(reason)}});
      if (rejected_.size() >= kMaxReasons) return counter;
      it = rejected_.emplace(reason, &counter).first;
    }
    return *it->second;
  }

 private:
  prometheus::Registry registry_;

 public:
  CallSeries calls{registry_};
  Counter& uploaded_bytes = NewCounter(registry_, "tensord_upload_bytes_total",
                                       "Bytes of arrays that arrived.");
  Counter& downloaded_bytes =
      NewCounter(registry_, "tensord_download_bytes_total",
                 "Bytes of arrays that were sent.");
  Counter& refused_bytes =
      NewCounter(registry_, "tensord_refused_bytes_total",
                 "Bytes of tensors that there was no memory for.");

 private:
  using ConversionKey =
      std::tuple<DType, DType, DeviceType, int, DeviceType, int>;

  prometheus::Family<Histogram>& conversion_family_ =
      HistogramFamily(registry_, "tensord_conversion_seconds",
                      "Time to convert one array, or to copy it.");
  prometheus::Family<Counter>& conversion_count_family_ =
      CounterFamily(registry_, "tensord_conversions_total",
                    "Arrays that were converted or copied, by dtypes and by "
                    "devices; clients count as CPUs.");
  prometheus::Family<Counter>& lossy_family_ = CounterFamily(
      registry_, "tensord_lossy_conversions_total",
      "Conversions to a dtype that does not hold every value of the "
      "other.");
  prometheus::Family<Histogram>& queue_family_ = HistogramFamily(
      registry_, "tensord_queue_seconds",
      "Time that calls waited for a thread: one of a device, or one "
      "for what takes long.");
  prometheus::Family<Counter>& rejected_family_ =
      CounterFamily(registry_, "tensord_rejected_total",
                    "Calls that were refused, by reason.");
  prometheus::Family<Counter>& reload_family_ = CounterFamily(
      registry_, "tensord_reloads_total",
      "Files of tokens and certificates that changed, and whether "
      "they were used.");
  prometheus::Family<Counter>& expiry_family_ =
      CounterFamily(registry_, "tensord_expiries_total",
                    "Tensors whose lifetime or lease ended.");
  prometheus::Family<Counter>& eviction_family_ =
      CounterFamily(registry_, "tensord_evictions_total",
                    "Tensors that made room for others.");
  Mutex mutex_;
  std::map<ConversionKey, Conversions> conversions_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Counter*, std::less<>> rejected_
      ABSL_GUARDED_BY(mutex_);
};

Metrics::Metrics(const GaugeSources& sources)
    : counters_(std::make_shared<Counters>()),
      gauges_(NewLiveGauges(sources)) {}

Metrics::~Metrics() = default;

void Metrics::ArrayBytesReceived(std::int64_t bytes) {
  counters_->uploaded_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::ArrayBytesSent(std::int64_t bytes) {
  counters_->downloaded_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::Converted(DType from, DType to, Device source, Device destination,
                        absl::Duration duration) {
  const Counters::Conversions series =
      counters_->OfKind(from, to, source, destination);
  series.seconds->Observe(absl::ToDoubleSeconds(duration));
  series.count->Increment();
  if (series.lossy != nullptr) series.lossy->Increment();
}

void Metrics::Queued(Device device, absl::Duration duration) {
  counters_->Queue(device).Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::RefusedBytes(std::int64_t bytes) {
  counters_->refused_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::Refused(std::string_view reason) {
  counters_->Rejected(reason).Increment();
}

void Metrics::Expired(Device device) {
  counters_->Expiries(device).Increment();
}

void Metrics::Evicted(Device device) {
  counters_->Evictions(device).Increment();
}

void Metrics::Reloaded(std::string_view files, bool is_used) {
  counters_->Reloads(files, is_used).Increment();
}

void Metrics::CallStarted(const StartedCall& call) {
  counters_->calls.Start(call.method);
}

void Metrics::CallFinished(const FinishedCall& call) {
  counters_->calls.Finish(call);
}

std::vector<std::shared_ptr<prometheus::Collectable>> Metrics::collectables()
    const {
  return {counters_, gauges_};
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = counters_->Collect();
  for (prometheus::MetricFamily& family : gauges_->Collect()) {
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace tensord
