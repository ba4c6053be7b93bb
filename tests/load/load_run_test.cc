#include "tests/load/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "tests/client/cpp/real_server.h"
#include "tests/load/summary.h"

namespace tensord::load {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kEverything[] =
    "create,read,get,delete,transform,upload,download,convert";

class LoadRunTest : public RealServerTest {
 protected:
  static WorkloadOptions Workloads(const std::string& mix) {
    return {.mix = *ParseMix(mix),
            .small_sizes = *ParseSizes("8,1KiB"),
            .large_sizes = *ParseSizes("256KiB"),
            .dtypes = *ParseDTypes("float32,bool,float8_e5m2,complex128"),
            .connections = 3,
            .copies = 1,
            .made = 2000};
  }

  std::shared_ptr<Workload> Prepare(const std::string& mix) {
    auto workload = Workload::Prepare(target(), Workloads(mix));
    EXPECT_TRUE(workload.ok()) << workload.status();
    return workload.ok() ? *workload : nullptr;
  }

  static LoadOptions Load(double rate, double seconds) {
    return {.segments = {{rate, seconds}, {rate / 2, seconds}},
            .quiet = absl::Milliseconds(20),
            .sample_every = absl::Milliseconds(20),
            .server_pid = getpid()};
  }

  static std::map<std::string, int> Outcomes(const LoadResult& result) {
    std::map<std::string, int> counts;
    for (std::size_t i = 0; i < result.recorder->size(); ++i) {
      ++counts[result.recorder->Outcomes()[result.recorder->At(i).outcome]];
    }
    return counts;
  }
};

TEST_F(LoadRunTest, MakesEveryKindOfCallAndKeepsEachOne) {
  const auto workload = Prepare(kEverything);
  ASSERT_NE(workload, nullptr);
  const LoadResult result = RunLoad(workload, Load(400, 0.4));
  EXPECT_THAT(Outcomes(result),
              ::testing::ElementsAre(::testing::Pair(
                  "OK", static_cast<int>(result.planned.size()))));
  std::map<CallKind, int> kinds;
  for (std::size_t i = 0; i < result.planned.size(); ++i) {
    ++kinds[result.planned[i].plan.kind];
    const Call call = result.recorder->At(i);
    // From the planned time: what was sent late is late.
    EXPECT_GE(call.latency_ns, call.lag_ns);
    EXPECT_GE(call.lag_ns, 0);
  }
  EXPECT_EQ(kinds.size(), kCallKindNames.size());
  EXPECT_EQ(result.boundaries.size(), 3u);

  workload->Clear();
  const auto left = client().List();
  ASSERT_TRUE(left.ok());
  EXPECT_THAT(left->tensors, IsEmpty());
}

TEST_F(LoadRunTest, SummaryAddsUp) {
  const auto workload = Prepare("create,upload,read");
  ASSERT_NE(workload, nullptr);
  const LoadOptions options = Load(300, 0.3);
  const LoadResult result = RunLoad(workload, options);
  const auto summary = Summarize(options, result, SaturationLimits{});
  const auto& segments = summary.fields().at("segments").items();
  ASSERT_EQ(segments.size(), 2u);
  double planned = 0;
  double bytes = 0;
  for (const auto& segment : segments) {
    const auto& fields = segment.fields();
    planned += fields.at("planned_calls").number();
    bytes += fields.at("bytes").number();
    const auto& latency = fields.at("latency_ms").fields();
    EXPECT_LE(latency.at("p50").number(), latency.at("p99").number());
    EXPECT_LE(latency.at("p99.99").number(), latency.at("max").number());
    EXPECT_EQ(latency.at("count").number(),
              fields.at("outcomes").fields().at("OK").number());
    EXPECT_TRUE(fields.contains("server"));
    EXPECT_TRUE(fields.contains("void"));
  }
  EXPECT_EQ(planned, static_cast<double>(result.planned.size()));
  double expected_bytes = 0;
  for (std::size_t i = 0; i < result.planned.size(); ++i) {
    expected_bytes += static_cast<double>(result.recorder->At(i).bytes);
  }
  EXPECT_EQ(bytes, expected_bytes);
  EXPECT_GT(bytes, 0);

  std::ostringstream samples;
  WriteSamples(result, samples);
  const std::string text = samples.str();
  EXPECT_EQ(
      static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')),
      result.planned.size() + 1);
  std::ostringstream series;
  WriteSeries(result, series);
  EXPECT_THAT(series.str(), HasSubstr("noise_max_ms\n"));
}

TEST_F(LoadRunTest, RefusalsAreCountedAndNotRepeated) {
  ServerOptions options = Options();
  options.max_calls = 1;
  Restart(options);
  const auto workload = Prepare("upload,download");
  ASSERT_NE(workload, nullptr);
  const LoadOptions load = Load(3000, 0.3);
  const LoadResult result = RunLoad(workload, load);
  const auto outcomes = Outcomes(result);
  ASSERT_TRUE(outcomes.contains("RESOURCE_EXHAUSTED/TOO_MANY_REQUESTS"));
  EXPECT_TRUE(outcomes.contains("OK"));
  const auto summary = Summarize(load, result, SaturationLimits{});
  double with_retry_info = 0;
  for (const auto& segment : summary.fields().at("segments").items()) {
    with_retry_info += segment.fields().at("refused_with_retry_info").number();
  }
  double refused = 0;
  for (const auto& [outcome, count] : outcomes) {
    // Of the server's, and of the clients that it told.
    if (outcome.starts_with("RESOURCE_EXHAUSTED/")) refused += count;
  }
  EXPECT_EQ(with_retry_info, refused);
}

TEST_F(LoadRunTest, GivesCallsUp) {
  const auto workload = Prepare("upload,download,convert");
  ASSERT_NE(workload, nullptr);
  LoadOptions options = Load(500, 0.3);
  options.cancel_share = 1;
  options.cancel_within = absl::ZeroDuration();
  EXPECT_THAT(Outcomes(RunLoad(workload, options)),
              Contains(::testing::Key("CANCELLED")));
}

TEST_F(LoadRunTest, CallsBeyondTheBoundAreNotSentAndVoidTheRun) {
  const auto workload = Prepare("upload");
  ASSERT_NE(workload, nullptr);
  LoadOptions options = Load(4000, 0.2);
  options.max_in_flight = 1;
  const LoadResult result = RunLoad(workload, options);
  EXPECT_THAT(Outcomes(result), Contains(::testing::Key("NOT_SENT")));
  const auto summary = Summarize(options, result, SaturationLimits{});
  const auto& first = summary.fields().at("segments").items().front();
  EXPECT_THAT(first.fields().at("void").ToString(),
              HasSubstr("--max_in_flight"));
}

TEST_F(LoadRunTest, TensorsThatAreGoneAreStoredAgain) {
  const auto workload = Prepare("read,download");
  ASSERT_NE(workload, nullptr);
  // As if the server had been started anew.
  workload->Clear();
  LoadOptions options = Load(400, 0.3);
  options.segments = {{400, 1}};
  const LoadResult result = RunLoad(workload, options);
  const auto outcomes = Outcomes(result);
  EXPECT_TRUE(outcomes.contains("NOT_FOUND/TENSOR_NOT_FOUND"));
  EXPECT_GT(outcomes.at("OK"), outcomes.at("NOT_FOUND/TENSOR_NOT_FOUND"));
}

TEST(WorkloadTest, KnowsItsKinds) {
  EXPECT_TRUE(ParseMix(kEverything).ok());
  EXPECT_FALSE(ParseMix("reed=1").ok());
  EXPECT_FALSE(ParseMix("").ok());
}

TEST(WorkloadTest, TellsThatNobodyListens) {
  const auto workload =
      Workload::Prepare("127.0.0.1:1", {.mix = *ParseMix("get"),
                                        .small_sizes = *ParseSizes("8"),
                                        .large_sizes = *ParseSizes("8"),
                                        .dtypes = *ParseDTypes("bool")});
  EXPECT_EQ(workload.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(workload.status().message()),
              HasSubstr("connecting"));
}

}  // namespace
}  // namespace tensord::load
