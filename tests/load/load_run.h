// One run of a load against a server.
#ifndef TENSORD_TESTS_LOAD_LOAD_RUN_H_
#define TENSORD_TESTS_LOAD_LOAD_RUN_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/load/arrivals.h"
#include "tests/load/noise.h"
#include "tests/load/pauses.h"
#include "tests/load/recorder.h"
#include "tests/load/usage.h"
#include "tests/load/workload.h"

namespace tensord::load {

struct LoadOptions {
  std::vector<Segment> segments;
  ArrivalProcess process = ArrivalProcess::kPoisson;
  std::uint64_t seed = 1;
  // More are not sent, and the run is void.
  std::int64_t max_in_flight = 20'000;
  // Share of the calls that are given up, within `cancel_within` of their
  // begin.
  double cancel_share = 0;
  absl::Duration cancel_within = absl::Milliseconds(20);
  // How long calls may take to end after the last was sent.
  absl::Duration drain = absl::Seconds(15);
  // How long the machine's noise is measured before the load.
  absl::Duration quiet = absl::Seconds(1);
  // How long all processors are kept busy before that, to see the machine's
  // pauses.
  absl::Duration pauses = absl::ZeroDuration();
  absl::Duration sample_every = absl::Milliseconds(100);
  pid_t server_pid = 0;
  std::string server_pid_file = {};
  // Called when the first segment begins.
  std::function<void()> on_begin = [] {};
};

// The state of both processes at a moment.
struct Reading {
  std::int64_t time_ns = 0;
  std::optional<Usage> server;
  Usage generator;
  // In LoadResult::boundaries alone.
  std::map<pid_t, double> thread_cpu_seconds;
  std::int64_t in_flight = 0;
};

struct PlannedCall {
  Arrival arrival;
  CallPlan plan;
};

struct LoadResult {
  // The clock at the begin of the first segment, which arrivals count from.
  std::int64_t begin_ns = 0;
  std::vector<PlannedCall> planned;
  std::shared_ptr<const Recorder> recorder;
  // At the begin of each segment and at the end of the last.
  std::vector<Reading> boundaries;
  // Regularly, from the begin until all calls were over.
  std::vector<Reading> series;
  Pauses pauses;
  std::vector<NoiseMeter::Sample> quiet_noise;
  std::vector<NoiseMeter::Sample> noise;
};

// Sends what is planned when it is due, whatever became of earlier calls.
LoadResult RunLoad(const std::shared_ptr<Workload>& workload,
                   const LoadOptions& options);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_LOAD_RUN_H_
