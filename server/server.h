// A running server: everything but main().
#ifndef TENSORD_SERVER_SERVER_H_
#define TENSORD_SERVER_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/device/device_registry.h"
#include "core/parallel_for.h"
#include "server/access/tenant_limits.h"
#include "server/memory_size.h"
#include "server/observe/log_line.h"
#include "server/standard_services.h"

namespace tensord {

// What CUDA leaves to others: contexts, libraries, staging.
inline constexpr MemorySize kDefaultCudaMemoryLimit{.value = 90,
                                                    .is_percent = true};

// Beside its elements a tensor takes about 1 KiB, so this is 1 GiB.
inline constexpr std::int64_t kDefaultMaxTensors = 1'000'000;

struct ServerOptions {
  // "host:port" (port 0 picks a free one) or "unix:PATH". At least one.
  std::vector<std::string> listen = {"127.0.0.1:50051"};
  // "host:port" of the HTTP endpoint /metrics; empty for none.
  std::string metrics_listen;
  // Most bytes that tensors and uploads may take together in the CPU's memory.
  std::int64_t memory_limit_bytes = std::int64_t{1} << 30;
  // The same on each CUDA device, whose memory percentages are of.
  MemorySize cuda_memory_limit = kDefaultCudaMemoryLimit;
  // Largest array.
  std::int64_t max_tensor_bytes = std::int64_t{1} << 30;
  // Most tensors of all tenants together.
  std::int64_t max_tensors = kDefaultMaxTensors;
  // Whether the least recently used tensors make room for new ones.
  bool evicts = false;
  // Most calls at a time.
  std::int64_t max_calls = 1024;
  // How long calls may wait for their turn before some are refused; 0: as long
  // as it takes.
  absl::Duration max_queue_delay = absl::Milliseconds(50);
  // A file of an AccessList; empty: callers need no tokens.
  std::string auth_tokens_file;
  // Refuses tokens that others on the way can read.
  bool tokens_need_tls = false;
  // What each tenant may take, where callers are told apart: by tokens, or by
  // certificates.
  TenantLimits tenant_limits;
  StandardServices standard_services;
  // How long a stream may wait for its peer; 0: without end.
  absl::Duration stream_idle = absl::Seconds(30);
  // How long the uploads of lost connections are kept; 0: not at all.
  absl::Duration upload_resume_window = absl::Seconds(10);
  // PEM files; empty for plaintext. With a client CA, clients need a
  // certificate. Unix sockets are plaintext in any case.
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_client_ca_file;
  // Writes a line about every finished call to the standard error stream, in
  // this format; absent for none.
  std::optional<LogFormat> access_log;
  // Of lines about devices that go out of service.
  LogFormat log_format = LogFormat::kText;
};

// Finds the devices beside the CPU. What the argument shares among threads, it
// may share as long as they live.
using DeviceFinder = std::function<CudaDevices(const ParallelFor&)>;

// Serves from Start until Shutdown. Thread-safe.
class Server {
 public:
  // INVALID_ARGUMENT for options that make no sense, UNAVAILABLE for addresses
  // that can not be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options,
      const DeviceFinder& find_devices = [](const ParallelFor&) {
        return CudaDevices();
      });
  virtual ~Server() = default;

  // What is being listened on, with the ports that were picked; in the order of
  // ServerOptions::listen.
  virtual const std::vector<std::string>& addresses() const = 0;
  // The HTTP endpoint, or empty.
  virtual const std::string& metrics_address() const = 0;

  // Health turns NOT_SERVING and new calls are refused; calls under way may
  // finish until `grace` is over, then they are cancelled. Returns when all are
  // done. Further calls do nothing.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_SERVER_H_
