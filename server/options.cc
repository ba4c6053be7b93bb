#include "server/options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/absl_text.h"
#include "server/flag_types.h"
#include "server/listen_address.h"
#include "server/memory_size.h"
#include "server/version.h"

namespace tensord {
namespace {

constexpr MemorySize kDefaultMemoryLimit{.value = 75, .is_percent = true};

}  // namespace
}  // namespace tensord

// Flags are in the order of the help text.
ABSL_FLAG(tensord::AddressListFlag, listen, {{"127.0.0.1:50051"}},
          "Where to serve gRPC: host:port or unix:PATH. Port 0 picks a free "
          "one. Repeat the flag, or separate addresses by commas, for more "
          "than one.");
ABSL_FLAG(tensord::MetricsAddressFlag, metrics_listen, {},
          "Where to serve /metrics over HTTP: host:port, or none.");
ABSL_FLAG(tensord::MemorySizeFlag, memory_limit, {tensord::kDefaultMemoryLimit},
          "Most bytes that tensors and uploads may take together in the "
          "CPU's memory: a number, with K M G T (powers of 1000) or KiB MiB "
          "GiB TiB behind it, or a "
          "percentage of the memory of the machine or of its control group, "
          "whichever is less.");
ABSL_FLAG(tensord::MemorySizeFlag, cuda_memory_limit,
          {tensord::kDefaultCudaMemoryLimit},
          "The same on each CUDA device; percentages are of the device's "
          "memory, which is the most in any case.");
ABSL_FLAG(tensord::MemorySizeFlag, max_tensor_bytes, {},
          "Largest array, written as in --memory_limit.");
ABSL_FLAG(std::int64_t, max_tensors, tensord::kDefaultMaxTensors,
          "Most tensors, those that are being made included; beside its "
          "elements each takes about 1 KiB of the host's memory, which counts "
          "against no limit but this.");
ABSL_FLAG(tensord::EvictionFlag, eviction, {},
          "What makes room where memory or --max_tensors is reached: none, or "
          "lru for the tensors of the same tenant that were not read for "
          "longest, but for those that have a lease or are being read.");
ABSL_FLAG(int, stream_idle_seconds, 30,
          "How long the peer of a stream may neither send nor read before it "
          "is cut off; 0 for as long as it likes. Less than 1 KiB in that "
          "time counts as nothing. Batches may pause between messages.");
ABSL_FLAG(int, upload_resume_seconds, 10,
          "How long an upload whose connection was lost waits for its client "
          "to go on, unless something else needs its memory; 0 for not at "
          "all.");
ABSL_FLAG(std::string, tls_cert, "",
          "PEM file with the certificate chain of the server. TCP addresses "
          "speak TLS then; Unix sockets never do, the permissions of the file "
          "guard them.");
ABSL_FLAG(std::string, tls_key, "", "PEM file with the key of --tls_cert.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file with authorities; TCP clients need a certificate of one "
          "of them.");
ABSL_FLAG(bool, insecure, false,
          "Allows TCP addresses that other machines can reach without TLS.");
ABSL_FLAG(std::string, auth_tokens, "",
          "File that says who may call. A line is CREDENTIAL TENANT SCOPES "
          "[EXPIRES]: sha256: and the SHA-256 of a token in hexadecimal digits "
          "(printf %s \"$TOKEN\" | sha256sum), or cert: and a name in a "
          "client's certificate; the tenant, which has tensors of its own; "
          "some of read, write and admin, separated by commas; when the "
          "credential ends to be good, as in 2030-01-31T12:00:00Z. Clients "
          "send the metadata `authorization: Bearer TOKEN`. The file is read "
          "again when it changes, as are those of TLS; what can not be used "
          "changes nothing.");
ABSL_FLAG(bool, require_tls, false,
          "Refuses tokens that come over TCP without TLS.");
ABSL_FLAG(tensord::MemorySizeFlag, tenant_memory_limit, {},
          "Most bytes that one tenant may take on each device; percentages are "
          "of the device's limit. Callers are told apart with --auth_tokens "
          "or --tls_client_ca: certificates alone name their tenants.");
ABSL_FLAG(std::int64_t, tenant_max_tensors, 0,
          "Most tensors of one tenant; 0 for as many as --max_tensors.");
ABSL_FLAG(int, tenant_max_calls, 0,
          "Most calls of one tenant at a time; 0 for as many as --max_calls.");
ABSL_FLAG(int, max_calls, 1024,
          "Most calls at a time; what comes beyond is told to come again.");
ABSL_FLAG(int, max_queue_delay_milliseconds, 50,
          "How long calls may wait for their turn, all of them, before some "
          "are told to come again: none at first, and one in twenty when they "
          "wait for twice as long. Clients of tensord send fewer then. 0 to "
          "refuse none for that.");
ABSL_FLAG(std::optional<bool>, reflection, std::nullopt,
          "Whether the server describes its methods to whoever asks.");
ABSL_FLAG(bool, channelz, false,
          "Whether the server shows its connections and calls to whoever asks, "
          "peers' addresses included, as gRPC's channelz.");
ABSL_FLAG(tensord::LogFormatFlag, log_format, {},
          "Lines on the standard error stream: text or json.");
ABSL_FLAG(
    tensord::LogLevelFlag, log_level, {},
    "Lines of this and of higher levels are written: debug, info, warning "
    "or error. A call is info, unless it is the server's fault; what is "
    "listened on is written in any case.");
ABSL_FLAG(bool, access_log, true, "Writes a line for every finished call.");
ABSL_FLAG(int, drain_seconds, 20,
          "How long calls may go on after SIGTERM or SIGINT.");
ABSL_FLAG(int, listener_watch_seconds, 15,
          "How long new connections may go unanswered before the server stops "
          "with exit code 3, to be started again by its supervisor; it tries "
          "its own addresses. 0 to go on without new connections.");

namespace tensord {
namespace {

constexpr int kMaxSeconds = 3600;

struct FlagSpec {
  const char* name;
  // Stands for the value in the help text; null for switches.
  const char* value;
  // What happens without the flag, where the text of the default does not say.
  const char* default_text;
};

constexpr std::array kFlags = {
    FlagSpec{"listen", "ADDRESS", nullptr},
    FlagSpec{"metrics_listen", "ADDRESS",
             "127.0.0.1:9464; 127.0.0.1:0 where no address in --listen has a "
             "fixed port"},
    FlagSpec{"memory_limit", "SIZE", nullptr},
    FlagSpec{"cuda_memory_limit", "SIZE", nullptr},
    FlagSpec{"max_tensor_bytes", "SIZE", "as --memory_limit"},
    FlagSpec{"max_tensors", "TENSORS", nullptr},
    FlagSpec{"eviction", "POLICY", nullptr},
    FlagSpec{"stream_idle_seconds", "SECONDS", nullptr},
    FlagSpec{"upload_resume_seconds", "SECONDS", nullptr},
    FlagSpec{"tls_cert", "FILE", "no TLS"},
    FlagSpec{"tls_key", "FILE", "none"},
    FlagSpec{"tls_client_ca", "FILE", "clients need no certificate"},
    FlagSpec{"insecure", nullptr, nullptr},
    FlagSpec{"auth_tokens", "FILE", "everybody may do everything"},
    FlagSpec{"require_tls", nullptr, nullptr},
    FlagSpec{"tenant_memory_limit", "SIZE", "100%"},
    FlagSpec{"tenant_max_tensors", "TENSORS", nullptr},
    FlagSpec{"tenant_max_calls", "CALLS", nullptr},
    FlagSpec{"max_calls", "CALLS", nullptr},
    FlagSpec{"max_queue_delay_milliseconds", "MILLISECONDS", nullptr},
    FlagSpec{"reflection", nullptr, "true; false where callers are told apart"},
    FlagSpec{"channelz", nullptr, nullptr},
    FlagSpec{"log_format", "FORMAT", nullptr},
    FlagSpec{"log_level", "LEVEL", nullptr},
    FlagSpec{"access_log", nullptr, nullptr},
    FlagSpec{"drain_seconds", "SECONDS", nullptr},
    FlagSpec{"listener_watch_seconds", "SECONDS", nullptr},
};

constexpr std::string_view kListenFlag = "listen";

const FlagSpec* FindFlag(std::string_view name) {
  const auto* it =
      std::find_if(kFlags.begin(), kFlags.end(),
                   [&](const FlagSpec& flag) { return flag.name == name; });
  return it == kFlags.end() ? nullptr : it;
}

std::string VariableName(const FlagSpec& flag) {
  return absl::StrCat("TENSORD_", absl::AsciiStrToUpper(flag.name));
}

absl::Status BadOption(std::string_view where, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(ToAbsl(where), ": ", ToAbsl(what)));
}

// Abseil quotes values as they came.
std::string OnOneLine(absl::string_view text) {
  std::string line;
  for (const char c : text) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      line.push_back(c);
    } else {
      absl::StrAppend(&line, absl::CHexEscape(absl::string_view(&c, 1)));
    }
  }
  return line;
}

absl::Status SetFlag(const FlagSpec& flag, std::string_view where,
                     const std::string& value) {
  std::string error;
  if (absl::FindCommandLineFlag(flag.name)->ParseFrom(value, &error)) {
    return absl::OkStatus();
  }
  if (error.empty()) {
    error =
        absl::StrCat("\"", absl::CHexEscape(value), "\" is not a valid value");
  }
  return BadOption(where, OnOneLine(error));
}

// A flag on the command line, and its value.
struct Argument {
  const FlagSpec* flag;
  std::string value;
};

// What the command line says, before it means anything.
struct CommandLine {
  ProgramOptions::Action action = ProgramOptions::Action::kServe;
  ProbeKind probe = ProbeKind::kReadiness;
  std::vector<Argument> arguments;
};

absl::Status UnknownArgument(std::string_view text) {
  return BadOption(absl::CHexEscape(ToAbsl(text)),
                   "there is no such flag; --help lists them");
}

// Reads --name=value, --name value, --switch and --noswitch.
class CommandLineReader {
 public:
  CommandLineReader(int argc, const char* const* argv)
      : words_(argv + std::min(argc, 1), argv + argc) {}

  absl::StatusOr<CommandLine> Read() {
    while (next_ < words_.size()) {
      absl::Status status = ReadOne(words_[next_++]);
      if (!status.ok()) return status;
    }
    return std::move(result_);
  }

 private:
  absl::Status ReadOne(std::string_view word) {
    if (word == "--help" || word == "-h") {
      result_.action = ProgramOptions::Action::kHelp;
      return absl::OkStatus();
    }
    if (word == "--version") {
      result_.action = ProgramOptions::Action::kVersion;
      return absl::OkStatus();
    }
    if (word == "--probe" || word.starts_with("--probe=")) {
      return ReadProbe(word);
    }
    if (!word.starts_with("--")) return UnknownArgument(word);
    const std::size_t equals = word.find('=');
    std::string_view name = word.substr(2, equals - 2);
    std::optional<std::string> value;
    if (equals != word.npos) value = std::string(word.substr(equals + 1));
    const FlagSpec* flag = FindFlag(name);
    if (flag == nullptr && name.starts_with("no") && !value.has_value()) {
      flag = FindFlag(name.substr(2));
      if (flag != nullptr && flag->value != nullptr) flag = nullptr;
      value = "false";
    }
    if (flag == nullptr) return UnknownArgument(word);
    if (!value.has_value() && flag->value == nullptr) value = "true";
    if (!value.has_value()) {
      if (next_ == words_.size()) {
        return BadOption(word, "the value is missing");
      }
      value = words_[next_++];
    }
    result_.arguments.push_back({flag, *std::move(value)});
    return absl::OkStatus();
  }

  absl::Status ReadProbe(std::string_view word) {
    result_.action = ProgramOptions::Action::kProbe;
    if (word == "--probe" || word == "--probe=readiness") {
      result_.probe = ProbeKind::kReadiness;
    } else if (word == "--probe=liveness") {
      result_.probe = ProbeKind::kLiveness;
    } else {
      return BadOption(absl::CHexEscape(ToAbsl(word)),
                       "a probe is of readiness or liveness");
    }
    return absl::OkStatus();
  }

  const std::vector<std::string> words_;
  std::size_t next_ = 0;
  CommandLine result_;
};

// Abseil keeps flags for the whole process; what an earlier call set goes here.
void ResetFlags() {
  for (const FlagSpec& spec : kFlags) {
    absl::CommandLineFlag& flag = *absl::FindCommandLineFlag(spec.name);
    std::string error;
    flag.ParseFrom(flag.DefaultValue(), &error);
  }
}

// Sets the flags: from the command line, from the environment for those that
// are not there. The values of a repeated --listen add up; of other flags the
// last one counts.
absl::Status SetFlags(const CommandLine& line, const Environment& environment) {
  for (const FlagSpec& flag : kFlags) {
    std::vector<std::string> values;
    for (const Argument& argument : line.arguments) {
      if (argument.flag == &flag) values.push_back(argument.value);
    }
    std::string where = absl::StrCat("--", flag.name);
    if (values.empty()) {
      const std::optional<std::string> value = environment(VariableName(flag));
      if (!value.has_value() || value->empty()) continue;
      where = VariableName(flag);
      values.push_back(*value);
    }
    absl::Status status = SetFlag(
        flag, where,
        flag.name == kListenFlag ? absl::StrJoin(values, ",") : values.back());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Servers on free ports, as tests start them, do not quarrel about this one.
std::string DefaultMetricsAddress(const std::vector<std::string>& listen) {
  for (const std::string& text : listen) {
    const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    if (address.ok() && address->port != 0) return "127.0.0.1:9464";
  }
  return "127.0.0.1:0";
}

std::string MetricsListen(const std::vector<std::string>& listen) {
  const std::string text = absl::GetFlag(FLAGS_metrics_listen).text;
  if (text.empty()) return DefaultMetricsAddress(listen);
  return std::string_view(text) == kNoMetrics ? "" : text;
}

absl::Status CheckExposure(const ServerOptions& server) {
  if (!server.tls_cert_file.empty() || absl::GetFlag(FLAGS_insecure)) {
    return absl::OkStatus();
  }
  for (const std::string& text : server.listen) {
    const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    if (!address.ok()) return address.status();
    if (!IsLocal(*address)) {
      return BadOption(
          "--listen",
          absl::StrCat("other machines can reach ", text,
                       ", and there is no TLS; give --tls_cert and --tls_key, "
                       "or --insecure if that is meant"));
    }
  }
  return absl::OkStatus();
}

void SetSizes(ServerOptions& server) {
  const std::int64_t total = TotalMemoryBytes();
  server.memory_limit_bytes = ToBytes(
      absl::GetFlag(FLAGS_memory_limit).size.value_or(kDefaultMemoryLimit),
      total);
  server.cuda_memory_limit = absl::GetFlag(FLAGS_cuda_memory_limit)
                                 .size.value_or(kDefaultCudaMemoryLimit);
  const std::optional<MemorySize> largest =
      absl::GetFlag(FLAGS_max_tensor_bytes).size;
  server.max_tensor_bytes = largest.has_value() ? ToBytes(*largest, total)
                                                : server.memory_limit_bytes;
}

absl::Status SetTensorLimit(ServerOptions& server) {
  server.evicts = absl::GetFlag(FLAGS_eviction).evicts;
  server.max_tensors = absl::GetFlag(FLAGS_max_tensors);
  if (server.max_tensors > 0) return absl::OkStatus();
  return BadOption("--max_tensors",
                   absl::StrCat(server.max_tensors, " is not above 0"));
}

absl::StatusOr<absl::Duration> ToDuration(std::string_view flag, int seconds) {
  if (seconds >= 0 && seconds <= kMaxSeconds) return absl::Seconds(seconds);
  return BadOption(
      flag, absl::StrCat(seconds, " is not between 0 and ", kMaxSeconds));
}

absl::Status SetAccess(ServerOptions& server) {
  server.auth_tokens_file = absl::GetFlag(FLAGS_auth_tokens);
  server.tokens_need_tls = absl::GetFlag(FLAGS_require_tls);
  server.max_calls = absl::GetFlag(FLAGS_max_calls);
  if (server.max_calls <= 0) {
    return BadOption("--max_calls",
                     absl::StrCat(server.max_calls, " is not above 0"));
  }
  const int queue_delay = absl::GetFlag(FLAGS_max_queue_delay_milliseconds);
  if (queue_delay < 0 || queue_delay > kMaxSeconds * 1000) {
    return BadOption("--max_queue_delay_milliseconds",
                     absl::StrCat(queue_delay, " is not between 0 and ",
                                  kMaxSeconds * 1000));
  }
  server.max_queue_delay = absl::Milliseconds(queue_delay);
  const int own_calls = absl::GetFlag(FLAGS_tenant_max_calls);
  if (own_calls < 0) {
    return BadOption("--tenant_max_calls",
                     absl::StrCat(own_calls, " is below 0"));
  }
  const std::int64_t own_tensors = absl::GetFlag(FLAGS_tenant_max_tensors);
  if (own_tensors < 0) {
    return BadOption("--tenant_max_tensors",
                     absl::StrCat(own_tensors, " is below 0"));
  }
  TenantLimits& limits = server.tenant_limits;
  if (own_tensors > 0) limits.max_tensors = own_tensors;
  if (own_calls > 0) limits.max_calls = own_calls;
  limits.memory =
      absl::GetFlag(FLAGS_tenant_memory_limit).size.value_or(limits.memory);
  const bool tells_apart =
      !server.auth_tokens_file.empty() || !server.tls_client_ca_file.empty();
  server.standard_services = {
      .reflection = absl::GetFlag(FLAGS_reflection).value_or(!tells_apart),
      .channelz = absl::GetFlag(FLAGS_channelz)};
  return absl::OkStatus();
}

absl::StatusOr<ProgramOptions> OptionsFromFlags() {
  ProgramOptions options;
  options.log_format = absl::GetFlag(FLAGS_log_format).format;
  options.log_level = absl::GetFlag(FLAGS_log_level).level;
  const auto drain =
      ToDuration("--drain_seconds", absl::GetFlag(FLAGS_drain_seconds));
  if (!drain.ok()) return drain.status();
  options.drain = *drain;
  const auto watch = ToDuration("--listener_watch_seconds",
                                absl::GetFlag(FLAGS_listener_watch_seconds));
  if (!watch.ok()) return watch.status();
  options.listener_watch = *watch;
  ServerOptions& server = options.server;
  const auto window = ToDuration("--upload_resume_seconds",
                                 absl::GetFlag(FLAGS_upload_resume_seconds));
  if (!window.ok()) return window.status();
  server.upload_resume_window = *window;
  const auto idle = ToDuration("--stream_idle_seconds",
                               absl::GetFlag(FLAGS_stream_idle_seconds));
  if (!idle.ok()) return idle.status();
  server.stream_idle = *idle;
  server.listen = absl::GetFlag(FLAGS_listen).addresses;
  server.metrics_listen = MetricsListen(server.listen);
  server.tls_cert_file = absl::GetFlag(FLAGS_tls_cert);
  server.tls_key_file = absl::GetFlag(FLAGS_tls_key);
  server.tls_client_ca_file = absl::GetFlag(FLAGS_tls_client_ca);
  server.log_format = options.log_format;
  if (absl::GetFlag(FLAGS_access_log)) server.access_log = options.log_format;
  SetSizes(server);
  absl::Status status = SetTensorLimit(server);
  if (status.ok()) status = SetAccess(server);
  if (!status.ok()) return status;
  return options;
}

std::string Wrap(absl::string_view text, absl::string_view indent) {
  constexpr std::size_t kWidth = 80;
  std::string wrapped;
  std::string line(indent);
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(&wrapped, line, "\n");
      line.assign(indent.data(), indent.size());
    }
    absl::StrAppend(&line, line.size() > indent.size() ? " " : "", word);
  }
  return absl::StrCat(wrapped, line, "\n");
}

std::string FlagHelp(const FlagSpec& spec) {
  const absl::CommandLineFlag& flag = *absl::FindCommandLineFlag(spec.name);
  const std::string shown =
      spec.default_text == nullptr ? flag.DefaultValue() : spec.default_text;
  return absl::StrCat(
      "  --", spec.value == nullptr ? "[no]" : "", spec.name,
      spec.value == nullptr ? "" : "=", spec.value == nullptr ? "" : spec.value,
      "   ", VariableName(spec), "\n",
      Wrap(absl::StrCat(flag.Help(), " Default: ", shown, "."), "      "));
}

}  // namespace

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

absl::StatusOr<ProgramOptions> ParseOptions(int argc, const char* const* argv,
                                            const Environment& environment) {
  absl::StatusOr<CommandLine> line = CommandLineReader(argc, argv).Read();
  if (!line.ok()) return line.status();
  using Action = ProgramOptions::Action;
  if (line->action == Action::kHelp || line->action == Action::kVersion) {
    ProgramOptions options;
    options.action = line->action;
    return options;
  }
  ResetFlags();
  absl::Status status = SetFlags(*line, environment);
  if (!status.ok()) return status;
  absl::StatusOr<ProgramOptions> options = OptionsFromFlags();
  if (!options.ok()) return options;
  options->action = line->action;
  options->probe = line->probe;
  // A probe opens nothing to anybody.
  if (line->action == Action::kServe) status = CheckExposure(options->server);
  if (!status.ok()) return status;
  return options;
}

std::string HelpText() {
  std::string flags;
  for (const FlagSpec& flag : kFlags) absl::StrAppend(&flags, FlagHelp(flag));
  return absl::StrCat(VersionText(), R"(
A daemon that holds tensors behind gRPC.

Usage: tensord [flags]

Flags, each with the environment variable that stands in for it where it is not
given:
)",
                      flags, R"(  --help
      Prints this and exits.
  --version
      Prints the version and exits.
  --probe, --probe=readiness, --probe=liveness
      Asks a server that was started with the same flags and variables whether
      it is well, over the first Unix socket in --listen or else its first
      address, and exits within 10 seconds: with 0 if it takes calls, or, for
      liveness, if it answers; with 1, and a line that says why, if not; with 2
      for flags or variables that lead to no server. What other flags say does
      not matter but for those of TLS.

Once started, the standard error stream has these lines, in this order:
  listening on 127.0.0.1:50051      once for each address, in order
  metrics on 127.0.0.1:9464         unless --metrics_listen=none
  ready
With --log_format=json they are objects, with "event" (listening, metrics,
ready), "time" and "address". Ports are those that were picked. Lines about
calls have the event "call", with method, code, peer and duration_ms. A device
that goes out of service, or that a test of its casts finds wrong at the start,
has one with the event "device_out_of_service", with device and message; the
server goes on without it, unless it is the CPU.

A supervisor that set NOTIFY_SOCKET, as systemd does, is told READY=1 with the
line "ready", and STOPPING=1 with "draining".

SIGTERM and SIGINT: health turns NOT_SERVING, new calls are refused, calls under
way may finish within --drain_seconds. A second signal ends the process at once.

Exit codes: 0 after a signal to stop; 1 if the server could not start, for which
it needs 4096 open files among other things; 2 for flags or variables that can
not be understood; 3 if new connections went unanswered, which has a line with
the event "not_accepting" and drains like a signal; 128 plus the signal's number
after a second signal.
)");
}

std::string VersionText() { return absl::StrCat("tensord ", Version(), "\n"); }

}  // namespace tensord
