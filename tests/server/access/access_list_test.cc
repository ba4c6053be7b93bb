#include "server/access/access_list.h"

#include <openssl/sha.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(24 * 365 * 50);

std::string HashOf(const std::string& token) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         hash);
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(hash), SHA256_DIGEST_LENGTH));
}

std::string TokenLine(const std::string& token, const std::string& rest) {
  return absl::StrCat("sha256:", HashOf(token), " ", rest, "\n");
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

AccessList MustParse(const std::string& text) {
  auto list = AccessList::Parse(text);
  EXPECT_TRUE(list.ok()) << list.status();
  return *std::move(list);
}

TEST(AccessListTest, FindsWhatALineGrants) {
  const AccessList list = MustParse(absl::StrCat(
      "# who may call\n\n", TokenLine("secret", "team-a read,write"), "\t",
      TokenLine("other", "team_b.1   admin # the operator\r"),
      "cert:trainer.example team-a read\n"));
  EXPECT_EQ(list.size(), 3U);
  EXPECT_EQ(list.FindToken("secret", kNow),
            (Grant{"team-a", {Scope::kRead, Scope::kWrite}}));
  EXPECT_EQ(list.FindToken("other", kNow),
            (Grant{"team_b.1", {Scope::kAdmin}}));
  EXPECT_EQ(list.FindCertificate({"unknown", "trainer.example"}, kNow),
            (Grant{"team-a", {Scope::kRead}}));
  EXPECT_EQ(list.FindCertificate({"secret"}, kNow), std::nullopt);
}

// The sum that README shows how to make.
TEST(AccessListTest, HashesAsSha256sumDoes) {
  const AccessList list = MustParse(
      "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b "
      "t read");
  EXPECT_TRUE(list.FindToken("secret", kNow).has_value());
}

TEST(AccessListTest, TokensThatAreCloseAreNoTokens) {
  const AccessList list = MustParse(TokenLine("secret", "t read"));
  for (const char* token : {"", "secre", "secrets", "Secret", "secret\n"}) {
    EXPECT_EQ(list.FindToken(token, kNow), std::nullopt) << token;
  }
  EXPECT_EQ(list.FindToken(HashOf("secret"), kNow), std::nullopt);
}

TEST(AccessListTest, CredentialsExpire) {
  const AccessList list =
      MustParse(absl::StrCat(TokenLine("secret", "t read 2030-01-31T12:00:00Z"),
                             "cert:name t read 2030-01-31T12:00:00+01:00"));
  const absl::Time end =
      absl::FromCivil(absl::CivilSecond(2030, 1, 31, 12), absl::UTCTimeZone());
  EXPECT_TRUE(list.FindToken("secret", end - absl::Nanoseconds(1)).has_value());
  EXPECT_FALSE(list.FindToken("secret", end).has_value());
  EXPECT_FALSE(
      list.FindCertificate({"name"}, end - absl::Minutes(30)).has_value());
}

TEST(AccessListTest, EveryOfManyTokensIsFound) {
  std::string text;
  for (std::size_t i = 0; i < AccessList::kMaxEntries; ++i) {
    text += TokenLine(absl::StrCat("token", i), absl::StrCat("t", i, " read"));
  }
  const AccessList list = MustParse(text);
  for (std::size_t i = 0; i < AccessList::kMaxEntries; i += 97) {
    EXPECT_EQ(list.FindToken(absl::StrCat("token", i), kNow)->tenant,
              absl::StrCat("t", i));
  }
  EXPECT_THAT(
      Message(AccessList::Parse(text + TokenLine("more", "t read")).status()),
      HasSubstr("more than 4096"));
}

TEST(AccessListTest, SaysWhichLineIsWrongAndNeverWhatItIs) {
  const std::string hash = HashOf("secret");
  const std::string good = TokenLine("good", "t read");
  for (const std::string& line : std::vector<std::string>{
           "hunter2",
           "hunter2 t read",
           absl::StrCat("sha256:", hash),
           absl::StrCat("sha256:", hash, " t"),
           absl::StrCat("sha256:", hash, "0 t read"),
           absl::StrCat("sha256:", hash.substr(1), "g t read"),
           absl::StrCat("sha256:", hash.substr(1), " t read"),
           absl::StrCat("SHA256:", hash, " t read"),
           absl::StrCat("sha256: ", hash, " t read"),
           "cert: t read",
           absl::StrCat("sha256:", hash, " hunter/2 read"),
           absl::StrCat("sha256:", hash, " ", std::string(64, 't'), " read"),
           absl::StrCat("sha256:", hash, " t hunter2"),
           absl::StrCat("sha256:", hash, " t read,"),
           absl::StrCat("sha256:", hash, " t read, write"),
           absl::StrCat("sha256:", hash, " t read tomorrow"),
           absl::StrCat("sha256:", hash, " t read infinite-future"),
           absl::StrCat("sha256:", hash, " t read 2030-13-31T12:00:00Z"),
           absl::StrCat("sha256:", hash, " t read 2030-01-31T12:00:00Z more"),
           TokenLine("good", "t2 read"),
       }) {
    const auto list = AccessList::Parse(absl::StrCat(good, "\n", line));
    ASSERT_EQ(list.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(Message(list.status()), StartsWith("line 3: ")) << line;
    EXPECT_THAT(Message(list.status()), Not(HasSubstr("hunter"))) << line;
    EXPECT_THAT(Message(list.status()), Not(HasSubstr(hash.substr(8, 16))));
  }
}

TEST(AccessListTest, AFileWithoutCredentialsIsAMistake) {
  for (const char* text : {"", "\n\n", "# nobody\n"}) {
    EXPECT_EQ(AccessList::Parse(text).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(AccessList::Parse(std::string(AccessList::kMaxFileBytes + 1, '\n'))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tensord
