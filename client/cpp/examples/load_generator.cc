// Calls a server as fast as it answers, or at a rate, and tells how long the
// calls took.
//
// Without --rate each of --workers makes its next call when the last one is
// over (a closed loop): that finds the throughput. With --rate calls are due at
// even intervals whatever the server does (an open loop), and a call's time
// counts from when it was due, even if all workers were busy then: that finds
// how long users wait.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tensord/client.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server");
ABSL_FLAG(
    std::string, call, "put",
    "What to do: put (float32 stored as bfloat16), get (the way back), or "
    "convert (the same without storing it)");
ABSL_FLAG(std::size_t, elements, 65536, "Elements of each array");
ABSL_FLAG(int, workers, 4, "Most calls under way at a time");
ABSL_FLAG(double, rate, 0, "Calls per second in all; 0: as many as there can");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(5), "How long calls begin");

namespace {

// One call, which may fail.
using Call = std::function<absl::Status()>;

struct Result {
  std::vector<absl::Duration> latencies;
  std::size_t failed = 0;
  absl::Status first_error;
};

// The calls of a worker, with memory of its own. INVALID_ARGUMENT for an
// unknown kind.
absl::StatusOr<Call> MakeCall(const std::string& kind,
                              const tensord::Client& client,
                              std::size_t elements, int worker) {
  std::vector<float> values(elements, 1.5f);
  const tensord::CreateOptions stored = {.id = absl::StrCat("load/", worker),
                                         .dtype = tensord::DType::kBFloat16,
                                         .ttl = absl::Minutes(1),
                                         .replace = true};
  if (kind == "put") {
    return [=] { return client.Put<float>(values, {-1}, stored).status(); };
  }
  if (kind == "get") {
    auto put = client.Put<float>(values, {-1}, stored);
    if (!put.ok()) return put.status();
    const auto tensor =
        std::make_shared<tensord::RemoteTensor>(*std::move(put));
    return [=]() mutable { return tensor->GetInto<float>(values); };
  }
  if (kind == "convert") {
    std::vector<tensord::BFloat16> converted(elements);
    return [=]() mutable {
      return client.Convert(tensord::ViewOf(values), stored.dtype.value(),
                            tensord::Overflow::kTorch, converted.data(),
                            converted.size() * sizeof(tensord::BFloat16));
    };
  }
  return absl::InvalidArgumentError("--call=" + kind +
                                    " is not put, get or convert");
}

// Makes calls until `end`; `next` counts those of all workers.
Result Work(const Call& call, absl::Time start, absl::Time end, double rate,
            std::atomic<std::int64_t>& next) {
  Result result;
  for (;;) {
    absl::Time due = absl::Now();
    if (rate > 0) {
      due = start + absl::Seconds(static_cast<double>(next++) / rate);
      if (due < end) absl::SleepFor(due - absl::Now());
    }
    if (due >= end) return result;
    const absl::Status status = call();
    if (status.ok()) {
      result.latencies.push_back(absl::Now() - due);
    } else if (result.failed++ == 0) {
      result.first_error = status;
    }
  }
}

// REQUIRES: `sorted` is not empty.
absl::Duration Percentile(const std::vector<absl::Duration>& sorted,
                          double percent) {
  const double rank =
      std::ceil(percent / 100 * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

int Fail(const absl::Status& status) {
  std::cerr << "load_generator: "
            << status.ToString(absl::StatusToStringMode::kWithNoExtraData)
            << '\n';
  return EXIT_FAILURE;
}

void Print(Result result, double seconds, std::size_t elements) {
  std::vector<absl::Duration>& latencies = result.latencies;
  std::sort(latencies.begin(), latencies.end());
  const double per_second = static_cast<double>(latencies.size()) / seconds;
  absl::PrintF(
      "%d calls in %.2f s, %d failed: %.1f per second, %.1f MB/s of float32\n",
      latencies.size(), seconds, result.failed, per_second,
      per_second * static_cast<double>(elements * sizeof(float)) / 1e6);
  if (latencies.empty()) return;
  for (const double percent : {50.0, 90.0, 99.0, 99.9, 100.0}) {
    absl::PrintF("p%-5g %9.3f ms\n", percent,
                 absl::ToDoubleMilliseconds(Percentile(latencies, percent)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Measures how long calls of a tensord server take under load.\n"
      "load_generator --target=localhost:50051 --call=put --rate=200");
  absl::ParseCommandLine(argc, argv);
  const double rate = absl::GetFlag(FLAGS_rate);
  const std::size_t elements = absl::GetFlag(FLAGS_elements);
  const int workers = absl::GetFlag(FLAGS_workers);
  if (workers < 1 || !(rate >= 0)) {
    return Fail(absl::InvalidArgumentError(
        "--workers has to be positive, and --rate not negative"));
  }
  const auto client = tensord::Client::Connect(absl::GetFlag(FLAGS_target));
  if (!client.ok()) return Fail(client.status());
  std::vector<Call> calls;
  for (int worker = 0; worker < workers; ++worker) {
    auto call = MakeCall(absl::GetFlag(FLAGS_call), *client, elements, worker);
    if (!call.ok()) return Fail(call.status());
    // Once, for connections and memory that the first call pays for.
    if (absl::Status status = (*call)(); !status.ok()) return Fail(status);
    calls.push_back(*std::move(call));
  }

  std::vector<Result> results(calls.size());
  std::atomic<std::int64_t> next = 0;
  const absl::Time start = absl::Now();
  const absl::Time end = start + absl::GetFlag(FLAGS_duration);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      threads.emplace_back(
          [&, i] { results[i] = Work(calls[i], start, end, rate, next); });
    }
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);

  Result all;
  for (const Result& result : results) {
    all.latencies.insert(all.latencies.end(), result.latencies.begin(),
                         result.latencies.end());
    all.failed += result.failed;
    if (all.first_error.ok()) all.first_error = result.first_error;
  }
  Print(all, seconds, elements);
  return all.failed == 0 ? EXIT_SUCCESS : Fail(all.first_error);
}
