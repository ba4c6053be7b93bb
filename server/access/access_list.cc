#include "server/access/access_list.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

constexpr std::string_view kTokenPrefix = "sha256:";
constexpr std::string_view kCertificatePrefix = "cert:";
constexpr std::size_t kMaxTenantBytes = 63;

bool IsTenantCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == '-';
}

absl::Status CheckTenant(std::string_view tenant) {
  if (tenant.size() <= kMaxTenantBytes &&
      std::all_of(tenant.begin(), tenant.end(), IsTenantCharacter)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the tenant is not 1 to ", kMaxTenantBytes,
                   " characters out of A-Z a-z 0-9 . _ -"));
}

absl::StatusOr<Scopes> ParseScopes(std::string_view text) {
  Scopes scopes;
  for (const absl::string_view name : absl::StrSplit(ToAbsl(text), ',')) {
    const auto* const scope = std::find_if(
        kAllScopes.begin(), kAllScopes.end(),
        [&](Scope one) { return ScopeName(one) == FromAbsl(name); });
    if (scope == kAllScopes.end()) {
      return absl::InvalidArgumentError(
          "the scopes are not a list of read, write and admin, with commas "
          "and without blanks between them");
    }
    scopes.Add(*scope);
  }
  return scopes;
}

absl::StatusOr<absl::Time> ParseExpiry(std::string_view text) {
  absl::Time time;
  std::string error;
  // Abseil reads words for infinity as well.
  if (absl::ParseTime(absl::RFC3339_full, ToAbsl(text), &time, &error) &&
      time != absl::InfiniteFuture() && time != absl::InfinitePast()) {
    return time;
  }
  return absl::InvalidArgumentError(
      "the time at which the credential expires is not one of RFC 3339, such "
      "as 2030-01-31T12:00:00Z");
}

// False unless `text` is 64 hexadecimal digits.
template <class Hash>
bool ParseHash(std::string_view text, Hash& hash) {
  if (text.size() != 2 * hash.size() ||
      !std::all_of(text.begin(), text.end(), [](char c) {
        return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      })) {
    return false;
  }
  const std::string bytes = absl::HexStringToBytes(ToAbsl(text));
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return true;
}

absl::Status Twice() {
  return absl::InvalidArgumentError("the credential is there already");
}

}  // namespace

absl::StatusOr<AccessList> AccessList::Parse(std::string_view text) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        text.size(), " bytes; at most ", kMaxFileBytes, " are read"));
  }
  AccessList list;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    absl::Status status = list.AddLine(FromAbsl(line));
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", status.message()));
    }
  }
  if (list.size() == 0) {
    return absl::InvalidArgumentError("there is no credential in it");
  }
  return list;
}

absl::Status AccessList::AddLine(std::string_view line) {
  const absl::string_view text = ToAbsl(line.substr(0, line.find('#')));
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.empty()) return absl::OkStatus();
  if (words.size() < 3 || words.size() > 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        words.size(), " words; expected CREDENTIAL TENANT SCOPES [EXPIRES]"));
  }
  if (size() == kMaxEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxEntries, " credentials"));
  }
  absl::Status status = CheckTenant(FromAbsl(words[1]));
  if (!status.ok()) return status;
  const absl::StatusOr<Scopes> scopes = ParseScopes(FromAbsl(words[2]));
  if (!scopes.ok()) return scopes.status();
  Entry entry{.grant = {.tenant = std::string(words[1]), .scopes = *scopes}};
  if (words.size() == 4) {
    const absl::StatusOr<absl::Time> expires = ParseExpiry(FromAbsl(words[3]));
    if (!expires.ok()) return expires.status();
    entry.expires = *expires;
  }
  return AddEntry(FromAbsl(words[0]), std::move(entry));
}

absl::Status AccessList::AddEntry(std::string_view credential, Entry entry) {
  if (credential.starts_with(kCertificatePrefix)) {
    credential.remove_prefix(kCertificatePrefix.size());
    if (credential.empty()) {
      return absl::InvalidArgumentError("the certificate has no name");
    }
    const bool is_new =
        certificates_.emplace(std::string(credential), std::move(entry)).second;
    return is_new ? absl::OkStatus() : Twice();
  }
  Sha256 hash;
  if (!credential.starts_with(kTokenPrefix) ||
      !ParseHash(credential.substr(kTokenPrefix.size()), hash)) {
    return absl::InvalidArgumentError(
        "the credential is neither sha256: and 64 hexadecimal digits, nor "
        "cert: and a name");
  }
  if (std::any_of(tokens_.begin(), tokens_.end(),
                  [&](const Token& token) { return token.hash == hash; })) {
    return Twice();
  }
  tokens_.push_back({hash, std::move(entry)});
  return absl::OkStatus();
}

std::optional<Grant> AccessList::FindToken(std::string_view token,
                                           absl::Time now) const {
  Sha256 hash;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         hash.data());
  const Entry* found = nullptr;
  for (const Token& known : tokens_) {
    if (CRYPTO_memcmp(known.hash.data(), hash.data(), hash.size()) == 0) {
      found = &known.entry;
    }
  }
  if (found == nullptr || found->expires <= now) return std::nullopt;
  return found->grant;
}

std::optional<Grant> AccessList::FindCertificate(
    const std::vector<std::string>& names, absl::Time now) const {
  for (const std::string& name : names) {
    const auto it = certificates_.find(name);
    if (it != certificates_.end() && it->second.expires > now) {
      return it->second.grant;
    }
  }
  return std::nullopt;
}

}  // namespace tensord
