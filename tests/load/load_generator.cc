// Puts an open-loop load on a server and writes what became of it.
//
//   tensord_load --target=localhost:50051 --rates=500x2,2000x10 --out=FOLDER
//
// Says `sending` on the standard error stream when it begins, and writes
// FOLDER/summary.json, samples.csv (a line for each call) and series.csv
// (a line every 100 ms). Exit code 0 if the load was put on, even if the run is
// void; 1 if it could not be, or not all calls ended; 2 for flags that say
// nothing.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/load/load_run.h"
#include "tests/load/summary.h"
#include "tests/load/workload.h"

ABSL_FLAG(std::string, target, "localhost:50051",
          "The server: host:port or unix:PATH.");
ABSL_FLAG(std::string, rates, "500x2,2000x10",
          "Calls per second and seconds, one segment after the other: "
          "RATExSECONDS,...");
ABSL_FLAG(std::string, arrivals, "poisson",
          "poisson, independent of each other, or fixed, at equal distances.");
ABSL_FLAG(std::string, mix, "read=50,get=20,create=15,delete=10,transform=5",
          "Kinds of calls and how often each is made: create, read, get, "
          "delete and transform are of small tensors; upload, download and "
          "convert of large ones.");
ABSL_FLAG(std::string, small_sizes, "256=30,1KiB=50,4KiB=20",
          "Sizes in bytes of small tensors, and how often each comes.");
ABSL_FLAG(std::string, large_sizes, "256KiB=60,1MiB=30,8MiB=10",
          "Sizes in bytes of large tensors, and how often each comes.");
ABSL_FLAG(std::string, dtypes, "float32=50,float16=20,bfloat16=20,int64=10",
          "Dtypes of tensors, and how often each comes.");
ABSL_FLAG(int, connections, 8, "Connections, of a client each; 1 to 1000.");
ABSL_FLAG(std::uint64_t, seed, 1, "The same seed plans the same calls.");
ABSL_FLAG(double, cancel_share, 0,
          "Share of the calls, 0 to 1, that are given up within 20 ms.");
ABSL_FLAG(double, timeout_seconds, 10, "Bound on each call.");
ABSL_FLAG(int, max_in_flight, 20000,
          "Calls under way beyond which others are not sent; that makes the "
          "run void.");
ABSL_FLAG(double, quiet_seconds, 1,
          "How long the machine's noise is measured before the load.");
ABSL_FLAG(double, pauses_seconds, 0,
          "How long all of the machine's processors are kept busy before that, "
          "to see when they are taken away; 0 for not at all.");
ABSL_FLAG(int, server_pid, 0,
          "The server's process, if it is on this machine: what it takes is "
          "measured.");
ABSL_FLAG(std::string, server_pid_file, "",
          "A file with the server's process instead, which may change.");
ABSL_FLAG(int, made, 1024,
          "Names that creates, uploads and transforms use in turn, each "
          "replacing what has the name: bounds what they leave in the server. "
          "Calls of one name at the same time are refused.");
ABSL_FLAG(std::string, prefix, "load/",
          "What the names of tensors begin with; two generators at a time "
          "need two.");
ABSL_FLAG(bool, clear, true, "Deletes the tensors at the end.");
ABSL_FLAG(std::string, out, "load", "The folder that is written into.");

namespace tensord::load {
namespace {

constexpr int kMaxConnections = 1000;

absl::StatusOr<WorkloadOptions> WorkloadFromFlags() {
  auto mix = ParseMix(absl::GetFlag(FLAGS_mix));
  if (!mix.ok()) return mix.status();
  auto small_sizes = ParseSizes(absl::GetFlag(FLAGS_small_sizes));
  if (!small_sizes.ok()) return small_sizes.status();
  auto large_sizes = ParseSizes(absl::GetFlag(FLAGS_large_sizes));
  if (!large_sizes.ok()) return large_sizes.status();
  auto dtypes = ParseDTypes(absl::GetFlag(FLAGS_dtypes));
  if (!dtypes.ok()) return dtypes.status();
  const int connections = absl::GetFlag(FLAGS_connections);
  if (connections < 1 || connections > kMaxConnections) {
    return absl::InvalidArgumentError(
        absl::StrCat("--connections: ", connections, " is not 1 to 1000"));
  }
  if (absl::GetFlag(FLAGS_made) < 1) {
    return absl::InvalidArgumentError("--made has to be above 0");
  }
  return WorkloadOptions{
      .mix = *std::move(mix),
      .small_sizes = *std::move(small_sizes),
      .large_sizes = *std::move(large_sizes),
      .dtypes = *std::move(dtypes),
      .connections = connections,
      .made = absl::GetFlag(FLAGS_made),
      .prefix = absl::GetFlag(FLAGS_prefix),
      .timeout = absl::Seconds(absl::GetFlag(FLAGS_timeout_seconds))};
}

absl::StatusOr<LoadOptions> LoadFromFlags() {
  auto segments = ParseSegments(absl::GetFlag(FLAGS_rates));
  if (!segments.ok()) return segments.status();
  const auto process = ParseArrivalProcess(absl::GetFlag(FLAGS_arrivals));
  if (!process.ok()) return process.status();
  return LoadOptions{
      .segments = *std::move(segments),
      .process = *process,
      .seed = absl::GetFlag(FLAGS_seed),
      .max_in_flight = absl::GetFlag(FLAGS_max_in_flight),
      .cancel_share = absl::GetFlag(FLAGS_cancel_share),
      // Longer than any call of a small tensor.
      .drain = absl::Seconds(absl::GetFlag(FLAGS_timeout_seconds) + 5),
      .quiet = absl::Seconds(absl::GetFlag(FLAGS_quiet_seconds)),
      .pauses = absl::Seconds(absl::GetFlag(FLAGS_pauses_seconds)),
      .server_pid = absl::GetFlag(FLAGS_server_pid),
      .server_pid_file = absl::GetFlag(FLAGS_server_pid_file),
      .on_begin = [] { std::cerr << "sending" << std::endl; }};
}

absl::Status Write(const LoadOptions& options, const LoadResult& result) {
  const std::filesystem::path folder = absl::GetFlag(FLAGS_out);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::ofstream summary(folder / "summary.json");
  std::ofstream samples(folder / "samples.csv");
  std::ofstream series(folder / "series.csv");
  summary << Summarize(options, result, SaturationLimits{}).ToString() << '\n';
  WriteSamples(result, samples);
  WriteSeries(result, series);
  for (std::ofstream* file : {&summary, &samples, &series}) {
    file->close();
    if (!*file) {
      return absl::UnavailableError(
          absl::StrCat(folder.string(), " can not be written into"));
    }
  }
  return absl::OkStatus();
}

int Fail(const absl::Status& status, int code) {
  std::cerr << "tensord_load: " << status << std::endl;
  return code;
}

int Main() {
  auto workload_options = WorkloadFromFlags();
  if (!workload_options.ok()) return Fail(workload_options.status(), 2);
  const auto options = LoadFromFlags();
  if (!options.ok()) return Fail(options.status(), 2);
  const auto workload = Workload::Prepare(absl::GetFlag(FLAGS_target),
                                          *std::move(workload_options));
  if (!workload.ok()) return Fail(workload.status(), 1);
  const LoadResult result = RunLoad(*workload, *options);
  const absl::Status written = Write(*options, result);
  if (!written.ok()) return Fail(written, 1);
  if (result.recorder->in_flight() > 0) {
    std::cerr << "tensord_load: " << result.recorder->in_flight()
              << " calls have not ended" << std::endl;
    // Threads of the client may be in the middle of them.
    _exit(1);
  }
  if (absl::GetFlag(FLAGS_clear)) (*workload)->Clear();
  return 0;
}

}  // namespace
}  // namespace tensord::load

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Puts an open-loop load on a tensord server and writes what became of "
      "it.");
  const auto words = absl::ParseCommandLine(argc, argv);
  if (words.size() > 1) {
    std::cerr << "tensord_load: " << words[1] << ": there are only flags"
              << std::endl;
    return 2;
  }
  return tensord::load::Main();
}
