// Who a caller is.
#ifndef TENSORD_SERVER_ACCESS_AUTHENTICATOR_H_
#define TENSORD_SERVER_ACCESS_AUTHENTICATOR_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "grpcpp/server_context.h"
#include "server/access/access_list.h"

namespace tensord {

// What a call shows of its caller.
struct Credentials {
  // Every value of the metadata `authorization`.
  std::vector<std::string_view> authorization;
  // Names in a certificate that TLS has verified: the alternative ones, or the
  // common name if there are none.
  std::vector<std::string> certificate_names;
  // Whether others on the way can read it: TCP without TLS.
  bool is_exposed = false;
  // Over a Unix socket, which the permissions of the file guard.
  bool is_local = false;
};

// Tells grants of calls. Without an access list, callers are of the tenant that
// their certificate names first, with scopes read and write, and those of Unix
// sockets may do everything and are of the tenant ""; where there are no
// certificates either, that goes for everybody.
// Thread-safe.
class Authenticator {
 public:
  struct Options {
    // Whether clients show certificates.
    bool has_certificates = false;
    // Refuses tokens that others on the way can read.
    bool tokens_need_tls = false;
  };

  // `list` is absent where there are no tokens.
  Authenticator(Options options, std::optional<AccessList> list);

  // Whether callers are told apart at all.
  bool is_open() const { return !has_list_ && !options_.has_certificates; }

  // Calls from here on are looked at with this list. REQUIRES: there was one.
  void Replace(AccessList list);

  // UNAUTHENTICATED: TOKEN_MISSING; TOKEN_MALFORMED for what is not `Bearer`
  // and a token of RFC 6750 within 4 KiB, or is there twice; TOKEN_INVALID for
  // a token or a certificate that is not in the list, or expired; TOKEN_EXPOSED
  // (see Options). No text tells which of these tokens were close.
  absl::StatusOr<Grant> Authenticate(const Credentials& credentials,
                                     absl::Time now) const;
  absl::StatusOr<Grant> Authenticate(
      const grpc::CallbackServerContext& call) const;

 private:
  Credentials CredentialsOf(const grpc::CallbackServerContext& call) const;
  std::shared_ptr<const AccessList> list() const;

  const Options options_;
  const bool has_list_;
  mutable Mutex mutex_;
  std::shared_ptr<const AccessList> list_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_AUTHENTICATOR_H_
