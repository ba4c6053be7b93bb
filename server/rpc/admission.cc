#include "server/rpc/admission.h"

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

std::string ScopeNames(Scopes scopes) {
  std::string names;
  for (const Scope scope : kAllScopes) {
    if (!scopes.Has(scope)) continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ",
                    std::string(ScopeName(scope)));
  }
  return names;
}

absl::Status TooManyCalls(const CallLimit& limit, std::string_view whose) {
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kTooManyRequests,
      absl::StrCat(limit.max_calls(), " calls", std::string(whose),
                   " are under way, which is as many as there may be"));
  AddErrorMetadata(status, "limitCalls", absl::StrCat(limit.max_calls()));
  return status;
}

absl::Status Overloaded(const LoadShedder& shedder) {
  const std::int64_t delay_ms =
      absl::ToInt64Milliseconds(shedder.queue_delay());
  const std::int64_t limit_ms = absl::ToInt64Milliseconds(shedder.max_delay());
  absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                absl::StrCat("calls wait for their turn for ", delay_ms,
                             " ms, longer than ", limit_ms, " ms"));
  AddErrorMetadata(status, "queueDelayMilliseconds", absl::StrCat(delay_ms));
  AddErrorMetadata(status, "limitMilliseconds", absl::StrCat(limit_ms));
  return status;
}

}  // namespace

absl::Status CheckScopes(Scopes granted, Scopes needed) {
  for (const Scope scope : kAllScopes) {
    if (!needed.Has(scope) || granted.Has(scope)) continue;
    absl::Status status = MakeError(
        absl::StatusCode::kPermissionDenied, reason::kRoleMissing,
        absl::StrCat("permission `", std::string(ScopeName(scope)),
                     "` denied; the credential has: ", ScopeNames(granted)));
    AddErrorMetadata(status, "scope", ScopeName(scope));
    return status;
  }
  return absl::OkStatus();
}

Admission::Admission(const Authenticator& authenticator, FindTenant find_tenant,
                     std::int64_t max_calls, LoadShedder& load_shedder)
    : authenticator_(authenticator),
      find_tenant_(std::move(find_tenant)),
      call_limit_(max_calls),
      load_shedder_(load_shedder) {}

absl::StatusOr<Admitted> Admission::Admit(
    const grpc::CallbackServerContext& call, Scopes needed, Urgency urgency) {
  const auto grant = authenticator_.Authenticate(call);
  if (!grant.ok()) return grant.status();
  absl::Status status = CheckScopes(grant->scopes, needed);
  if (!status.ok()) return status;
  if (call.deadline() <= std::chrono::system_clock::now()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded,
                     reason::kDeadlinePassed,
                     "the deadline had passed when the call arrived");
  }
  if (is_draining_) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                     "the server is about to stop");
  }
  const auto tenant = find_tenant_(grant->tenant);
  if (!tenant.ok()) return tenant.status();
  if (load_shedder_.Sheds() && urgency == Urgency::kOrdinary) {
    return Overloaded(load_shedder_);
  }
  auto slot = call_limit_.Enter();
  if (!slot.has_value()) return TooManyCalls(call_limit_, "");
  auto tenant_slot = (*tenant)->call_limit().Enter();
  if (!tenant_slot.has_value()) {
    return TooManyCalls((*tenant)->call_limit(), " of the tenant");
  }
  return Admitted(*tenant, grant->scopes, *std::move(slot),
                  *std::move(tenant_slot));
}

}  // namespace tensord
