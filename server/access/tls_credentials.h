// TLS whose certificates can be replaced while it is in use.
#ifndef TENSORD_SERVER_ACCESS_TLS_CREDENTIALS_H_
#define TENSORD_SERVER_ACCESS_TLS_CREDENTIALS_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"
#include "grpcpp/security/server_credentials.h"
#include "server/access/tls_files.h"

namespace tensord {

// What handshakes use. Connections that are there keep what they have.
// Thread-safe.
class TlsKeys {
 public:
  explicit TlsKeys(TlsPem pem);

  // Handshakes from here on use this. REQUIRES: it has authorities of clients
  // if and only if what it replaces has.
  void Replace(TlsPem pem);
  std::shared_ptr<const TlsPem> current() const;

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const TlsPem> pem_ ABSL_GUARDED_BY(mutex_);
};

// For one address: clients need a certificate where `keys` have authorities for
// them. To be kept as long as the server is there: gRPC keeps less than that.
std::shared_ptr<grpc::ServerCredentials> TlsCredentials(
    std::shared_ptr<const TlsKeys> keys);

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_TLS_CREDENTIALS_H_
