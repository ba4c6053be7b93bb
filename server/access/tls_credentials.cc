#include "server/access/tls_credentials.h"

#include <string>
#include <utility>

#include "core/tsan.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpcpp/version_info.h"

// gRPC's own credentials take certificates that stay, and those that reload
// files drop what works for what does not. The C interface beneath asks for
// certificates at every handshake; from C++ it is reached by a class of ours,
// for which gRPC 1.55 changed the base.
#define TENSORD_GRPC_OWNS_CREDENTIALS \
  (GRPC_CPP_VERSION_MAJOR > 1 || GRPC_CPP_VERSION_MINOR >= 55)

namespace tensord {
namespace {

// What gRPC asks for certificates, from several threads. Of one address.
struct Source {
  explicit Source(std::shared_ptr<const TlsKeys> of) : keys(std::move(of)) {}

  const std::shared_ptr<const TlsKeys> keys;
  Mutex mutex;
  // What the address has already.
  std::shared_ptr<const TlsPem> taken ABSL_GUARDED_BY(mutex);
};

grpc_ssl_certificate_config_reload_status Fetch(
    void* source_address, grpc_ssl_server_certificate_config** config) {
  TakeOver(source_address);
  auto& source = *static_cast<Source*>(source_address);
  std::shared_ptr<const TlsPem> current = source.keys->current();
  MutexLock lock(source.mutex);
  if (current == source.taken) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const grpc_ssl_pem_key_cert_pair pair{current->key.c_str(),
                                        current->cert.c_str()};
  // gRPC wants authorities here even if it asks clients for nothing.
  const std::string& authorities =
      current->client_ca.empty() ? current->cert : current->client_ca;
  *config =
      grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  source.taken = std::move(current);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

grpc_server_credentials* NewCredentials(Source& source) {
  const bool asks_clients = !source.keys->current()->client_ca.empty();
  HandOver(&source);
  return grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(
          asks_clients
              ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
              : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
          Fetch, &source));
}

#if TENSORD_GRPC_OWNS_CREDENTIALS

// A base, so that the source is there before the credentials and after them.
struct HasSource {
  explicit HasSource(std::shared_ptr<const TlsKeys> keys)
      : source(std::move(keys)) {}
  Source source;
};

class Credentials final : private HasSource, public grpc::ServerCredentials {
 public:
  explicit Credentials(std::shared_ptr<const TlsKeys> keys)
      : HasSource(std::move(keys)),
        grpc::ServerCredentials(NewCredentials(source)) {}

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}
};

#else

class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(std::shared_ptr<const TlsKeys> keys)
      : source_(std::move(keys)), credentials_(NewCredentials(source_)) {}
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  Source source_;
  grpc_server_credentials* const credentials_;
};

#endif

}  // namespace

TlsKeys::TlsKeys(TlsPem pem)
    : pem_(std::make_shared<const TlsPem>(std::move(pem))) {}

void TlsKeys::Replace(TlsPem pem) {
  auto replacement = std::make_shared<const TlsPem>(std::move(pem));
  MutexLock lock(mutex_);
  pem_.swap(replacement);
}

std::shared_ptr<const TlsPem> TlsKeys::current() const {
  MutexLock lock(mutex_);
  return pem_;
}

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(
    std::shared_ptr<const TlsKeys> keys) {
  return std::make_shared<Credentials>(std::move(keys));
}

}  // namespace tensord
