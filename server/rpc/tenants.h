// All tenants, each with a store of its own.
#ifndef TENSORD_SERVER_RPC_TENANTS_H_
#define TENSORD_SERVER_RPC_TENANTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "core/store/tensor_limit.h"
#include "server/access/tenant_limits.h"
#include "server/rpc/tenant.h"

namespace tensord {

// Makes tenants when they are first asked for, and keeps them: what one has
// stored is there until it is deleted, whatever becomes of its credentials.
// Nothing that a tenant has is shared with another but the devices and their
// limits. Thread-safe.
class Tenants {
 public:
  // More than this are refused; certificates could name any number.
  static constexpr std::size_t kMaxTenants = 1024;

  struct Options {
    TenantLimits limits;
    // Most tensors of all tenants together.
    std::int64_t max_tensors = INT64_MAX;
    // Whether the least recently used tensors of a tenant make room for its
    // new ones.
    bool evicts = false;
    // Whether callers are told apart; if not, only the tenant "" is asked for.
    bool are_told_apart = false;
    // Of Uploads.
    absl::Duration upload_resume_window = absl::Seconds(10);
  };

  // `shared` says all but what a tenant has of its own; what it points to
  // outlives the tenants.
  Tenants(Options options, const ServiceContext& shared);
  ~Tenants();

  // RESOURCE_EXHAUSTED (QUOTA_EXCEEDED): kMaxTenants.
  absl::StatusOr<Tenant*> Find(std::string_view name);

  // Calls `f` for each, in the order of their names.
  void ForEach(const std::function<void(const Tenant&)>& f) const;

  // Drops what has expired of tensors and of suspended uploads.
  void Sweep();
  // Drops all suspended uploads.
  void DropUploads();
  // Of all.
  std::size_t suspended_uploads() const;

 private:
  class Holder;

  const Options options_;
  const ServiceContext shared_;
  TensorLimit tensor_limit_;
  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<Holder>, std::less<>> holders_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_TENANTS_H_
