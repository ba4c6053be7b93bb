#include "server/access/authenticator.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

// The SHA-256 of "secret" and of "old".
constexpr char kList[] =
    "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b "
    "team read\n"
    "sha256:cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4 "
    "team read 2020-01-01T00:00:00Z\n"
    "cert:known team write\n";

AccessList List() { return *AccessList::Parse(kList); }

// "TENANT", or the reason of the refusal.
std::string Outcome(const Authenticator& authenticator,
                    const Credentials& credentials) {
  const auto grant = authenticator.Authenticate(credentials, absl::Now());
  if (grant.ok()) return grant->tenant;
  EXPECT_EQ(grant.status().code(), absl::StatusCode::kUnauthenticated);
  return GetErrorReason(grant.status());
}

Credentials Token(std::string_view authorization) {
  return {.authorization = {authorization}, .certificate_names = {}};
}

TEST(AuthenticatorTest, WithoutAListEverybodyMayDoEverything) {
  const Authenticator open({}, std::nullopt);
  EXPECT_TRUE(open.is_open());
  const auto grant = open.Authenticate(Token("nonsense"), absl::Now());
  ASSERT_TRUE(grant.ok());
  EXPECT_EQ(*grant, (Grant{"", Scopes::All()}));
}

TEST(AuthenticatorTest, TokensAreAskedForAndLookedUp) {
  const Authenticator authenticator({}, List());
  EXPECT_FALSE(authenticator.is_open());
  EXPECT_EQ(Outcome(authenticator, {}), "TOKEN_MISSING");
  for (const char* text :
       {"Bearer secret", "bearer secret", "BEARER  secret"}) {
    EXPECT_EQ(Outcome(authenticator, Token(text)), "team") << text;
  }
  for (const char* text : {"Bearer wrong", "Bearer old", "Bearer secret="}) {
    EXPECT_EQ(Outcome(authenticator, Token(text)), "TOKEN_INVALID") << text;
  }
  const std::string long_token =
      absl::StrCat("Bearer ", std::string(5000, 'a'));
  for (const std::string& text : std::vector<std::string>{
           "", "Bearer", "Bearer ", "Bearersecret", "Basic secret", "secret",
           "Bearer sec ret", "Bearer sec\tret", "Bearer =", "Bearer a=b",
           "Bearer \xc3\xa4", long_token}) {
    EXPECT_EQ(Outcome(authenticator, Token(text)), "TOKEN_MALFORMED") << text;
  }
  EXPECT_EQ(Outcome(authenticator,
                    {.authorization = {"Bearer secret", "Bearer secret"},
                     .certificate_names = {}}),
            "TOKEN_MALFORMED");
}

// A guess is not told from what was good once.
TEST(AuthenticatorTest, WrongAndExpiredAreRefusedAlike) {
  const Authenticator authenticator({}, List());
  EXPECT_EQ(
      authenticator.Authenticate(Token("Bearer wrong"), absl::Now()).status(),
      authenticator.Authenticate(Token("Bearer old"), absl::Now()).status());
}

TEST(AuthenticatorTest, ExposedTokensAreRefusedWhereTlsIsRequired) {
  Credentials credentials = Token("Bearer secret");
  credentials.is_exposed = true;
  EXPECT_EQ(Outcome(Authenticator({}, List()), credentials), "team");
  const Authenticator strict({.tokens_need_tls = true}, List());
  EXPECT_EQ(Outcome(strict, credentials), "TOKEN_EXPOSED");
  credentials.is_exposed = false;
  EXPECT_EQ(Outcome(strict, credentials), "team");
}

TEST(AuthenticatorTest, CertificatesStandForTokens) {
  const Authenticator authenticator({.has_certificates = true}, List());
  EXPECT_EQ(Outcome(authenticator,
                    {.authorization = {}, .certificate_names = {"x", "known"}}),
            "team");
  EXPECT_EQ(Outcome(authenticator,
                    {.authorization = {}, .certificate_names = {"unknown"}}),
            "TOKEN_INVALID");
  // A token counts more, whatever the certificate.
  EXPECT_EQ(Outcome(authenticator, {.authorization = {"Bearer wrong"},
                                    .certificate_names = {"known"}}),
            "TOKEN_INVALID");
}

TEST(AuthenticatorTest, CertificatesAloneNameTheTenant) {
  const Authenticator authenticator({.has_certificates = true}, std::nullopt);
  EXPECT_FALSE(authenticator.is_open());
  const auto grant = authenticator.Authenticate(
      {.authorization = {}, .certificate_names = {"trainer", "x"}},
      absl::Now());
  ASSERT_TRUE(grant.ok());
  EXPECT_EQ(*grant, (Grant{"trainer", {Scope::kRead, Scope::kWrite}}));
  EXPECT_EQ(Outcome(authenticator, {}), "TOKEN_MISSING");
  const auto local = authenticator.Authenticate(
      {.authorization = {}, .certificate_names = {}, .is_local = true},
      absl::Now());
  ASSERT_TRUE(local.ok());
  EXPECT_EQ(*local, (Grant{"", Scopes::All()}));
}

TEST(AuthenticatorTest, AnotherListCountsFromThenOn) {
  Authenticator authenticator({}, List());
  authenticator.Replace(*AccessList::Parse("cert:other team read"));
  EXPECT_EQ(Outcome(authenticator, Token("Bearer secret")), "TOKEN_INVALID");
}

}  // namespace
}  // namespace tensord
