#include "client/cpp/src/channel.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/src/fork.h"
#include "core/bearer_token.h"
#include "core/error.h"
#include "core/memory/freed_memory.h"

namespace tensord::client {
namespace {

constexpr std::string_view kTargetInvalid = "TARGET_INVALID";
constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTlsInvalid = "TLS_INVALID";

// Far more than any server sends in one message; bounds what a hostile one can
// make this process hold.
constexpr int kMaxReceiveMessageBytes = 64 << 20;

// A dead peer is noticed within the sum of both while a call is under way.
// Servers take pings that come at least 10 seconds apart.
constexpr int kKeepaliveTimeMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

constexpr int kInitialReconnectBackoffMs = 100;
constexpr int kMaxReconnectBackoffMs = 5'000;

absl::Status BadTarget(std::string_view target) {
  return InvalidArgument(
      kTargetInvalid,
      absl::StrCat("target has to be \"host:port\" or \"unix:PATH\", got \"",
                   absl::CHexEscape(std::string(target.substr(0, 100))), "\""),
      "target");
}

bool IsHostName(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
           c == '.' || c == '_';
  });
}

bool IsIpv6(std::string_view host) {
  if (!host.starts_with('[') || !host.ends_with(']')) return false;
  host = host.substr(1, host.size() - 2);
  return host.find(':') != host.npos &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return absl::ascii_isxdigit(static_cast<unsigned char>(c)) ||
                  c == ':' || c == '.';
         });
}

bool IsPort(std::string_view port) {
  if (port.empty() || port.size() > 5) return false;
  int number = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  return number >= 1 && number <= 65535;
}

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) ||
        std::string_view("-._~/:").find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      absl::StrAppend(&encoded, "%", absl::Hex(byte, absl::PadSpec::kZeroPad2));
    }
  }
  return encoded;
}

absl::StatusOr<std::string> ReadPem(const std::string& path,
                                    std::string_view option) {
  if (path.empty()) return std::string();
  std::ifstream file(path, std::ios::binary);
  std::string pem(std::istreambuf_iterator<char>(file), {});
  if (!file || pem.empty()) {
    return InvalidArgument(
        kTlsInvalid,
        absl::StrCat(std::string(option), " can not be read or is empty"),
        option);
  }
  return pem;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(
    const ClientOptions& options) {
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return InvalidArgument(
        kTlsInvalid, "tls_cert_file and tls_key_file go together",
        options.tls_cert_file.empty() ? "tls_cert_file" : "tls_key_file");
  }
  const auto ca = ReadPem(options.tls_ca_file, "tls_ca_file");
  const auto cert = ReadPem(options.tls_cert_file, "tls_cert_file");
  const auto key = ReadPem(options.tls_key_file, "tls_key_file");
  for (const auto& pem : {ca, cert, key}) {
    if (!pem.ok()) return pem.status();
  }
  return grpc::SslCredentials({*ca, *key, *cert});
}

bool WantsTls(const ClientOptions& options) {
  return options.tls || !options.tls_ca_file.empty() ||
         !options.tls_cert_file.empty() || !options.tls_key_file.empty();
}

// Whether what goes to `target`, which is one, stays on this host.
bool IsThisHost(std::string_view target) {
  if (target.starts_with(kUnix)) return true;
  const std::string host(target.substr(0, target.rfind(':')));
  in_addr address{};
  return host == "localhost" || host == "[::1]" ||
         (inet_pton(AF_INET, host.c_str(), &address) == 1 &&
          ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

// The message does not tell the token.
absl::Status CheckToken(std::string_view target, const ClientOptions& options) {
  if (options.token.empty()) return absl::OkStatus();
  if (!IsBearerToken(options.token)) {
    return InvalidArgument(reason::kTokenMalformed,
                           "the token is not one of RFC 6750: letters, digits "
                           "and - . _ ~ + /, then any number of =",
                           "token");
  }
  if (WantsTls(options) || options.insecure || IsThisHost(target)) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      reason::kTokenExposed,
      "the token would go over the network for everybody to read: use TLS, or "
      "set `insecure` if something on the way encrypts",
      "token");
}

// Changes the process that this library is a guest in: once, and not where the
// environment says no.
void SetUpAllocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* const wanted = std::getenv("TENSORD_KEEP_FREED_MEMORY");
    if (wanted != nullptr && std::string_view(wanted) == "0") return;
    KeepFreedMemory(kClientFreedBytes);
  });
}

grpc::ChannelArguments ChannelArgs() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxReceiveMessageBytes);
  args.SetUserAgentPrefix("tensord-cpp");
  // A connection per client: one is served by one core at a time.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC would keep copies of messages to send them again, and hold on to
  // borrowed memory.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // How much may arrive ahead of what is read, beside a message. By its own
  // estimates gRPC holds tens of MiB when the server is faster, and gains
  // nothing by it; with 4 MiB, what is read has left the cache
  // (tests/bench/README.md).
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 20);
  // What the server sends at a time at most. As large as a slice that gRPC
  // reads into; in frames of 1 MiB a byte takes a third more of the processor
  // (tests/bench/README.md).
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 64 << 10);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
              kInitialReconnectBackoffMs);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  // The target alone says where to connect: no proxy of the environment, no
  // settings out of DNS.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return args;
}

// gRPC 1.51 takes its event engine down with the last channel, and now and then
// ends the process over it: one of its threads polls what was just closed. One
// channel, which is never connected, stays.
void KeepEventEngine() {
  // Used by whoever looks for leaks: a pointer that nobody reads is not kept.
  [[gnu::used]] static const auto* const kept =
      new std::shared_ptr<grpc::Channel>(grpc::CreateChannel(
          "unix:/nowhere", grpc::InsecureChannelCredentials()));
}

}  // namespace

absl::StatusOr<std::string> TargetUri(std::string_view target) {
  if (target.starts_with(kUnix)) {
    const std::string_view path = target.substr(kUnix.size());
    if (path.empty() || path.find('\0') != path.npos) return BadTarget(target);
    return absl::StrCat("unix:", PercentEncode(path));
  }
  const std::size_t colon = target.rfind(':');
  if (colon == target.npos) return BadTarget(target);
  const std::string_view host = target.substr(0, colon);
  if (!IsPort(target.substr(colon + 1)) ||
      !(IsHostName(host) || IsIpv6(host))) {
    return BadTarget(target);
  }
  return absl::StrCat("dns:///", PercentEncode(target));
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(
    std::string_view target, const ClientOptions& options) {
  const absl::StatusOr<std::string> uri = TargetUri(target);
  if (!uri.ok()) return uri.status();
  absl::Status status = CheckToken(target, options);
  if (status.ok()) status = CheckNotForked();
  if (!status.ok()) return status;
  std::shared_ptr<grpc::ChannelCredentials> credentials =
      grpc::InsecureChannelCredentials();
  if (WantsTls(options)) {
    auto tls = TlsCredentials(options);
    if (!tls.ok()) return tls.status();
    credentials = *std::move(tls);
  }
  SetUpAllocator();
  WatchForks();
  KeepEventEngine();
  return grpc::CreateCustomChannel(*uri, credentials, ChannelArgs());
}

}  // namespace tensord::client
