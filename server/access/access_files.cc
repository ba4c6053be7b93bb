#include "server/access/access_files.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tensord {
namespace {

std::vector<std::string> NonEmpty(std::vector<std::string> paths) {
  std::erase_if(paths, [](const std::string& path) { return path.empty(); });
  return paths;
}

absl::StatusOr<AccessList> ReadTokens(const std::string& path) {
  const auto text = ReadFile(path, AccessList::kMaxFileBytes);
  if (!text.ok()) return text.status();
  auto list = AccessList::Parse(*text);
  if (list.ok()) return list;
  return absl::InvalidArgumentError(
      absl::StrCat("the file ", path, ", ", list.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessFiles>> AccessFiles::Open(
    Options options) {
  std::optional<AccessList> tokens;
  if (!options.tokens.empty()) {
    auto read = ReadTokens(options.tokens);
    if (!read.ok()) return read.status();
    tokens = *std::move(read);
  }
  std::optional<TlsPem> tls;
  if (!options.tls.cert.empty()) {
    auto read = ReadTlsFiles(options.tls);
    if (!read.ok()) return read.status();
    tls = *std::move(read);
  }
  return std::unique_ptr<AccessFiles>(
      new AccessFiles(std::move(options), std::move(tokens), std::move(tls)));
}

AccessFiles::AccessFiles(Options options, std::optional<AccessList> tokens,
                         std::optional<TlsPem> tls)
    : options_(std::move(options)),
      token_files_(NonEmpty({options_.tokens})),
      tls_files_(NonEmpty(
          {options_.tls.cert, options_.tls.key, options_.tls.client_ca})),
      authenticator_({.has_certificates = !options_.tls.client_ca.empty(),
                      .tokens_need_tls = options_.tokens_need_tls},
                     std::move(tokens)),
      tls_keys_(tls.has_value() ? std::make_shared<TlsKeys>(*std::move(tls))
                                : nullptr) {}

void AccessFiles::Look(const OnReload& on_reload) {
  if (token_files_.HaveChanged()) {
    auto tokens = ReadTokens(options_.tokens);
    if (tokens.ok()) authenticator_.Replace(*std::move(tokens));
    on_reload("auth_tokens", tokens.status());
  }
  if (tls_files_.HaveChanged()) {
    auto tls = ReadTlsFiles(options_.tls);
    if (tls.ok()) tls_keys_->Replace(*std::move(tls));
    on_reload("tls", tls.status());
  }
}

}  // namespace tensord
