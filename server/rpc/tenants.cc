#include "server/rpc/tenants.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/store/device_quotas.h"
#include "core/store/tensor_store.h"
#include "server/rpc/request_log.h"
#include "server/rpc/uploads.h"

namespace tensord {

// In the order of who needs whom.
class Tenants::Holder {
 public:
  Holder(std::string name, const Options& options, TensorLimit& tensor_limit,
         ServiceContext context)
      : store_({.max_tensors = options.are_told_apart
                                   ? options.limits.max_tensors
                                   : options.max_tensors,
                .limit_of_all = &tensor_limit,
                .evicts = options.evicts,
                .events = context.events}),
        uploads_(options.upload_resume_window) {
    context.store = &store_;
    context.requests = &requests_;
    context.uploads = &uploads_;
    if (options.are_told_apart) {
      for (const auto& backend : context.devices->backends()) {
        const std::int64_t limit =
            context.quotas->Of(backend->device()).limit_bytes();
        quotas_.Add(*backend,
                    std::min(ToBytes(options.limits.memory, limit), limit));
      }
      context.own_quotas = &quotas_;
    }
    tenant_.emplace(std::move(name), context, options.limits.max_calls);
  }

  Tenant& tenant() { return *tenant_; }
  TensorStore& store() { return store_; }
  Uploads& uploads() { return uploads_; }

 private:
  TensorStore store_;
  DeviceQuotas quotas_;
  RequestLog requests_;
  Uploads uploads_;
  std::optional<Tenant> tenant_;
};

Tenants::Tenants(Options options, const ServiceContext& shared)
    : options_(options), shared_(shared), tensor_limit_(options.max_tensors) {}

Tenants::~Tenants() = default;

absl::StatusOr<Tenant*> Tenants::Find(std::string_view name) {
  MutexLock lock(mutex_);
  const auto it = holders_.find(name);
  if (it != holders_.end()) return &it->second->tenant();
  if (holders_.size() == kMaxTenants) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kQuotaExceeded,
                     absl::StrCat("there are ", kMaxTenants,
                                  " tenants, which is as many as there may "
                                  "be"));
  }
  auto holder = std::make_unique<Holder>(std::string(name), options_,
                                         tensor_limit_, shared_);
  Tenant* const tenant = &holder->tenant();
  holders_.emplace(name, std::move(holder));
  return tenant;
}

void Tenants::ForEach(const std::function<void(const Tenant&)>& f) const {
  std::vector<const Tenant*> tenants;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, holder] : holders_) {
      tenants.push_back(&holder->tenant());
    }
  }
  for (const Tenant* tenant : tenants) f(*tenant);
}

void Tenants::Sweep() {
  ForEach([](const Tenant& tenant) {
    tenant.context().store->Sweep();
    tenant.context().uploads->Sweep();
  });
}

void Tenants::DropUploads() {
  ForEach([](const Tenant& tenant) { tenant.context().uploads->Clear(); });
}

std::size_t Tenants::suspended_uploads() const {
  std::size_t count = 0;
  ForEach([&](const Tenant& tenant) {
    count += tenant.context().uploads->suspended();
  });
  return count;
}

}  // namespace tensord
