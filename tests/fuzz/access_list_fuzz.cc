// Fuzz target: any bytes as the file of --auth_tokens.
#include <openssl/sha.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/access/access_list.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

using Lines = std::vector<std::string>;

// Tokens whose hashes are in the corpus.
constexpr std::string_view kTokens[] = {"", "a", "token"};

std::string HashOf(std::string_view token) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return absl::BytesToHexString(hash);
}

void CheckGrant(const Grant& grant, std::string_view input) {
  Require(!grant.tenant.empty() && grant.tenant.size() <= 63 &&
              std::all_of(grant.tenant.begin(), grant.tenant.end(),
                          [](unsigned char c) {
                            return absl::ascii_isalnum(c) || c == '.' ||
                                   c == '_' || c == '-';
                          }),
          "a tenant has a name", input);
  Require(grant.scopes != Scopes(), "a credential is for something", input);
}

// The name of a certificate that a line is about; empty if it is about none.
std::string CertificateOf(const std::string& line) {
  const std::vector<std::string> words =
      absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r"),
                     absl::SkipEmpty());
  return !words.empty() && absl::StartsWith(words[0], "cert:")
             ? words[0].substr(5)
             : "";
}

void CheckRefused(const absl::Status& status, std::string_view input) {
  RequireRefusal(status, input);
  // What files hold and no message does.
  constexpr std::size_t kHashBytes = 20;
  std::size_t digits = 0;
  for (const unsigned char c : status.message()) {
    digits = absl::ascii_isxdigit(c) ? digits + 1 : 0;
    Require(digits < kHashBytes, "a message without hashes", input);
  }
}

void CheckList(const AccessList& list, const Lines& lines,
               std::string_view input) {
  Require(list.size() >= 1 && list.size() <= AccessList::kMaxEntries,
          "a list has entries", input);
  const absl::Time before = absl::InfinitePast();
  const std::string lower = absl::AsciiStrToLower(absl::StrJoin(lines, "\n"));
  std::size_t found = 0;
  for (const std::string& line : lines) {
    const std::string name = CertificateOf(line);
    if (name.empty()) continue;
    const auto grant = list.FindCertificate({name}, before);
    Require(grant.has_value(), "a certificate that is there is found", input);
    CheckGrant(*grant, input);
    ++found;
  }
  for (const std::string_view token : kTokens) {
    const auto grant = list.FindToken(token, before);
    if (!grant.has_value()) continue;
    Require(absl::StrContains(lower, HashOf(token)),
            "a token that is found is there", input);
    CheckGrant(*grant, input);
    ++found;
  }
  Require(found <= list.size(), "no entry is for two credentials", input);
}

void CheckFile(const std::string& input) {
  const Lines lines = absl::StrSplit(input, '\n');
  const auto list = AccessList::Parse(input);
  if (list.ok()) {
    CheckList(*list, lines, input);
  } else {
    CheckRefused(list.status(), input);
  }
  // Neither order nor blanks nor comments matter.
  Lines other(lines.rbegin(), lines.rend());
  for (std::string& line : other) line = " \t" + line + "\r#";
  const auto again = AccessList::Parse(absl::StrJoin(other, "\n"));
  Require(again.ok() == list.ok(), "the order of lines does not matter", input);
  if (!list.ok()) return;
  Require(again->size() == list->size(), "all entries are found again", input);
  const absl::Time now = absl::FromUnixSeconds(1'900'000'000);
  for (const std::string_view token : kTokens) {
    Require(again->FindToken(token, now) == list->FindToken(token, now),
            "a token has one grant", input);
  }
}

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  // What more lines do, others do as well.
  constexpr std::size_t kMaxBytes = 8192;
  tensord::CheckFile(std::string(reinterpret_cast<const char*>(data),
                                 std::min(size, kMaxBytes)));
  return 0;
}
