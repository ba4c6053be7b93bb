// Where calls come in: who they are, whether they may, and whether there is
// room.
#ifndef TENSORD_SERVER_RPC_ADMISSION_H_
#define TENSORD_SERVER_RPC_ADMISSION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "server/access/authenticator.h"
#include "server/access/call_limit.h"
#include "server/access/load_shedder.h"
#include "server/access/scope.h"
#include "server/rpc/tenant.h"

namespace tensord {

// A call that may go on, and its places among the calls, which it has until
// this is destroyed: before the client learns how the call ended.
class Admitted {
 public:
  Admitted(Tenant* tenant, Scopes scopes, CallLimit::Slot slot,
           CallLimit::Slot tenant_slot)
      : tenant_(tenant),
        scopes_(scopes),
        slot_(std::move(slot)),
        tenant_slot_(std::move(tenant_slot)) {}

  Tenant& tenant() const { return *tenant_; }
  const ServiceContext& context() const { return tenant_->context(); }
  Scopes scopes() const { return scopes_; }

 private:
  Tenant* tenant_;
  Scopes scopes_;
  CallLimit::Slot slot_;
  CallLimit::Slot tenant_slot_;
};

// What methods need.
inline constexpr Scopes kReadScopes = {Scope::kRead};
inline constexpr Scopes kCreateScopes = {Scope::kWrite};
inline constexpr Scopes kDeleteScopes = {Scope::kWrite};
// What becomes of a tensor's values tells of them.
inline constexpr Scopes kTransformScopes = {Scope::kRead, Scope::kWrite};
inline constexpr Scopes kUpdateScopes = {Scope::kRead, Scope::kWrite};

// OK, or PERMISSION_DENIED (ROLE_MISSING).
absl::Status CheckScopes(Scopes granted, Scopes needed);

// Whether a server with more to do than it can may refuse a call. Essential are
// those that it takes to connect, to give back what it holds, and to look after
// it.
enum class Urgency { kOrdinary, kEssential };

// Thread-safe.
class Admission {
 public:
  // Errors of Tenants::Find.
  using FindTenant =
      std::function<absl::StatusOr<Tenant*>(std::string_view name)>;

  // `authenticator`, `load_shedder` and the tenants that are found outlive the
  // admission and what it admits.
  Admission(const Authenticator& authenticator, FindTenant find_tenant,
            std::int64_t max_calls, LoadShedder& load_shedder);

  // In this order: errors of Authenticator; PERMISSION_DENIED (ROLE_MISSING)
  // without `needed`; DEADLINE_EXCEEDED (DEADLINE_PASSED) if the client has
  // given up by now; UNAVAILABLE (DRAINING) after Drain; RESOURCE_EXHAUSTED
  // (OVERLOADED) for some ordinary calls while all wait for too long, and
  // (TOO_MANY_REQUESTS) if as many calls as there may be are under way, of all
  // or of the tenant. The admission has to outlive what it admits.
  absl::StatusOr<Admitted> Admit(const grpc::CallbackServerContext& call,
                                 Scopes needed, Urgency urgency);

  // Admits nothing from here on.
  void Drain() { is_draining_ = true; }

 private:
  const Authenticator& authenticator_;
  const FindTenant find_tenant_;
  CallLimit call_limit_;
  LoadShedder& load_shedder_;
  std::atomic<bool> is_draining_{false};
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_ADMISSION_H_
