#include "tests/load/load_run.h"

#include <unistd.h>

#include <atomic>
#include <queue>
#include <random>
#include <thread>
#include <utility>

namespace tensord::load {
namespace {

// Reads both processes; used by one thread at a time.
class Observer {
 public:
  Observer(const LoadOptions& options, const Recorder& recorder)
      : server_(options.server_pid, options.server_pid_file),
        recorder_(recorder) {}

  Reading Read() {
    return {.time_ns = NowNanos(),
            .server = server_.Read(),
            .generator = UsageOf(getpid()).value_or(Usage{}),
            .thread_cpu_seconds = {},
            .in_flight = recorder_.in_flight()};
  }

  // Takes some hundred microseconds, which calls would wait for.
  Reading ReadWithThreads() {
    Reading reading = Read();
    reading.thread_cpu_seconds = ThreadCpuSeconds();
    return reading;
  }

 private:
  ServerUsage server_;
  const Recorder& recorder_;
};

// Reads regularly in a thread of its own, until it is destroyed.
class Sampler {
 public:
  Sampler(const LoadOptions& options, const Recorder& recorder)
      : observer_(options, recorder),
        period_ns_(absl::ToInt64Nanoseconds(options.sample_every)),
        thread_([this] { Run(); }) {}
  ~Sampler() {
    if (thread_.joinable()) thread_.join();
  }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  std::vector<Reading> Stop() {
    stops_ = true;
    thread_.join();
    return std::move(readings_);
  }

 private:
  void Run() {
    for (std::int64_t due = NowNanos(); !stops_; due += period_ns_) {
      SleepUntil(due);
      readings_.push_back(observer_.Read());
    }
  }

  Observer observer_;
  const std::int64_t period_ns_;
  std::atomic<bool> stops_{false};
  std::vector<Reading> readings_;
  std::thread thread_;
};

// Gives calls up when their time has come. Used by one thread.
class Canceller {
 public:
  explicit Canceller(const LoadOptions& options)
      : share_(options.cancel_share),
        within_ns_(static_cast<double>(
            absl::ToInt64Nanoseconds(options.cancel_within))),
        random_(options.seed) {}

  // What a call that begins now is told.
  CallOptions Choose(std::int64_t now_ns) {
    if (share_ <= 0 || uniform_(random_) >= share_) return {};
    Cancellation cancellation;
    due_.push(
        {now_ns + static_cast<std::int64_t>(uniform_(random_) * within_ns_),
         cancellation});
    return {.cancellation = cancellation};
  }

  // Sleeps, and gives up what is due meanwhile.
  void SleepUntil(std::int64_t time_ns) {
    while (!due_.empty() && due_.top().time_ns <= time_ns) {
      load::SleepUntil(due_.top().time_ns);
      due_.top().cancellation.Cancel();
      due_.pop();
    }
    load::SleepUntil(time_ns);
  }

 private:
  struct Due {
    std::int64_t time_ns;
    Cancellation cancellation;
    bool operator<(const Due& other) const { return time_ns > other.time_ns; }
  };

  const double share_;
  const double within_ns_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> uniform_{0, 1};
  std::priority_queue<Due> due_;
};

std::vector<PlannedCall> PlanCalls(Workload& workload,
                                   const LoadOptions& options) {
  Random random(options.seed);
  std::vector<PlannedCall> planned;
  for (const Arrival& arrival :
       PlanArrivals(options.segments, options.process, random)) {
    planned.push_back({arrival, workload.Plan(random)});
  }
  return planned;
}

std::vector<std::int64_t> SegmentBegins(const LoadOptions& options) {
  std::vector<std::int64_t> begins = {0};
  double seconds = 0;
  for (const Segment& segment : options.segments) {
    seconds += segment.seconds;
    begins.push_back(static_cast<std::int64_t>(seconds * 1e9));
  }
  return begins;
}

std::vector<NoiseMeter::Sample> QuietNoise(absl::Duration time) {
  NoiseMeter meter;
  SleepUntil(NowNanos() + absl::ToInt64Nanoseconds(time));
  return meter.Stop();
}

class Sender {
 public:
  Sender(std::shared_ptr<Workload> workload, const LoadOptions& options,
         std::shared_ptr<Recorder> recorder)
      : workload_(std::move(workload)),
        options_(options),
        recorder_(std::move(recorder)),
        canceller_(options),
        observer_(options, *recorder_) {}

  // Fills begin_ns and boundaries from what is planned.
  void SendAll(LoadResult& result) {
    WakeExactly();
    result.begin_ns = NowNanos();
    const std::vector<std::int64_t> begins = SegmentBegins(options_);
    std::size_t number = 0;
    for (std::size_t segment = 0; segment + 1 < begins.size(); ++segment) {
      result.boundaries.push_back(observer_.ReadWithThreads());
      for (; number < result.planned.size() &&
             result.planned[number].arrival.segment == segment;
           ++number) {
        Send(number, result);
      }
      canceller_.SleepUntil(result.begin_ns + begins[segment + 1]);
    }
    result.boundaries.push_back(observer_.ReadWithThreads());
  }

  void WaitForTheRest() {
    const std::int64_t until =
        NowNanos() + absl::ToInt64Nanoseconds(options_.drain);
    constexpr std::int64_t kPoll = 5'000'000;
    while (recorder_->in_flight() > 0 && NowNanos() < until) {
      canceller_.SleepUntil(NowNanos() + kPoll);
    }
  }

 private:
  void Send(std::size_t number, const LoadResult& result) {
    const std::int64_t due =
        result.begin_ns + result.planned[number].arrival.time_ns;
    std::int64_t now = NowNanos();
    if (now < due) {
      canceller_.SleepUntil(due);
      now = NowNanos();
    }
    if (recorder_->in_flight() >= options_.max_in_flight) {
      recorder_->NotSent(number);
      return;
    }
    recorder_->Sent(number, now - due);
    workload_->Start(result.planned[number].plan, canceller_.Choose(now),
                     [recorder = recorder_, number, due](const Outcome& end) {
                       recorder->Ended(number, NowNanos() - due, end.status,
                                       end.bytes);
                     });
  }

  const std::shared_ptr<Workload> workload_;
  const LoadOptions& options_;
  const std::shared_ptr<Recorder> recorder_;
  Canceller canceller_;
  Observer observer_;
};

}  // namespace

LoadResult RunLoad(const std::shared_ptr<Workload>& workload,
                   const LoadOptions& options) {
  LoadResult result;
  result.planned = PlanCalls(*workload, options);
  const auto recorder = std::make_shared<Recorder>(result.planned.size());
  result.recorder = recorder;
  if (options.pauses > absl::ZeroDuration()) {
    result.pauses = FindPauses(options.pauses);
  }
  result.quiet_noise = QuietNoise(options.quiet);
  Sender sender(workload, options, recorder);
  NoiseMeter noise;
  Sampler sampler(options, *recorder);
  options.on_begin();
  sender.SendAll(result);
  sender.WaitForTheRest();
  result.series = sampler.Stop();
  result.noise = noise.Stop();
  return result;
}

}  // namespace tensord::load
