#include "server/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/device/cpu_backend.h"
#include "core/device/device_registry.h"
#include "core/device/self_test.h"
#include "core/memory/arena.h"
#include "core/store/device_quotas.h"
#include "grpc/grpc.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "server/absl_text.h"
#include "server/access/access_files.h"
#include "server/access/load_shedder.h"
#include "server/access/tls_credentials.h"
#include "server/grpc_settings.h"
#include "server/listen_address.h"
#include "server/memory_size.h"
#include "server/observe/access_log.h"
#include "server/observe/call_record.h"
#include "server/observe/device_watch.h"
#include "server/observe/health.h"
#include "server/observe/metrics.h"
#include "server/observe/metrics_endpoint.h"
#include "server/queue_probe.h"
#include "server/repeater.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/admission.h"
#include "server/rpc/stream_watch.h"
#include "server/rpc/tenants.h"
#include "server/rpc/tensor_service.h"
#include "server/version.h"
#include "server/worker_pool.h"

namespace tensord {
namespace {

// Free blocks that the arena of the CPU keeps, as a part of the memory limit:
// room for the next large array without growing far beyond the limit.
constexpr std::int64_t kPooledPart = 8;
// Blocks of chunks that are kept for the next ones.
constexpr std::size_t kPooledChunkBytes = std::size_t{32} << 20;
constexpr absl::Duration kSweepInterval = absl::Seconds(1);
// How long free memory is kept for the next tensor.
constexpr absl::Duration kIdleMemory = absl::Seconds(60);
constexpr absl::Duration kDrainPollInterval = absl::Milliseconds(20);

absl::Status CheckOptions(const ServerOptions& options) {
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("there is no address to listen on");
  }
  if (options.memory_limit_bytes <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "memory limit ", options.memory_limit_bytes, " is not above 0"));
  }
  if (options.max_tensor_bytes <= 0 ||
      options.max_tensor_bytes > options.memory_limit_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("largest array of ", options.max_tensor_bytes,
                     " bytes: not between 1 and the memory limit of ",
                     options.memory_limit_bytes, " bytes"));
  }
  const MemorySize cuda = options.cuda_memory_limit;
  if (cuda.value <= 0 || (cuda.is_percent && cuda.value > 100)) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory limit ", MemorySizeString(cuda),
                     " of CUDA devices: not above 0, or more than there is"));
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate and a key");
  }
  if (options.max_calls <= 0 || options.tenant_limits.max_calls <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "at most ",
        std::min(options.max_calls, options.tenant_limits.max_calls),
        " calls at a time: not above 0"));
  }
  if (options.max_queue_delay < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "calls may wait for their turn for ",
        absl::FormatDuration(options.max_queue_delay), ": below 0"));
  }
  if (options.max_tensors <= 0 || options.tenant_limits.max_tensors <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "at most ",
        std::min(options.max_tensors, options.tenant_limits.max_tensors),
        " tensors: not above 0"));
  }
  if (!options.tls_client_ca_file.empty() && options.tls_cert_file.empty()) {
    return absl::InvalidArgumentError(
        "certificates of clients can not be checked without TLS: give a "
        "certificate and a key");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ListenAddress>> ParseAddresses(
    const std::vector<std::string>& texts) {
  std::vector<ListenAddress> addresses;
  for (const std::string& text : texts) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    if (!address.ok()) return address.status();
    addresses.push_back(*std::move(address));
  }
  return addresses;
}

// A socket that this server made, told from one that another server put there
// since.
class UnixSocketFile {
 public:
  // REQUIRES: the socket is there.
  explicit UnixSocketFile(std::string path)
      : path_(std::move(path)), inode_(Inode(path_)) {}

  void Remove() const {
    if (inode_ != 0 && Inode(path_) == inode_) unlink(path_.c_str());
  }

 private:
  // 0 if there is no file.
  static ino_t Inode(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }

  std::string path_;
  ino_t inode_;
};

class RunningServer final : public Server {
 public:
  RunningServer(const ServerOptions& options, const DeviceFinder& find_devices)
      : workers_(std::max(std::thread::hardware_concurrency(), 1u)),
        devices_(MakeDevices(options, find_devices)),
        load_shedder_(options.max_queue_delay),
        stream_watch_(options.stream_idle),
        metrics_({.devices = &devices_,
                  .chunk_arena = &chunk_arena_,
                  .for_each_tenant =
                      [this](const auto& visit) { ForEachTenant(visit); },
                  .quotas = &quotas_,
                  .calls = &inflight_,
                  .load_shedder = &load_shedder_,
                  .suspended_uploads =
                      [this] { return tenants_->suspended_uploads(); },
                  .version = Version()}),
        log_format_(options.log_format) {
    SetQuotas(options);
    if (options.access_log.has_value()) {
      access_log_.emplace(*options.access_log);
    }
    limits_.max_tensor_bytes = options.max_tensor_bytes;
  }

  ~RunningServer() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Start(const ServerOptions& options) {
    if (!cpu_test_.ok()) return cpu_test_;
    auto files =
        AccessFiles::Open({.tokens = options.auth_tokens_file,
                           .tls = {.cert = options.tls_cert_file,
                                   .key = options.tls_key_file,
                                   .client_ca = options.tls_client_ca_file},
                           .tokens_need_tls = options.tokens_need_tls});
    if (!files.ok()) return files.status();
    access_files_ = *std::move(files);
    MakeService(options);
    if (!options.metrics_listen.empty()) {
      auto endpoint = MetricsEndpoint::Start(options.metrics_listen, metrics_);
      if (!endpoint.ok()) return endpoint.status();
      endpoint_ = *std::move(endpoint);
      metrics_address_ = endpoint_->address();
    }
    absl::Status status = Listen(options);
    if (!status.ok()) return status;
    health_.emplace(server_->GetHealthCheckService());
    health_->SetServing();
    device_watch_.emplace(devices_, *health_, options.log_format);
    device_watch_->Look();
    status = queue_probe_.Start(*server_);
    if (!status.ok()) return status;
    sweeper_.emplace(kSweepInterval, [this] {
      device_watch_->Look();
      access_files_->Look([this](std::string_view what, absl::Status result) {
        Reloaded(what, result);
      });
      tenants_->Sweep();
      stream_watch_.Look();
      chunk_arena_.Trim(kIdleMemory);
      for (const auto& backend : devices_.backends()) {
        if (!backend->may_wait()) backend->Trim(kIdleMemory);
      }
    });
    // Each by itself, lest one that waits holds up the rest.
    for (const auto& backend : devices_.backends()) {
      if (!backend->may_wait()) continue;
      trimmers_.push_back(std::make_unique<Repeater>(
          kSweepInterval, [&device = *backend] { device.Trim(kIdleMemory); }));
    }
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const override {
    return addresses_;
  }
  const std::string& metrics_address() const override {
    return metrics_address_;
  }

  void Shutdown(absl::Duration grace) override {
    std::call_once(shutdown_, [&] {
      if (server_ != nullptr) Drain(grace);
      // A server that could not start has none.
      if (tenants_.has_value()) tenants_->DropUploads();
      queue_probe_.Stop();
      sweeper_.reset();
      trimmers_.clear();
      endpoint_.reset();
    });
  }

 private:
  DeviceRegistry MakeDevices(const ServerOptions& options,
                             const DeviceFinder& find_devices) {
    const ParallelFor parallel_for = [this](std::size_t count,
                                            const auto& body) {
      workers_.Run(count, body);
    };
    const auto pooled_bytes =
        static_cast<std::size_t>(options.memory_limit_bytes / kPooledPart);
    CudaDevices cuda = find_devices(parallel_for);
    DeviceRegistry devices(std::move(cuda.support));
    cuda.backends.insert(
        cuda.backends.begin(),
        NewCpuBackend({.max_pooled_bytes = pooled_bytes}, parallel_for));
    cpu_test_ = AddTested(std::move(cuda.backends), devices);
    return devices;
  }

  void SetQuotas(const ServerOptions& options) {
    for (const auto& backend : devices_.backends()) {
      const auto total = static_cast<std::int64_t>(backend->memory_bytes());
      quotas_.Add(
          *backend,
          backend->device() == kCpuDevice
              ? options.memory_limit_bytes
              : std::min(ToBytes(options.cuda_memory_limit, total), total));
    }
  }

  void MakeService(const ServerOptions& options) {
    const Authenticator& authenticator = access_files_->authenticator();
    const ServiceContext shared{.devices = &devices_,
                                .chunk_arena = &chunk_arena_,
                                .quotas = &quotas_,
                                .stream_watch = &stream_watch_,
                                .limits = limits_,
                                .events = &metrics_,
                                .version = Version(),
                                .start_time = absl::Now()};
    tenants_.emplace(
        Tenants::Options{.limits = options.tenant_limits,
                         .max_tensors = options.max_tensors,
                         .evicts = options.evicts,
                         .are_told_apart = !authenticator.is_open(),
                         .upload_resume_window = options.upload_resume_window},
        shared);
    admission_.emplace(
        authenticator,
        [this](std::string_view name) { return tenants_->Find(name); },
        options.max_calls, load_shedder_);
    service_ = NewTensorService(*admission_, shared);
    admin_service_ = NewAdminService(*admission_, *tenants_, shared);
  }

  void ForEachTenant(const std::function<void(const TenantSources&)>& visit) {
    if (!tenants_.has_value()) return;
    tenants_->ForEach([&](const Tenant& tenant) {
      const ServiceContext& context = tenant.context();
      visit({.name = tenant.name(),
             .store = context.store,
             .quotas = &QuotasOf(context)});
    });
  }

  void Reloaded(std::string_view files, const absl::Status& result) {
    metrics_.Reloaded(files, result.ok());
    LogLine line(log_format_, result.ok() ? "reloaded" : "reload_failed");
    line.Add("files", files);
    if (!result.ok()) line.Add("message", FromAbsl(result.message()));
    WriteLogAt(result.ok() ? LogLevel::kInfo : LogLevel::kWarning, line.text());
  }

  std::shared_ptr<grpc::ServerCredentials> CredentialsOf(
      const ListenAddress& address) {
    const std::shared_ptr<const TlsKeys> keys = access_files_->tls_keys();
    if (keys == nullptr || address.is_unix()) {
      return grpc::InsecureServerCredentials();
    }
    return credentials_.emplace_back(TlsCredentials(keys));
  }

  absl::Status Listen(const ServerOptions& options) {
    auto parsed = ParseAddresses(options.listen);
    if (!parsed.ok()) return parsed.status();
    EnableStandardServices();
    grpc::ServerBuilder builder;
    LeaveOutOthersThan(options.standard_services, builder);
    SetLimits(limits_, options.memory_limit_bytes, options.stream_idle,
              builder);
    std::vector<int> ports(parsed->size());
    for (std::size_t i = 0; i < parsed->size(); ++i) {
      const ListenAddress& address = (*parsed)[i];
      if (address.is_unix()) {
        absl::Status status = RemoveStaleSocket(address.path);
        if (!status.ok()) return status;
      }
      builder.AddListeningPort(ListenAddressString(address),
                               CredentialsOf(address), &ports[i]);
    }
    ObserveCalls(builder);
    builder.RegisterService(service_.get());
    builder.RegisterService(admin_service_.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return CannotListen(*parsed);
    TakeAddresses(*std::move(parsed), ports);
    return absl::OkStatus();
  }

  void ObserveCalls(grpc::ServerBuilder& builder) {
    builder.SetContextAllocator(NewContextAllocator());
    std::vector<CallObserver*> observers = {&metrics_};
    if (access_log_.has_value()) observers.push_back(&*access_log_);
    std::vector<
        std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        factories;
    factories.push_back(NewCallInterceptorFactory(&inflight_, &queue_probe_,
                                                  std::move(observers)));
    builder.experimental().SetInterceptorCreators(std::move(factories));
  }

  // gRPC logs what is wrong, but does not tell.
  static absl::Status CannotListen(
      const std::vector<ListenAddress>& addresses) {
    for (const ListenAddress& address : addresses) {
      const std::string problem = BindProblem(address);
      if (problem.empty()) continue;
      return absl::UnavailableError(absl::StrCat(
          "can not listen on ", ListenAddressString(address), ": ", problem));
    }
    return absl::UnavailableError("can not listen");
  }

  void TakeAddresses(std::vector<ListenAddress> addresses,
                     const std::vector<int>& ports) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      if (addresses[i].is_unix()) {
        socket_files_.emplace_back(addresses[i].path);
      } else {
        addresses[i].port = ports[i];
      }
      addresses_.push_back(ListenAddressString(addresses[i]));
    }
  }

  void Drain(absl::Duration grace) {
    health_->SetDraining();
    admission_->Drain();
    {
      // Streams that watch health would last until the end of the grace: once
      // no call does work, all that is left is cancelled. Twice in a row, as a
      // call may just be on its way from gRPC to the interceptor.
      bool was_idle = false;
      const Repeater cancel_idle(kDrainPollInterval, [this, &was_idle] {
        const bool is_idle = inflight_.working() == 0;
        if (is_idle && was_idle) {
          grpc_server_cancel_all_calls(server_->c_server());
        }
        was_idle = is_idle;
      });
      server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    }
    server_->Wait();
    for (const UnixSocketFile& file : socket_files_) file.Remove();
  }

  // In the order of who needs whom: destroyed from the last to the first.
  WorkerPool workers_;
  // Whether the CPU computes what it should; without it nothing is served.
  absl::Status cpu_test_;
  DeviceRegistry devices_;
  Arena chunk_arena_{{.max_pooled_bytes = kPooledChunkBytes}};
  DeviceQuotas quotas_;
  InflightCalls inflight_;
  LoadShedder load_shedder_;
  QueueProbe queue_probe_{
      [this] { return load_shedder_.TakeBusy(); },
      [this](absl::Duration delay) { load_shedder_.SetQueueDelay(delay); }};
  StreamWatch stream_watch_;
  // Looked at by the metrics, and made later.
  std::optional<Tenants> tenants_;
  Metrics metrics_;
  const LogFormat log_format_;
  // Used by the sweeper once that runs.
  std::unique_ptr<AccessFiles> access_files_;
  std::optional<Admission> admission_;
  std::optional<AccessLog> access_log_;
  ServiceLimits limits_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Service> admin_service_;
  // Of addresses with TLS; asked for certificates as long as the server runs.
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<Health> health_;
  // Used by the sweeper once that runs.
  std::optional<DeviceWatch> device_watch_;
  std::unique_ptr<MetricsEndpoint> endpoint_;
  std::optional<Repeater> sweeper_;
  // One for each device that may wait.
  std::vector<std::unique_ptr<Repeater>> trimmers_;
  std::vector<UnixSocketFile> socket_files_;
  std::vector<std::string> addresses_;
  std::string metrics_address_;
  std::once_flag shutdown_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options, const DeviceFinder& find_devices) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  auto server = std::make_unique<RunningServer>(options, find_devices);
  status = server->Start(options);
  if (!status.ok()) return status;
  return server;
}

}  // namespace tensord
