#include "tests/load/summary.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "tests/load/percentiles.h"

namespace tensord::load {
namespace {

constexpr double kNanosPerSecond = 1e9;
constexpr double kNanosPerMilli = 1e6;
constexpr std::int64_t kNanosPerMicro = 1000;
constexpr double kBytesPerGigabyte = 1e9;
constexpr double kCallsPerThousand = 1e-3;

Json InMillis(std::vector<std::int64_t> nanos) {
  const Percentiles percentiles(std::move(nanos));
  constexpr std::array<std::pair<const char*, double>, 6> kPercents = {{
      {"p50", 50},
      {"p90", 90},
      {"p99", 99},
      {"p99.9", 99.9},
      {"p99.99", 99.99},
      {"max", 100},
  }};
  Json::Object fields;
  fields.emplace("count", static_cast<double>(percentiles.count()));
  fields.emplace("mean", percentiles.Mean() / kNanosPerMilli);
  for (const auto& [name, percent] : kPercents) {
    fields.emplace(
        name, static_cast<double>(percentiles.At(percent)) / kNanosPerMilli);
  }
  return fields;
}

std::vector<std::int64_t> LateNanos(
    const std::vector<NoiseMeter::Sample>& samples, std::int64_t begin_ns,
    std::int64_t end_ns) {
  std::vector<std::int64_t> late;
  for (const NoiseMeter::Sample& sample : samples) {
    if (sample.due_ns >= begin_ns && sample.due_ns < end_ns) {
      late.push_back(sample.late_ns);
    }
  }
  return late;
}

// What is counted of the calls of one segment.
struct Tally {
  std::int64_t planned = 0;
  std::int64_t answered = 0;
  // Answered within the time of the segment, whenever they were sent.
  std::int64_t good_in_time = 0;
  std::int64_t refused = 0;
  std::int64_t refused_with_retry_info = 0;
  std::int64_t not_sent = 0;
  std::int64_t bytes = 0;
  std::map<OutcomeId, std::int64_t> outcomes;
  std::vector<std::int64_t> latencies;
  std::vector<std::int64_t> refusal_latencies;
  std::vector<std::int64_t> lags;
  std::map<CallKind, std::vector<std::int64_t>> latencies_by_kind;
};

void Count(const PlannedCall& planned, const Call& call, bool is_refusal,
           Tally& tally) {
  ++tally.planned;
  ++tally.outcomes[call.outcome];
  if (call.outcome == kNotSent) {
    ++tally.not_sent;
    return;
  }
  tally.lags.push_back(call.lag_ns);
  if (call.outcome == kPending) return;
  ++tally.answered;
  tally.bytes += call.bytes;
  if (call.outcome == kOk) {
    tally.latencies.push_back(call.latency_ns);
    tally.latencies_by_kind[planned.plan.kind].push_back(call.latency_ns);
  } else if (is_refusal) {
    ++tally.refused;
    tally.refused_with_retry_info += call.has_retry_info ? 1 : 0;
    tally.refusal_latencies.push_back(call.latency_ns);
  }
}

std::vector<Tally> CountSegments(const LoadOptions& options,
                                 const LoadResult& result,
                                 const std::vector<std::string>& outcomes) {
  std::vector<std::int64_t> ends;
  double seconds = 0;
  for (const Segment& segment : options.segments) {
    seconds += segment.seconds;
    ends.push_back(static_cast<std::int64_t>(seconds * kNanosPerSecond));
  }
  std::vector<Tally> tallies(ends.size());
  for (std::size_t i = 0; i < result.planned.size(); ++i) {
    const PlannedCall& planned = result.planned[i];
    const Call call = result.recorder->At(i);
    Count(planned, call,
          absl::StartsWith(outcomes[call.outcome], "RESOURCE_EXHAUSTED"),
          tallies[planned.arrival.segment]);
    if (call.outcome != kOk) continue;
    const auto end = std::upper_bound(
        ends.begin(), ends.end(), planned.arrival.time_ns + call.latency_ns);
    if (end != ends.end()) {
      ++tallies[static_cast<std::size_t>(end - ends.begin())].good_in_time;
    }
  }
  return tallies;
}

// Seconds of processor, and those for a thousand calls and for a gigabyte.
Json Cost(double cpu_seconds, double seconds, const Tally& tally) {
  Json::Object cost;
  cost.emplace("cpu_seconds", cpu_seconds);
  cost.emplace("cpus", cpu_seconds / seconds);
  if (tally.answered > 0) {
    cost.emplace("cpu_seconds_per_1000_calls",
                 cpu_seconds /
                     (static_cast<double>(tally.answered) * kCallsPerThousand));
  }
  if (tally.bytes > 0) {
    cost.emplace(
        "cpu_seconds_per_gb",
        cpu_seconds / (static_cast<double>(tally.bytes) / kBytesPerGigabyte));
  }
  return cost;
}

double BusiestThread(const Reading& begin, const Reading& end, double seconds) {
  double busiest = 0;
  for (const auto& [thread, cpu_seconds] : end.thread_cpu_seconds) {
    const auto before = begin.thread_cpu_seconds.find(thread);
    const double earlier =
        before == begin.thread_cpu_seconds.end() ? 0 : before->second;
    busiest = std::max(busiest, cpu_seconds - earlier);
  }
  return busiest / seconds;
}

SenderHealth HealthOf(const Tally& tally, const Reading& begin,
                      const Reading& end, double seconds) {
  const Percentiles lags(tally.lags);
  return {.planned = tally.planned,
          .not_sent = tally.not_sent,
          .median_lag_ns = lags.At(50),
          .p99_lag_ns = lags.At(99),
          .busiest_thread = BusiestThread(begin, end, seconds),
          .process = (end.generator.cpu_seconds - begin.generator.cpu_seconds) /
                     seconds,
          .allowed_cpus = AllowedCpus()};
}

Json SegmentFields(const Segment& segment, const Tally& tally,
                   const Reading& begin, const Reading& end,
                   const LoadResult& result,
                   const std::vector<std::string>& outcomes,
                   const SaturationLimits& limits) {
  // As it was: a sender that is late makes it longer.
  const double seconds =
      static_cast<double>(end.time_ns - begin.time_ns) / kNanosPerSecond;
  Json::Object by_outcome;
  for (const auto& [id, count] : tally.outcomes) {
    by_outcome.emplace(outcomes[id], static_cast<double>(count));
  }
  Json::Object by_kind;
  for (const auto& [kind, latencies] : tally.latencies_by_kind) {
    by_kind.emplace(std::string(Name(kind)), InMillis(latencies));
  }
  Json::Array reasons;
  for (std::string& reason :
       WhySaturated(HealthOf(tally, begin, end, seconds), limits)) {
    reasons.emplace_back(std::move(reason));
  }
  Json::Object fields = {
      {"seconds", segment.seconds},
      {"offered_rate", segment.rate},
      {"planned_calls", static_cast<double>(tally.planned)},
      {"planned_rate", static_cast<double>(tally.planned) / segment.seconds},
      {"good_rate", static_cast<double>(tally.good_in_time) / segment.seconds},
      {"refused_rate", static_cast<double>(tally.refused) / segment.seconds},
      {"refused_with_retry_info",
       static_cast<double>(tally.refused_with_retry_info)},
      {"outcomes", std::move(by_outcome)},
      {"latency_ms", InMillis(tally.latencies)},
      {"refusal_latency_ms", InMillis(tally.refusal_latencies)},
      {"latency_ms_by_kind", std::move(by_kind)},
      {"send_lag_ms", InMillis(tally.lags)},
      {"noise_ms",
       InMillis(LateNanos(result.noise, begin.time_ns, end.time_ns))},
      {"bytes", static_cast<double>(tally.bytes)},
      {"generator",
       Cost(end.generator.cpu_seconds - begin.generator.cpu_seconds, seconds,
            tally)},
      {"void", std::move(reasons)}};
  if (begin.server.has_value() && end.server.has_value()) {
    fields.emplace("server",
                   Cost(end.server->cpu_seconds - begin.server->cpu_seconds,
                        seconds, tally));
  }
  return fields;
}

double MaxLateMillis(const std::vector<NoiseMeter::Sample>& samples,
                     std::int64_t begin_ns, std::int64_t end_ns) {
  const auto first = std::lower_bound(
      samples.begin(), samples.end(), begin_ns,
      [](const auto& sample, std::int64_t at) { return sample.due_ns < at; });
  std::int64_t latest = 0;
  for (auto it = first; it != samples.end() && it->due_ns < end_ns; ++it) {
    latest = std::max(latest, it->late_ns);
  }
  return static_cast<double>(latest) / kNanosPerMilli;
}

// Of calls that take no time.
Json PauseWaits(const Pauses& pauses) {
  const auto at = [&](double percent) {
    return pauses.WaitAt(percent) / kNanosPerMilli;
  };
  return Json::Object{{"p99", at(99)},
                      {"p99.9", at(99.9)},
                      {"p99.99", at(99.99)},
                      {"max", at(100)}};
}

}  // namespace

Json Summarize(const LoadOptions& options, const LoadResult& result,
               const SaturationLimits& limits) {
  const std::vector<std::string> outcomes = result.recorder->Outcomes();
  const std::vector<Tally> tallies = CountSegments(options, result, outcomes);
  Json::Array segments;
  for (std::size_t i = 0; i < options.segments.size(); ++i) {
    segments.push_back(
        SegmentFields(options.segments[i], tallies[i], result.boundaries[i],
                      result.boundaries[i + 1], result, outcomes, limits));
  }
  std::vector<std::int64_t> quiet;
  for (const NoiseMeter::Sample& sample : result.quiet_noise) {
    quiet.push_back(sample.late_ns);
  }
  Json::Object summary = {{"allowed_cpus", AllowedCpus()},
                          {"quiet_noise_ms", InMillis(std::move(quiet))},
                          {"segments", std::move(segments)}};
  if (result.pauses.watched_ns > 0) {
    summary.emplace("pause_wait_ms", PauseWaits(result.pauses));
  }
  return summary;
}

void WriteSamples(const LoadResult& result, std::ostream& out) {
  const std::vector<std::string> outcomes = result.recorder->Outcomes();
  out << "planned_us,lag_us,latency_us,segment,kind,bytes,outcome\n";
  for (std::size_t i = 0; i < result.planned.size(); ++i) {
    const PlannedCall& planned = result.planned[i];
    const Call call = result.recorder->At(i);
    out << planned.arrival.time_ns / kNanosPerMicro << ','
        << call.lag_ns / kNanosPerMicro << ','
        << call.latency_ns / kNanosPerMicro << ',' << planned.arrival.segment
        << ',' << Name(planned.plan.kind) << ',' << call.bytes << ','
        << outcomes[call.outcome] << '\n';
  }
}

void WriteSeries(const LoadResult& result, std::ostream& out) {
  out << "seconds,in_flight,server_resident_bytes,server_cpu_seconds,"
         "generator_resident_bytes,generator_cpu_seconds,noise_max_ms\n";
  for (std::size_t i = 0; i < result.series.size(); ++i) {
    const Reading& reading = result.series[i];
    const Usage server = reading.server.value_or(Usage{});
    const std::int64_t before =
        i > 0 ? result.series[i - 1].time_ns : result.begin_ns;
    out << absl::StrFormat(
        "%.3f,%d,%d,%.2f,%d,%.2f,%.3f\n",
        static_cast<double>(reading.time_ns - result.begin_ns) /
            kNanosPerSecond,
        reading.in_flight, server.resident_bytes, server.cpu_seconds,
        reading.generator.resident_bytes, reading.generator.cpu_seconds,
        MaxLateMillis(result.noise, before, reading.time_ns));
  }
}

}  // namespace tensord::load
