#include "server/options.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/memory_size.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<ProgramOptions> Parse(std::vector<std::string> arguments,
                                     const Variables& variables = {}) {
  std::vector<const char*> argv = {"tensord"};
  for (const std::string& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  return ParseOptions(
      static_cast<int>(argv.size()), argv.data(),
      [&](const std::string& name) -> std::optional<std::string> {
        const auto it = variables.find(name);
        if (it == variables.end()) return std::nullopt;
        return it->second;
      });
}

ProgramOptions MustParse(std::vector<std::string> arguments,
                         const Variables& variables = {}) {
  auto options = Parse(std::move(arguments), variables);
  EXPECT_TRUE(options.ok()) << options.status();
  return options.ok() ? *options : ProgramOptions();
}

std::string Message(const absl::StatusOr<ProgramOptions>& options) {
  return std::string(options.status().message());
}

TEST(ParseOptionsTest, DefaultsAreSafe) {
  const ProgramOptions options = MustParse({});
  EXPECT_EQ(options.action, ProgramOptions::Action::kServe);
  EXPECT_THAT(options.server.listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(options.server.metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(options.server.memory_limit_bytes,
            ToBytes({.value = 75, .is_percent = true}, TotalMemoryBytes()));
  EXPECT_EQ(options.server.max_tensor_bytes, options.server.memory_limit_bytes);
  EXPECT_EQ(MemorySizeString(options.server.cuda_memory_limit), "90%");
  EXPECT_EQ(options.server.tls_cert_file, "");
  EXPECT_EQ(options.server.access_log, LogFormat::kText);
  EXPECT_EQ(options.log_format, LogFormat::kText);
  EXPECT_EQ(options.drain, absl::Seconds(20));
}

// Every flag, two values that differ from its default, and how to see them.
struct FlagCase {
  std::string flag;
  std::string variable;
  std::vector<std::string> values;
  std::function<std::string(const ProgramOptions&)> seen;
  // What has to be given with it.
  std::vector<std::string> with = {};
};

std::vector<FlagCase> FlagCases() {
  const auto server = [](std::string ServerOptions::*field) {
    return [field](const ProgramOptions& o) { return o.server.*field; };
  };
  return {
      {"listen",
       "TENSORD_LISTEN",
       {"127.0.0.1:1", "unix:/a"},
       [](const ProgramOptions& o) { return o.server.listen.at(0); }},
      {"metrics_listen",
       "TENSORD_METRICS_LISTEN",
       {"0.0.0.0:1", "[::1]:0"},
       server(&ServerOptions::metrics_listen)},
      {"memory_limit",
       "TENSORD_MEMORY_LIMIT",
       {"1000000", "2000000"},
       [](const ProgramOptions& o) {
         return std::to_string(o.server.memory_limit_bytes);
       }},
      {"cuda_memory_limit",
       "TENSORD_CUDA_MEMORY_LIMIT",
       {"50%", "2000000"},
       [](const ProgramOptions& o) {
         return MemorySizeString(o.server.cuda_memory_limit);
       }},
      {"max_tensor_bytes",
       "TENSORD_MAX_TENSOR_BYTES",
       {"100", "200"},
       [](const ProgramOptions& o) {
         return std::to_string(o.server.max_tensor_bytes);
       }},
      {"tls_cert",
       "TENSORD_TLS_CERT",
       {"a", "b"},
       server(&ServerOptions::tls_cert_file)},
      {"tls_key",
       "TENSORD_TLS_KEY",
       {"a", "b"},
       server(&ServerOptions::tls_key_file)},
      {"tls_client_ca",
       "TENSORD_TLS_CLIENT_CA",
       {"a", "b"},
       server(&ServerOptions::tls_client_ca_file)},
      {"insecure",
       "TENSORD_INSECURE",
       {"true", "1"},
       [](const ProgramOptions&) { return "1"; },
       {"--listen=0.0.0.0:1"}},
      {"log_format",
       "TENSORD_LOG_FORMAT",
       {"json"},
       [](const ProgramOptions& o) {
         return o.log_format == LogFormat::kJson &&
                        o.server.access_log == LogFormat::kJson &&
                        o.server.log_format == LogFormat::kJson
                    ? "json"
                    : "text";
       }},
      {"access_log",
       "TENSORD_ACCESS_LOG",
       {"false"},
       [](const ProgramOptions& o) {
         return o.server.access_log.has_value() ? "true" : "false";
       }},
      {"upload_resume_seconds",
       "TENSORD_UPLOAD_RESUME_SECONDS",
       {"0", "3600"},
       [](const ProgramOptions& o) {
         return std::to_string(
             absl::ToInt64Seconds(o.server.upload_resume_window));
       }},
      {"max_tensors",
       "TENSORD_MAX_TENSORS",
       {"7", "5000000000"},
       [](const ProgramOptions& o) {
         return absl::StrCat(o.server.max_tensors);
       }},
      {"tenant_max_tensors",
       "TENSORD_TENANT_MAX_TENSORS",
       {"7", "5000000000"},
       [](const ProgramOptions& o) {
         return absl::StrCat(o.server.tenant_limits.max_tensors);
       }},
      {"eviction",
       "TENSORD_EVICTION",
       {"lru", "lru"},
       [](const ProgramOptions& o) -> std::string {
         return o.server.evicts ? "lru" : "none";
       }},
      {"max_queue_delay_milliseconds",
       "TENSORD_MAX_QUEUE_DELAY_MILLISECONDS",
       {"0", "3600000"},
       [](const ProgramOptions& o) {
         return absl::StrCat(
             absl::ToInt64Milliseconds(o.server.max_queue_delay));
       }},
      {"drain_seconds",
       "TENSORD_DRAIN_SECONDS",
       {"0", "3600"},
       [](const ProgramOptions& o) {
         return std::to_string(absl::ToInt64Seconds(o.drain));
       }},
      {"listener_watch_seconds",
       "TENSORD_LISTENER_WATCH_SECONDS",
       {"0", "3600"},
       [](const ProgramOptions& o) {
         return std::to_string(absl::ToInt64Seconds(o.listener_watch));
       }},
  };
}

void ExpectSeen(const FlagCase& one, const std::string& value,
                std::vector<std::string> arguments,
                const Variables& variables) {
  arguments.insert(arguments.end(), one.with.begin(), one.with.end());
  const ProgramOptions options = MustParse(arguments, variables);
  const std::string expected = value == "true" ? "1" : value;
  EXPECT_EQ(one.seen(options), expected) << one.flag;
}

TEST(ParseOptionsTest, ReadsEveryFlagInEveryWay) {
  for (const FlagCase& one : FlagCases()) {
    const bool is_switch = one.flag == "insecure" || one.flag == "access_log";
    for (const std::string& value : one.values) {
      ExpectSeen(one, value, {"--" + one.flag + "=" + value}, {});
      if (!is_switch) ExpectSeen(one, value, {"--" + one.flag, value}, {});
      ExpectSeen(one, value, {}, {{one.variable, value}});
    }
  }
}

TEST(ParseOptionsTest, FlagsWinOverVariables) {
  for (const FlagCase& one : FlagCases()) {
    ExpectSeen(one, one.values.front(),
               {"--" + one.flag + "=" + one.values.front()},
               {{one.variable, one.values.back()}});
  }
}

TEST(ParseOptionsTest, TheLastOfARepeatedFlagCounts) {
  for (const FlagCase& one : FlagCases()) {
    if (one.flag == "listen") continue;
    ExpectSeen(one, one.values.back(),
               {"--" + one.flag + "=" + one.values.front(),
                "--" + one.flag + "=" + one.values.back()},
               {});
  }
}

TEST(ParseOptionsTest, EmptyVariablesCountAsNotSet) {
  Variables variables;
  for (const FlagCase& one : FlagCases()) variables[one.variable] = "";
  const ProgramOptions options = MustParse({}, variables);
  EXPECT_THAT(options.server.listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(options.server.metrics_listen, "127.0.0.1:9464");
  EXPECT_GT(options.server.memory_limit_bytes, 1 << 20);
  EXPECT_EQ(options.drain, absl::Seconds(20));
}

TEST(ParseOptionsTest, NothingIsLeftOfAnEarlierCall) {
  for (const FlagCase& one : FlagCases()) {
    std::vector<std::string> arguments = one.with;
    arguments.push_back("--" + one.flag + "=" + one.values.front());
    MustParse(arguments);
  }
  const ProgramOptions options = MustParse({});
  EXPECT_THAT(options.server.listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(options.server.metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(options.server.max_tensor_bytes, options.server.memory_limit_bytes);
  EXPECT_EQ(options.server.tls_cert_file, "");
  EXPECT_TRUE(options.server.access_log.has_value());
  EXPECT_FALSE(Parse({"--listen=0.0.0.0:1"}).ok());
}

TEST(ParseOptionsTest, LeavesVariablesOfOthersAlone) {
  MustParse({}, {{"TENSORD_PORT", "tcp://10.0.0.1:50051"},
                 {"TENSORD_SERVICE_HOST", "10.0.0.1"}});
}

TEST(ParseOptionsTest, AddsUpAddresses) {
  const std::vector<std::string> all = {"127.0.0.1:1", "unix:/a", "[::1]:2"};
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {"--listen=127.0.0.1:1", "--listen", "unix:/a", "--listen=[::1]:2"},
           {"--listen=127.0.0.1:1,unix:/a,[::1]:2"},
           {"--listen=127.0.0.1:1,unix:/a", "--access_log",
            "--listen=[::1]:2"}}) {
    EXPECT_EQ(MustParse(arguments).server.listen, all);
  }
  EXPECT_EQ(MustParse({}, {{"TENSORD_LISTEN", "127.0.0.1:1,unix:/a,[::1]:2"}})
                .server.listen,
            all);
}

TEST(ParseOptionsTest, AddressesOnTheCommandLineReplaceTheVariable) {
  EXPECT_THAT(MustParse({"--listen=unix:/a"}, {{"TENSORD_LISTEN", "unix:/b"}})
                  .server.listen,
              ElementsAre("unix:/a"));
}

TEST(ParseOptionsTest, ServersOnFreePortsShareNoMetricsPort) {
  EXPECT_EQ(MustParse({"--listen=127.0.0.1:0"}).server.metrics_listen,
            "127.0.0.1:0");
  EXPECT_EQ(MustParse({"--listen=unix:/a"}).server.metrics_listen,
            "127.0.0.1:0");
  EXPECT_EQ(MustParse({"--listen=unix:/a,127.0.0.1:1"}).server.metrics_listen,
            "127.0.0.1:9464");
  EXPECT_EQ(MustParse({"--metrics_listen=none"}).server.metrics_listen, "");
}

TEST(ParseOptionsTest, SwitchesGoOnAndOff) {
  EXPECT_FALSE(MustParse({"--noaccess_log"}).server.access_log.has_value());
  EXPECT_TRUE(MustParse({"--noaccess_log", "--access_log"})
                  .server.access_log.has_value());
  EXPECT_TRUE(Parse({"--insecure", "--listen=0.0.0.0:1"}).ok());
  EXPECT_FALSE(Parse({"--noinsecure", "--listen=0.0.0.0:1"}).ok());
}

TEST(ParseOptionsTest, OpenAddressesNeedTlsOrConsent) {
  for (const std::string open :
       {"0.0.0.0:1", "[::]:1", "10.1.2.3:0", "example:1",
        "unix:/a,127.0.0.1:1,0.0.0.0:1"}) {
    const auto options = Parse({"--listen=" + open});
    ASSERT_FALSE(options.ok()) << open;
    EXPECT_THAT(Message(options), HasSubstr("--insecure"));
    EXPECT_TRUE(Parse({"--listen=" + open, "--insecure"}).ok());
    EXPECT_TRUE(
        Parse({"--listen=" + open, "--tls_cert=a", "--tls_key=b"}).ok());
  }
}

TEST(ParseOptionsTest, RefusesWithTheFlagAndTheValue) {
  struct Refused {
    std::vector<std::string> arguments;
    Variables variables;
    std::vector<std::string> words;
  };
  for (const Refused& one : std::vector<Refused>{
           {{"--bogus"}, {}, {"--bogus", "--help"}},
           {{"--bogus=1"}, {}, {"--bogus"}},
           {{"--nolisten"}, {}, {"--nolisten"}},
           {{"--noaccess_log=true"}, {}, {"--noaccess_log"}},
           {{"-listen=unix:/a"}, {}, {"-listen"}},
           {{"extra"}, {}, {"extra"}},
           {{""}, {}, {"no such flag"}},
           {{"--"}, {}, {"no such flag"}},
           {{"--listen"}, {}, {"--listen", "missing"}},
           {{"--listen=nowhere"}, {}, {"--listen", "nowhere"}},
           {{"--listen="}, {}, {"--listen"}},
           {{"--listen=unix:/a,"}, {}, {"--listen"}},
           {{"--metrics_listen=unix:/a"}, {}, {"--metrics_listen", "unix:/a"}},
           {{"--memory_limit=lots"}, {}, {"--memory_limit", "lots"}},
           {{"--cuda_memory_limit=101%"}, {}, {"--cuda_memory_limit", "101%"}},
           {{"--max_tensor_bytes=0"}, {}, {"--max_tensor_bytes", "0"}},
           {{"--log_format=xml"}, {}, {"--log_format", "json"}},
           {{"--insecure=maybe"}, {}, {"--insecure", "maybe"}},
           {{"--drain_seconds=soon"}, {}, {"--drain_seconds", "soon"}},
           {{"--drain_seconds=-1"}, {}, {"--drain_seconds", "-1"}},
           {{"--eviction=fifo"}, {}, {"--eviction", "none or lru"}},
           {{"--max_tensors=0"}, {}, {"--max_tensors", "above 0"}},
           {{"--tenant_max_tensors=-1"}, {}, {"--tenant_max_tensors", "-1"}},
           {{"--upload_resume_seconds=3601"},
            {},
            {"--upload_resume_seconds", "3600"}},
           {{"--drain_seconds=3601"}, {}, {"--drain_seconds", "3600"}},
           {{"--max_queue_delay_milliseconds=3600001"},
            {},
            {"--max_queue_delay_milliseconds", "3600000"}},
           {{"--max_queue_delay_milliseconds=-1"},
            {},
            {"--max_queue_delay_milliseconds", "-1"}},
           {{}, {{"TENSORD_LISTEN", "x"}}, {"TENSORD_LISTEN"}},
           {{}, {{"TENSORD_MEMORY_LIMIT", "x"}}, {"TENSORD_MEMORY_LIMIT"}},
       }) {
    const auto options = Parse(one.arguments, one.variables);
    ASSERT_FALSE(options.ok()) << ::testing::PrintToString(one.arguments);
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
    for (const std::string& word : one.words) {
      EXPECT_THAT(Message(options), HasSubstr(word));
    }
  }
}

TEST(ParseOptionsTest, MessagesStayOnOneLine) {
  const auto options = Parse({"--bo\ngus"});
  EXPECT_EQ(Message(options).find('\n'), std::string::npos);
}

// Abseil's own words about a value hold it as it came.
TEST(ParseOptionsTest, MessagesAboutValuesArePrintable) {
  for (const char* const flag :
       {"listen", "metrics_listen", "memory_limit", "cuda_memory_limit",
        "max_tensor_bytes", "log_format", "access_log", "drain_seconds"}) {
    const auto options =
        Parse({"--" + std::string(flag) + "=\x1b[31m\n\x7f\xff"});
    ASSERT_FALSE(options.ok()) << flag;
    const std::string message = Message(options);
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) {
      return c >= 0x20 && c < 0x7f;
    })) << message;
    EXPECT_THAT(message, HasSubstr("\\x1b[31m\\n\\x7f\\xff"));
  }
}

TEST(ParseOptionsTest, HelpAndVersionAreNoServing) {
  EXPECT_EQ(MustParse({"--help"}).action, ProgramOptions::Action::kHelp);
  EXPECT_EQ(MustParse({"--version"}).action, ProgramOptions::Action::kVersion);
}

TEST(ParseOptionsTest, AProbeTakesTheOptionsOfItsServer) {
  using Action = ProgramOptions::Action;
  const Variables variables = {{"TENSORD_LISTEN", "0.0.0.0:1"}};
  ProgramOptions options = MustParse({"--probe"}, variables);
  EXPECT_EQ(options.action, Action::kProbe);
  EXPECT_EQ(options.probe, ProbeKind::kReadiness);
  EXPECT_THAT(options.server.listen, ElementsAre("0.0.0.0:1"));
  options = MustParse({"--listen=unix:/a", "--probe=liveness"}, variables);
  EXPECT_EQ(options.action, Action::kProbe);
  EXPECT_EQ(options.probe, ProbeKind::kLiveness);
  EXPECT_THAT(options.server.listen, ElementsAre("unix:/a"));
  EXPECT_EQ(MustParse({"--probe=readiness"}).probe, ProbeKind::kReadiness);
}

TEST(ParseOptionsTest, AProbeIsOfReadinessOrLiveness) {
  for (const char* const bad : {"--probe=", "--probe=ready", "--probe=\x1b"}) {
    EXPECT_THAT(Message(Parse({bad})), HasSubstr("readiness or liveness"));
  }
  EXPECT_THAT(Message(Parse({"--probe", "liveness"})),
              HasSubstr("there is no such flag"));
  EXPECT_THAT(Message(Parse({"--noprobe"})),
              HasSubstr("there is no such flag"));
}

TEST(HelpTextTest, NamesEveryFlagAndVariable) {
  const std::string help = HelpText();
  for (const FlagCase& one : FlagCases()) {
    EXPECT_THAT(help, HasSubstr(one.flag));
    EXPECT_THAT(help, HasSubstr(one.variable));
  }
  EXPECT_THAT(help, HasSubstr("--probe=liveness"));
  EXPECT_THAT(help, HasSubstr("Default: 127.0.0.1:50051."));
  EXPECT_THAT(help, HasSubstr("75%."));
  EXPECT_THAT(help, HasSubstr("90%."));
}

}  // namespace
}  // namespace tensord
