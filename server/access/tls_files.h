// Certificate, key and authorities of the server, as PEM.
#ifndef TENSORD_SERVER_ACCESS_TLS_FILES_H_
#define TENSORD_SERVER_ACCESS_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"

namespace tensord {

// Where they are.
struct TlsPaths {
  std::string cert;
  std::string key;
  // Empty if clients show no certificates.
  std::string client_ca;
};

// What is in them.
struct TlsPem {
  std::string cert;
  std::string key;
  std::string client_ca;
};

// Reads the files. INVALID_ARGUMENT, with the path and never with the content,
// for what can not be read, is not PEM of its kind, or is a key that does not
// belong to the certificate.
absl::StatusOr<TlsPem> ReadTlsFiles(const TlsPaths& paths);

// A name of a host that the certificate in the file is for; empty if it is for
// none, or can not be read.
std::string CertifiedHost(const std::string& cert_path);

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_TLS_FILES_H_
