// Who may call, by token or certificate: the file of --auth_tokens.
#ifndef TENSORD_SERVER_ACCESS_ACCESS_LIST_H_
#define TENSORD_SERVER_ACCESS_ACCESS_LIST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/access/scope.h"

namespace tensord {

// What a credential stands for.
struct Grant {
  // Empty for callers that nobody tells apart.
  std::string tenant;
  Scopes scopes;
  bool operator==(const Grant&) const = default;
};

// Grants by credential. Knows tokens by their SHA-256 alone. Immutable.
class AccessList {
 public:
  // More would make the look at a token take long.
  static constexpr std::size_t kMaxEntries = 4096;
  static constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

  // Reads lines of
  //   CREDENTIAL TENANT SCOPES [EXPIRES]
  // between blanks, where CREDENTIAL is `sha256:` and the 64 hexadecimal digits
  // of a token's SHA-256, or `cert:` and a name of a client's certificate;
  // TENANT is 1 to 63 characters out of A-Z a-z 0-9 . _ -; SCOPES is a list of
  // read, write and admin between commas; EXPIRES is a time of RFC 3339.
  // Whatever follows a # is a comment. INVALID_ARGUMENT, with the number of the
  // line and never with its text, for anything else, for a credential that is
  // there twice, and for more than kMaxEntries or no entries at all.
  static absl::StatusOr<AccessList> Parse(std::string_view text);

  // The grant of a bearer token; nothing if there is none, or if it expired by
  // `now`. Looks at every entry, whichever it is, and compares hashes in
  // constant time.
  std::optional<Grant> FindToken(std::string_view token, absl::Time now) const;

  // The same for a client's certificate with these names; the first that is in
  // the list counts.
  std::optional<Grant> FindCertificate(const std::vector<std::string>& names,
                                       absl::Time now) const;

  std::size_t size() const { return tokens_.size() + certificates_.size(); }

 private:
  using Sha256 = std::array<std::uint8_t, 32>;
  struct Entry {
    Grant grant;
    absl::Time expires = absl::InfiniteFuture();
  };
  struct Token {
    Sha256 hash;
    Entry entry;
  };

  absl::Status AddLine(std::string_view line);
  absl::Status AddEntry(std::string_view credential, Entry entry);

  std::vector<Token> tokens_;
  std::map<std::string, Entry, std::less<>> certificates_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_ACCESS_LIST_H_
