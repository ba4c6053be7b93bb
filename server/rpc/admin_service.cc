#include "server/rpc/admin_service.h"

#include <malloc.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/observe/log_line.h"
#include "server/rpc/call.h"
#include "server/rpc/uploads.h"
#include "tensord/v1/admin.grpc.pb.h"

namespace tensord {
namespace {

using Call = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

std::optional<LogLevel> ParseLevel(v1::LogLevel level) {
  switch (level) {
    case v1::LOG_LEVEL_ERROR:
      return LogLevel::kError;
    case v1::LOG_LEVEL_WARNING:
      return LogLevel::kWarning;
    case v1::LOG_LEVEL_INFO:
      return LogLevel::kInfo;
    case v1::LOG_LEVEL_DEBUG:
      return LogLevel::kDebug;
    default:
      return std::nullopt;
  }
}

v1::LogLevel ToProto(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return v1::LOG_LEVEL_ERROR;
    case LogLevel::kWarning:
      return v1::LOG_LEVEL_WARNING;
    case LogLevel::kInfo:
      return v1::LOG_LEVEL_INFO;
    case LogLevel::kDebug:
      break;
  }
  return v1::LOG_LEVEL_DEBUG;
}

void Describe(const Tenant& tenant, v1::TenantUsage& usage) {
  const ServiceContext& context = tenant.context();
  usage.set_tenant(tenant.name());
  usage.set_calls(tenant.call_limit().calls());
  usage.set_max_calls(tenant.call_limit().max_calls());
  usage.set_suspended_uploads(
      static_cast<std::int64_t>(context.uploads->suspended()));
  for (const auto& backend : context.devices->backends()) {
    const Device device = backend->device();
    const DeviceUsage stored = context.store->UsageOf(device);
    v1::DeviceUsage& on_device = *usage.add_devices();
    const Quota& quota = QuotasOf(context).Of(device);
    on_device.set_device(DeviceString(device));
    on_device.set_tensors(stored.tensors);
    on_device.set_stored_bytes(stored.stored_bytes);
    on_device.set_used_bytes(quota.used_bytes());
    on_device.set_limit_bytes(quota.limit_bytes());
  }
}

std::int64_t ReservedBytes(const ServiceContext& context) {
  std::size_t bytes = context.chunk_arena->stats().pooled_bytes;
  for (const auto& backend : context.devices->backends()) {
    bytes += backend->pool_stats().reserved_bytes;
  }
  return static_cast<std::int64_t>(bytes);
}

class Service final : public v1::AdminService::CallbackService {
 public:
  Service(Admission& admission, const Tenants& tenants,
          const ServiceContext& shared)
      : admission_(admission), tenants_(tenants), shared_(shared) {}
  ~Service() override { worker_.join(); }

  Unary* ListTenants(Call* call, const v1::ListTenantsRequest*,
                     v1::ListTenantsResponse* response) override {
    return ReplyLater(*call, [this, response] {
      tenants_.ForEach([&](const Tenant& tenant) {
        Describe(tenant, *response->add_tenants());
      });
      return absl::OkStatus();
    });
  }

  Unary* TrimMemory(Call* call, const v1::TrimMemoryRequest*,
                    v1::TrimMemoryResponse* response) override {
    return ReplyLater(*call, [this, response] {
      const std::int64_t before = ReservedBytes(shared_);
      shared_.chunk_arena->Trim();
      for (const auto& backend : shared_.devices->backends()) {
        backend->Trim(absl::ZeroDuration());
      }
      // Others may take some meanwhile.
      const std::int64_t freed =
          std::max<std::int64_t>(before - ReservedBytes(shared_), 0);
      // What gRPC's messages leave behind.
      malloc_trim(0);
      response->set_freed_bytes(freed);
      return absl::OkStatus();
    });
  }

  Unary* SetLogLevel(Call* call, const v1::SetLogLevelRequest* request,
                     v1::SetLogLevelResponse* response) override {
    return Reply(*call, [&] {
      const std::optional<LogLevel> level = ParseLevel(request->level());
      if (!level.has_value()) {
        return InvalidArgument(
            reason::kLogLevelInvalid,
            absl::StrCat("there is no log level ", request->level()), "level");
      }
      response->set_previous_level(ToProto(GetLogLevel()));
      tensord::SetLogLevel(*level);
      return absl::OkStatus();
    });
  }

 private:
  template <class Work>
  Unary* Reply(Call& call, Work work) {
    Unary* const reactor = call.DefaultReactor();
    const absl::Status status = Guarded([&] {
      const auto admitted =
          admission_.Admit(call, {Scope::kAdmin}, Urgency::kEssential);
      return admitted.ok() ? work() : admitted.status();
    });
    reactor->Finish(Conclude(status, call, *shared_.events));
    return reactor;
  }

  // The same from a thread that may take its time.
  template <class Work>
  Unary* ReplyLater(Call& call, Work work) {
    Unary* const reactor = call.DefaultReactor();
    const absl::Status status = Guarded([&] {
      auto admitted =
          admission_.Admit(call, {Scope::kAdmin}, Urgency::kEssential);
      if (!admitted.ok()) return admitted.status();
      // What is posted has to be copyable.
      auto held = std::make_shared<Admitted>(*std::move(admitted));
      asio::post(worker_, [this, &call, reactor, work,
                           held = std::move(held)]() mutable {
        const absl::Status result = Guarded(work);
        // Whoever hears of the end finds nothing of the call left.
        held.reset();
        reactor->Finish(Conclude(result, call, *shared_.events));
      });
      return absl::OkStatus();
    });
    if (!status.ok()) {
      reactor->Finish(Conclude(status, call, *shared_.events));
    }
    return reactor;
  }

  Admission& admission_;
  const Tenants& tenants_;
  const ServiceContext shared_;
  asio::thread_pool worker_{1};
};

}  // namespace

std::unique_ptr<grpc::Service> NewAdminService(Admission& admission,
                                               const Tenants& tenants,
                                               const ServiceContext& shared) {
  return std::make_unique<Service>(admission, tenants, shared);
}

}  // namespace tensord
