#include "server/access/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/access/watched_files.h"

namespace tensord {
namespace {

// A bundle of all public authorities has some 200 KiB.
constexpr std::size_t kMaxPemBytes = std::size_t{4} << 20;

template <auto free>
struct Free {
  void operator()(auto* object) const { free(object); }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;

Bio Reader(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Without it OpenSSL asks for the passphrase on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

Certificate FirstCertificate(const std::string& pem) {
  return Certificate(
      PEM_read_bio_X509(Reader(pem).get(), nullptr, NoPassphrase, nullptr));
}

absl::Status NotPem(const std::string& path, const char* what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the file ", path, " holds no ", what, " as PEM"));
}

absl::Status CheckPair(const TlsPaths& paths, const TlsPem& pem) {
  const Certificate certificate = FirstCertificate(pem.cert);
  if (certificate == nullptr) return NotPem(paths.cert, "certificate");
  const Key key(PEM_read_bio_PrivateKey(Reader(pem.key).get(), nullptr,
                                        NoPassphrase, nullptr));
  if (key == nullptr) {
    return NotPem(paths.key, "private key without a passphrase");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key in ", paths.key,
                     " does not belong to the certificate in ", paths.cert));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsPem> ReadTlsFiles(const TlsPaths& paths) {
  TlsPem pem;
  const std::pair<const std::string*, std::string*> files[] = {
      {&paths.cert, &pem.cert},
      {&paths.key, &pem.key},
      {&paths.client_ca, &pem.client_ca}};
  for (const auto& [path, content] : files) {
    if (path->empty()) continue;
    auto read = ReadFile(*path, kMaxPemBytes);
    if (!read.ok()) return read.status();
    *content = *std::move(read);
  }
  absl::Status status = CheckPair(paths, pem);
  if (status.ok() && !paths.client_ca.empty() &&
      FirstCertificate(pem.client_ca) == nullptr) {
    status = NotPem(paths.client_ca, "certificate");
  }
  // What went wrong stays with the thread otherwise, for gRPC to find.
  ERR_clear_error();
  if (!status.ok()) return status;
  return pem;
}

std::string CertifiedHost(const std::string& cert_path) {
  const auto pem = ReadFile(cert_path, kMaxPemBytes);
  if (!pem.ok()) return "";
  const Certificate certificate = FirstCertificate(*pem);
  std::string host;
  if (certificate != nullptr) {
    const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(
        certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
      const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
      if (name->type != GEN_DNS) continue;
      host.assign(
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
          static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
      break;
    }
  }
  ERR_clear_error();
  if (host.starts_with("*.")) host.replace(0, 1, "any");
  return host;
}

}  // namespace tensord
