#include "server/access/access_files.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/access/tls_files.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kTls = TENSORD_TLS_FILES;

// A folder with good files.
class AccessFilesTest : public ::testing::Test {
 protected:
  AccessFilesTest() {
    for (const char* file : {"server.pem", "server.key", "ca.pem"}) {
      std::filesystem::copy(kTls + "/" + file, folder_ / file);
    }
    Write("tokens", "cert:a t read\n");
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  void Write(const std::string& name, const std::string& content) {
    // As editors and Kubernetes do it.
    std::ofstream(Path("new"), std::ios::binary) << content;
    std::filesystem::rename(Path("new"), Path(name));
  }

  static std::string ReadTls(const std::string& name) {
    return *ReadFile(kTls + "/" + name, 1 << 20);
  }

  AccessFiles::Options Options() const {
    return {.tokens = Path("tokens"),
            .tls = {.cert = Path("server.pem"),
                    .key = Path("server.key"),
                    .client_ca = Path("ca.pem")}};
  }

  // What two looks, a second apart in a server, say: "auth_tokens OK".
  std::vector<std::string> Look(AccessFiles& files) {
    std::vector<std::string> said;
    for (int i = 0; i < 2; ++i) {
      files.Look([&](std::string_view which, const absl::Status& result) {
        said.push_back(absl::StrCat(std::string(which), " ",
                                    result.ok() ? "OK" : result.message()));
      });
    }
    return said;
  }

  static bool Knows(const AccessFiles& files, const std::string& name) {
    return files.authenticator()
        .Authenticate({.authorization = {}, .certificate_names = {name}},
                      absl::Now())
        .ok();
  }

  TempFolder folder_;
};

TEST_F(AccessFilesTest, TakesTokensThatChanged) {
  auto files = AccessFiles::Open(Options());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(Look(**files), IsEmpty());
  EXPECT_TRUE(Knows(**files, "a"));

  Write("tokens", "cert:b t read\n");
  EXPECT_THAT(Look(**files), ElementsAre("auth_tokens OK"));
  EXPECT_FALSE(Knows(**files, "a"));
  EXPECT_TRUE(Knows(**files, "b"));
  EXPECT_THAT(Look(**files), IsEmpty());
}

TEST_F(AccessFilesTest, BrokenTokensChangeNothing) {
  auto files = AccessFiles::Open(Options());
  ASSERT_TRUE(files.ok()) << files.status();
  for (const char* broken : {"", "hunter2 t read\n", "cert:b t\n"}) {
    Write("tokens", broken);
    EXPECT_THAT(Look(**files),
                ElementsAre(AllOf(StartsWith("auth_tokens the file "),
                                  Not(HasSubstr("hunter2")))))
        << broken;
    EXPECT_TRUE(Knows(**files, "a"));
    // Said once.
    EXPECT_THAT(Look(**files), IsEmpty());
  }
  std::filesystem::remove(Path("tokens"));
  EXPECT_THAT(Look(**files), IsEmpty());
  EXPECT_TRUE(Knows(**files, "a"));
  Write("tokens", "cert:c t read\n");
  EXPECT_THAT(Look(**files), ElementsAre("auth_tokens OK"));
  EXPECT_TRUE(Knows(**files, "c"));
}

// What is being written shows up at one look and is another at the next.
TEST_F(AccessFilesTest, WaitsUntilNobodyWrites) {
  auto files = AccessFiles::Open(Options());
  ASSERT_TRUE(files.ok()) << files.status();
  int reloads = 0;
  for (int i = 0; i < 5; ++i) {
    Write("tokens", absl::StrCat("cert:n", i, " t read\n"));
    (*files)->Look([&](auto, const auto&) { ++reloads; });
  }
  EXPECT_EQ(reloads, 0);
  EXPECT_THAT(Look(**files), ElementsAre("auth_tokens OK"));
  EXPECT_TRUE(Knows(**files, "n4"));
}

// Kubernetes mounts secrets as links to a folder that it replaces.
TEST_F(AccessFilesTest, FollowsLinks) {
  std::filesystem::create_directory(Path("v1"));
  std::filesystem::create_directory(Path("v2"));
  std::ofstream(Path("v1/tokens")) << "cert:a t read\n";
  std::ofstream(Path("v2/tokens")) << "cert:b t read\n";
  std::filesystem::create_directory_symlink("v1", Path("data"));
  AccessFiles::Options options = Options();
  options.tokens = Path("data/tokens");
  auto files = AccessFiles::Open(options);
  ASSERT_TRUE(files.ok()) << files.status();
  std::filesystem::create_directory_symlink("v2", Path("data2"));
  std::filesystem::rename(Path("data2"), Path("data"));
  EXPECT_THAT(Look(**files), ElementsAre("auth_tokens OK"));
  EXPECT_TRUE(Knows(**files, "b"));
}

TEST_F(AccessFilesTest, TakesCertificatesThatBelongTogether) {
  auto files = AccessFiles::Open(Options());
  ASSERT_TRUE(files.ok()) << files.status();
  const auto keys = (*files)->tls_keys();
  const auto before = keys->current();

  // The certificate alone: no key of it.
  Write("server.pem", ReadTls("client.pem"));
  EXPECT_THAT(Look(**files),
              ElementsAre(HasSubstr("does not belong to the certificate")));
  EXPECT_EQ(keys->current(), before);

  Write("server.key", ReadTls("client.key"));
  EXPECT_THAT(Look(**files), ElementsAre("tls OK"));
  EXPECT_EQ(keys->current()->cert, ReadTls("client.pem"));
  EXPECT_EQ(keys->current()->key, ReadTls("client.key"));
}

TEST_F(AccessFilesTest, BrokenCertificatesChangeNothing) {
  auto files = AccessFiles::Open(Options());
  ASSERT_TRUE(files.ok()) << files.status();
  for (const char* name : {"server.pem", "server.key", "ca.pem"}) {
    const std::string good = ReadTls(name);
    const auto before = (*files)->tls_keys()->current();
    const std::vector<std::string> broken = {
        "", "nonsense", good.substr(0, good.size() / 2),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (const std::string& content : broken) {
      Write(name, content);
      EXPECT_THAT(Look(**files), ElementsAre(AllOf(StartsWith("tls the file "),
                                                   HasSubstr(name))))
          << name << ": " << content;
      EXPECT_EQ((*files)->tls_keys()->current(), before);
    }
    Write(name, good);
    EXPECT_THAT(Look(**files), ElementsAre("tls OK"));
  }
}

TEST_F(AccessFilesTest, OpensNothingThatCanNotBeUsed) {
  for (const char* name : {"tokens", "server.pem", "server.key", "ca.pem"}) {
    const std::string good = *ReadFile(Path(name), 1 << 20);
    for (const char* content : {"", "nonsense"}) {
      Write(name, content);
      const auto files = AccessFiles::Open(Options());
      EXPECT_EQ(files.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(files.status().message()), HasSubstr(name));
    }
    std::filesystem::remove(Path(name));
    EXPECT_EQ(AccessFiles::Open(Options()).status().code(),
              absl::StatusCode::kInvalidArgument);
    Write(name, good);
  }
  EXPECT_TRUE(AccessFiles::Open(Options()).ok());
}

TEST_F(AccessFilesTest, AsksNobodyForAPassphrase) {
  Write("server.key",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
        "AAAAAAAAAAAAAAAAAAAAAA==\n-----END RSA PRIVATE KEY-----\n");
  EXPECT_THAT(std::string(AccessFiles::Open(Options()).status().message()),
              HasSubstr("private key without a passphrase"));
}

TEST(CertifiedHostTest, IsTheFirstNameOfAHost) {
  EXPECT_EQ(CertifiedHost(kTls + "/server.pem"), "localhost");
  EXPECT_EQ(CertifiedHost(kTls + "/wildcard.pem"), "any.tensord.example");
}

TEST(CertifiedHostTest, IsEmptyWhereThereIsNone) {
  EXPECT_EQ(CertifiedHost(kTls + "/ca.pem"), "");
  EXPECT_EQ(CertifiedHost(kTls + "/server.key"), "");
  EXPECT_EQ(CertifiedHost(kTls + "/missing"), "");
}

}  // namespace
}  // namespace tensord
