#include "server/access/authenticator.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "core/bearer_token.h"
#include "core/error.h"
#include "grpc/grpc_security_constants.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

constexpr std::size_t kMaxAuthorizationBytes = 4096;
constexpr std::string_view kScheme = "bearer ";

absl::Status Unauthenticated(std::string_view reason, std::string_view text) {
  return MakeError(absl::StatusCode::kUnauthenticated, reason, text);
}

absl::Status NotInTheList() {
  return Unauthenticated(reason::kTokenInvalid,
                         "the credential is not one that this server knows");
}

absl::StatusOr<std::string_view> ParseAuthorization(
    const std::vector<std::string_view>& values) {
  const absl::Status malformed = Unauthenticated(
      reason::kTokenMalformed,
      "the metadata `authorization` is not one value of `Bearer TOKEN`");
  if (values.size() != 1 || values[0].size() > kMaxAuthorizationBytes ||
      !absl::StartsWithIgnoreCase(ToAbsl(values[0]), ToAbsl(kScheme))) {
    return malformed;
  }
  std::string_view token = values[0].substr(kScheme.size());
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
  if (!IsBearerToken(token)) return malformed;
  return token;
}

}  // namespace

Authenticator::Authenticator(Options options, std::optional<AccessList> list)
    : options_(options), has_list_(list.has_value()) {
  if (list.has_value()) Replace(*std::move(list));
}

void Authenticator::Replace(AccessList list) {
  auto replacement = std::make_shared<const AccessList>(std::move(list));
  MutexLock lock(mutex_);
  list_.swap(replacement);
}

std::shared_ptr<const AccessList> Authenticator::list() const {
  MutexLock lock(mutex_);
  return list_;
}

absl::StatusOr<Grant> Authenticator::Authenticate(
    const Credentials& credentials, absl::Time now) const {
  const std::vector<std::string>& names = credentials.certificate_names;
  if (!has_list_) {
    if (!options_.has_certificates || credentials.is_local) {
      return Grant{.tenant = "", .scopes = Scopes::All()};
    }
    if (names.empty()) {
      return Unauthenticated(reason::kTokenMissing,
                             "the client shows no certificate");
    }
    return Grant{.tenant = names[0], .scopes = {Scope::kRead, Scope::kWrite}};
  }
  const std::shared_ptr<const AccessList> known = list();
  std::optional<Grant> grant;
  if (!credentials.authorization.empty()) {
    const auto token = ParseAuthorization(credentials.authorization);
    if (!token.ok()) return token.status();
    if (options_.tokens_need_tls && credentials.is_exposed) {
      return Unauthenticated(reason::kTokenExposed,
                             "tokens are accepted over TLS and Unix sockets "
                             "only; consider this one known to others");
    }
    grant = known->FindToken(*token, now);
  } else if (!names.empty()) {
    grant = known->FindCertificate(names, now);
  } else {
    return Unauthenticated(
        reason::kTokenMissing,
        "there is no token: send the metadata `authorization: Bearer TOKEN`");
  }
  return grant.has_value() ? absl::StatusOr<Grant>(*std::move(grant))
                           : NotInTheList();
}

absl::StatusOr<Grant> Authenticator::Authenticate(
    const grpc::CallbackServerContext& call) const {
  return is_open() ? Authenticate(Credentials{}, absl::InfinitePast())
                   : Authenticate(CredentialsOf(call), absl::Now());
}

Credentials Authenticator::CredentialsOf(
    const grpc::CallbackServerContext& call) const {
  Credentials credentials;
  const auto [begin, end] = call.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) {
    credentials.authorization.emplace_back(it->second.data(),
                                           it->second.size());
  }
  if (!options_.has_certificates && !options_.tokens_need_tls) {
    return credentials;
  }
  const auto transport = call.auth_context();
  const std::vector<grpc::string_ref> types =
      transport->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  const bool is_encrypted =
      std::any_of(types.begin(), types.end(), [](grpc::string_ref type) {
        return type == GRPC_SSL_TRANSPORT_SECURITY_TYPE ||
               type == GRPC_TLS_TRANSPORT_SECURITY_TYPE;
      });
  credentials.is_local = absl::StartsWith(call.peer(), "unix:");
  credentials.is_exposed = !is_encrypted && !credentials.is_local;
  if (is_encrypted) {
    for (const grpc::string_ref& name : transport->GetPeerIdentity()) {
      credentials.certificate_names.emplace_back(name.data(), name.size());
    }
  }
  return credentials;
}

}  // namespace tensord
