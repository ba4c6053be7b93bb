#include "client/cpp/src/channel.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/error.h"

namespace tensord::client {
namespace {

TEST(TargetUriTest, AcceptsHostsAndSockets) {
  EXPECT_EQ(*TargetUri("localhost:50051"), "dns:///localhost:50051");
  EXPECT_EQ(*TargetUri("10.0.0.1:1"), "dns:///10.0.0.1:1");
  EXPECT_EQ(*TargetUri("gpu-7.lab_net.example:65535"),
            "dns:///gpu-7.lab_net.example:65535");
  EXPECT_EQ(*TargetUri("[::1]:80"), "dns:///%5b::1%5d:80");
  EXPECT_EQ(*TargetUri("unix:/run/a.sock"), "unix:/run/a.sock");
  EXPECT_EQ(*TargetUri("unix:a b%?#"), "unix:a%20b%25%3f%23");
}

TEST(TargetUriTest, RefusesEverythingElse) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view target : {""sv,
                                        ":"sv,
                                        ":1"sv,
                                        "host"sv,
                                        "host:"sv,
                                        "host:0"sv,
                                        "host:65536"sv,
                                        "host:123456"sv,
                                        "host:+1"sv,
                                        "host:1x"sv,
                                        "host: 1"sv,
                                        "host:-1"sv,
                                        "http://host:1"sv,
                                        "dns:///host:1"sv,
                                        "ipv4:1.2.3.4:1"sv,
                                        "a/b:1"sv,
                                        "a b:1"sv,
                                        "::1:80"sv,
                                        "[::1]"sv,
                                        "[host]:1"sv,
                                        "[]:1"sv,
                                        "[:1"sv,
                                        "unix:"sv,
                                        "unix:a\0b"sv,
                                        "h\0st:1"sv,
                                        "h\xc3\xb6st:1"sv}) {
    const absl::Status status = TargetUri(target).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << std::string(target);
    EXPECT_EQ(GetErrorReason(status), "TARGET_INVALID");
  }
}

TEST(OpenChannelTest, RefusesUnusableTlsFiles) {
  ClientOptions missing;
  missing.tls_ca_file = "/nonexistent/ca.pem";
  ClientOptions half;
  half.tls_cert_file = "/dev/null";
  for (const ClientOptions& options : {missing, half}) {
    const absl::Status status = OpenChannel("localhost:1", options).status();
    EXPECT_EQ(GetErrorReason(status), "TLS_INVALID");
    EXPECT_EQ(status.message().find("nonexistent"), std::string::npos);
  }
}

TEST(OpenChannelTest, RefusesWhatIsNoToken) {
  for (const char* const token : {" ", "a b", "=", "a\n", "a\xc3\xb6", "a=b"}) {
    const absl::Status status =
        OpenChannel("localhost:1", {.token = token}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorReason(status), reason::kTokenMalformed) << token;
  }
}

TEST(OpenChannelTest, ShowsNobodyTheToken) {
  const auto reason = [](std::string_view target, ClientOptions options) {
    options.token = "dGVuc29yZA==";
    return GetErrorReason(OpenChannel(target, options).status());
  };
  for (const char* const target :
       {"server:1", "10.0.0.1:1", "127.example:1", "localhost.example:1",
        "[::2]:1", "[2001:db8::1]:1"}) {
    EXPECT_EQ(reason(target, {}), reason::kTokenExposed) << target;
    EXPECT_EQ(reason(target, {.tls = true}), "") << target;
    EXPECT_EQ(reason(target, {.insecure = true}), "") << target;
  }
  for (const char* const target :
       {"localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "unix:/a"}) {
    EXPECT_EQ(reason(target, {}), "") << target;
  }
}

TEST(OpenChannelTest, OpensWithoutConnecting) {
  ClientOptions tls;
  tls.tls = true;
  for (const ClientOptions& options : {ClientOptions(), tls}) {
    const auto channel = OpenChannel("localhost:1", options);
    ASSERT_TRUE(channel.ok()) << channel.status();
    EXPECT_EQ((*channel)->GetState(/*try_to_connect=*/false),
              GRPC_CHANNEL_IDLE);
  }
}

}  // namespace
}  // namespace tensord::client
