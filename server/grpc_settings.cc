#include "server/grpc_settings.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grpc/grpc.h"
#include "grpcpp/ext/channelz_service_plugin.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/resource_quota.h"

namespace tensord {
namespace {

// What gRPC's own buffers may take, as a part of the memory limit, and at
// least: enough for some hundred messages in flight.
constexpr std::int64_t kTransportPart = 4;
constexpr std::int64_t kMinTransportBytes = std::int64_t{512} << 20;

constexpr absl::Duration kMinKeepaliveTimeout = absl::Seconds(1);
constexpr absl::Duration kMaxKeepaliveTimeout = absl::Seconds(20);

// gRPC sets TCP_USER_TIMEOUT to this as well. Where a socket takes no more,
// that alone ends what is under way: even calls that are cancelled wait for it.
int KeepaliveTimeoutMs(absl::Duration patience) {
  if (patience == absl::ZeroDuration()) patience = kMaxKeepaliveTimeout;
  return static_cast<int>(absl::ToInt64Milliseconds(
      std::clamp(patience, kMinKeepaliveTimeout, kMaxKeepaliveTimeout)));
}

// How large messages and metadata get, how many streams, how long silence
// lasts.
void SetTransportLimits(const ServiceLimits& limits, absl::Duration patience,
                        grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.max_message_bytes));
  // What is sent is what the service made, which keeps to its own limits.
  builder.SetMaxSendMessageSize(-1);
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, int>>{
           {GRPC_ARG_MAX_METADATA_SIZE, 8 << 10},
           {GRPC_ARG_MAX_CONCURRENT_STREAMS, 128},
           {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000},
           {GRPC_ARG_KEEPALIVE_TIME_MS, 60'000},
           {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KeepaliveTimeoutMs(patience)},
           {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
           {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000},
           {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2},
           {GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000},
           // How much may arrive ahead of what is read. By its own estimates
           // gRPC holds hundreds of MiB for clients that are faster than the
           // server, and gains nothing by it.
           {GRPC_ARG_HTTP2_BDP_PROBE, 0},
           {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20},
           // What clients send at a time at most. As large as a slice that
           // gRPC reads into; in frames of 1 MiB a byte takes half as much of
           // the processor again (tests/bench/README.md).
           {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 64 << 10},
           // A second server on the port has to fail, not to share it.
           {GRPC_ARG_ALLOW_REUSEPORT, 0}}) {
    builder.AddChannelArgument(name, value);
  }
  // Compressed messages are refused: one of a few bytes could unfold to the
  // largest allowed.
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

// Bounds what gRPC itself takes. Only its own services use threads of the
// synchronous API, and each of reflection's streams holds one.
void SetResourceLimits(std::int64_t memory_limit_bytes,
                       grpc::ServerBuilder& builder) {
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1u);
  grpc::ResourceQuota quota("tensord");
  quota.Resize(static_cast<std::size_t>(
      std::max(memory_limit_bytes / kTransportPart, kMinTransportBytes)));
  quota.SetMaxThreads(static_cast<int>(2 * cores + 8));
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
}

// Takes out what a server is not to have of the services that gRPC has only for
// a whole process.
class LeavesOut final : public grpc::ServerBuilderOption {
 public:
  explicit LeavesOut(const StandardServices& services) : services_(services) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    std::erase_if(*plugins, [this](const auto& plugin) {
      const std::string name = plugin->name();
      return (!services_.reflection && name == "proto_server_reflection") ||
             (!services_.channelz && name == "channelz_service");
    });
  }

 private:
  const StandardServices services_;
};

}  // namespace

void EnableStandardServices() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
  });
}

void LeaveOutOthersThan(const StandardServices& services,
                        grpc::ServerBuilder& builder) {
  builder.SetOption(std::make_unique<LeavesOut>(services));
}

void SetLimits(const ServiceLimits& limits, std::int64_t memory_limit_bytes,
               absl::Duration patience, grpc::ServerBuilder& builder) {
  SetTransportLimits(limits, patience, builder);
  SetResourceLimits(memory_limit_bytes, builder);
}

}  // namespace tensord
