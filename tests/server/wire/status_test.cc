#include "server/wire/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/error.h"
#include "core/store/quota.h"
#include "tensord/internal/rpc_status.pb.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

internal::RpcStatus Details(const grpc::Status& status) {
  internal::RpcStatus details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  EXPECT_EQ(details.message(), status.error_message());
  return details;
}

// The details by the names of their types; each type at most once.
std::map<std::string, std::string> ByName(const grpc::Status& status) {
  std::map<std::string, std::string> by_name;
  const internal::RpcStatus details = Details(status);
  for (const auto& any : details.details()) {
    std::string_view name = any.type_url();
    const std::string_view prefix = "type.googleapis.com/google.rpc.";
    EXPECT_EQ(name.substr(0, prefix.size()), prefix);
    name.remove_prefix(prefix.size());
    EXPECT_TRUE(by_name.emplace(name, any.value()).second) << name;
  }
  return by_name;
}

template <class Message>
Message Parse(const std::string& bytes) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message;
}

TEST(StatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusTest, CarriesReasonMetadataAndViolations) {
  absl::Status refusal =
      InvalidArgument(reason::kShapeInvalid, "a bad shape", "raw.shape");
  AddErrorMetadata(refusal, "limit", "64");
  const grpc::Status status = ToGrpcStatus(refusal);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "a bad shape");
  auto details = ByName(status);
  EXPECT_THAT(details, ElementsAre(Key("BadRequest"), Key("ErrorInfo")));
  const auto info = Parse<internal::ErrorInfo>(details["ErrorInfo"]);
  EXPECT_EQ(info.reason(), "SHAPE_INVALID");
  EXPECT_EQ(info.domain(), "tensord");
  EXPECT_EQ(info.metadata().at("limit"), "64");
  const auto bad = Parse<internal::BadRequest>(details["BadRequest"]);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "raw.shape");
  EXPECT_EQ(bad.field_violations(0).description(), "a bad shape");
}

TEST(StatusTest, AddsWhatSuitsTheCode) {
  EXPECT_THAT(
      ByName(ToGrpcStatus(MakeError(absl::StatusCode::kFailedPrecondition,
                                    reason::kNeedsDetach, "no"))),
      ElementsAre(Key("ErrorInfo"), Key("PreconditionFailure")));
  absl::Status missing =
      MakeError(absl::StatusCode::kNotFound, reason::kTensorNotFound, "none");
  AddErrorMetadata(missing, "name", "tensors/x");
  auto details = ByName(ToGrpcStatus(missing));
  EXPECT_THAT(details, ElementsAre(Key("ErrorInfo"), Key("ResourceInfo")));
  EXPECT_EQ(
      Parse<internal::ResourceInfo>(details["ResourceInfo"]).resource_name(),
      "tensors/x");
}

TEST(StatusTest, TellsWhenToRetry) {
  Quota quota(100);
  const auto taken = quota.Reserve(60);
  const absl::Status later = quota.Reserve(60).status();
  const absl::Status never = quota.Reserve(101).status();
  EXPECT_THAT(
      ByName(ToGrpcStatus(later)),
      ElementsAre(Key("ErrorInfo"), Key("QuotaFailure"), Key("RetryInfo")));
  EXPECT_THAT(ByName(ToGrpcStatus(never)),
              ElementsAre(Key("ErrorInfo"), Key("QuotaFailure")));
  EXPECT_EQ(RetryDelay(never), kNeverRetry);
  EXPECT_LT(*RetryDelay(later), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(InvalidArgument(reason::kTtlInvalid, "")), std::nullopt);
}

TEST(StatusTest, SaysNothingOfStatusesFromElsewhere) {
  const grpc::Status status =
      ToGrpcStatus(absl::UnknownError("/etc/secret: 0x7fff1234"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "internal error");
  EXPECT_EQ(status.error_details().find("secret"), std::string::npos);
  auto details = ByName(status);
  EXPECT_EQ(Parse<internal::ErrorInfo>(details["ErrorInfo"]).reason(),
            "INTERNAL");
}

TEST(StatusTest, CutsMessagesBetweenCharacters) {
  // 3 bytes each: 1024 is not a multiple.
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\u20ac";
  const grpc::Status status =
      ToGrpcStatus(InvalidArgument(reason::kTtlInvalid, text));
  EXPECT_EQ(status.error_message(), text.substr(0, 1023));
}

TEST(StatusTest, KeepsWithinTheLimitOfClients) {
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "\u20ac";
  for (const std::string& text : {std::string(5000, 'x'), euros}) {
    ErrorDetails details{
        .reason = "SOME_REASON", .metadata = {}, .violations = {}};
    for (int i = 0; i < 1000; ++i) {
      details.violations.push_back({absl::StrCat("field", i), text});
    }
    absl::Status refusal = absl::InvalidArgumentError(text);
    SetErrorDetails(refusal, details);
    const grpc::Status status = ToGrpcStatus(refusal);
    EXPECT_LE(status.error_details().size(), kMaxStatusDetailsBytes);
    auto found = ByName(status);
    const auto bad = Parse<internal::BadRequest>(found["BadRequest"]);
    EXPECT_GT(bad.field_violations_size(), 1);
    EXPECT_EQ(bad.field_violations(0).field(), "field0");
  }
}

TEST(StatusTest, EscapesWhatIsNotUtf8) {
  EXPECT_EQ(PrintableUtf8("a\xff"
                          "b",
                          100),
            "a\\xffb");
  EXPECT_EQ(PrintableUtf8("\xc3\xa9", 100), "\xc3\xa9");
  EXPECT_EQ(PrintableUtf8("\xc3", 100), "\\xc3");
  // Overlong, a surrogate, beyond the last character.
  EXPECT_EQ(PrintableUtf8("\xc0\xaf", 100), "\\xc0\\xaf");
  EXPECT_EQ(PrintableUtf8("\xed\xa0\x80", 100), "\\xed\\xa0\\x80");
  EXPECT_EQ(PrintableUtf8("\xf4\x90\x80\x80", 100), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(PrintableUtf8("\xf0\x9f\x98\x80", 100), "\xf0\x9f\x98\x80");
  // Nothing is cut in the middle of an escape.
  EXPECT_EQ(PrintableUtf8("abc\xff", 6), "abc");
}

}  // namespace
}  // namespace tensord
