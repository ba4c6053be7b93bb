#include "core/error.h"

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Text that a payload has to carry as it is: separators, NUL, bytes that are no
// UTF-8.
std::string RandomText(std::mt19937& random) {
  constexpr char kBytes[] = {'a', 'Z', ':', '/',  '.',  '0',
                             '9', ' ', '"', '\n', '\0', '\xff'};
  std::string text(random() % 20, ' ');
  for (char& c : text) c = kBytes[random() % sizeof(kBytes)];
  return text;
}

TEST(ErrorTest, CarriesCodeMessageAndReason) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, reason::kTensorNotFound,
                "there is no tensor 'w'");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "there is no tensor 'w'");
  EXPECT_EQ(GetErrorReason(status), "TENSOR_NOT_FOUND");
  EXPECT_EQ(GetErrorDetails(status).reason, "TENSOR_NOT_FOUND");
  EXPECT_THAT(GetErrorDetails(status).violations, IsEmpty());
}

TEST(ErrorTest, FieldBecomesAViolationWithTheMessage) {
  const absl::Status status =
      InvalidArgument(reason::kShapeInvalid, "too long", "shape");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(GetErrorDetails(status).violations,
              ElementsAre(FieldViolation{"shape", "too long"}));
}

TEST(ErrorTest, StatusOfOthersHasNoDetails) {
  for (absl::Status status : {absl::OkStatus(), absl::InternalError("x")}) {
    status.SetPayload("type.googleapis.com/other", absl::Cord("y"));
    EXPECT_EQ(GetErrorReason(status), "");
    const ErrorDetails details = GetErrorDetails(status);
    EXPECT_EQ(details.reason, "");
    EXPECT_THAT(details.metadata, IsEmpty());
    EXPECT_THAT(details.violations, IsEmpty());
  }
}

TEST(ErrorTest, DetailsOfAnyTextComeBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    ErrorDetails details;
    details.reason = RandomText(random);
    for (std::size_t i = random() % 5; i-- > 0;) {
      details.metadata[RandomText(random)] = RandomText(random);
    }
    for (std::size_t i = random() % 30; i-- > 0;) {
      details.violations.push_back({RandomText(random), RandomText(random)});
    }
    absl::Status status = InvalidArgument("OLD", "message", "old.field");
    AddErrorMetadata(status, "oldKey", "old");
    SetErrorDetails(status, details);
    const ErrorDetails back = GetErrorDetails(status);
    EXPECT_EQ(back.reason, details.reason);
    EXPECT_EQ(back.metadata, details.metadata);
    EXPECT_EQ(back.violations, details.violations);
    EXPECT_EQ(std::string(status.message()), "message");
  }
}

TEST(ErrorTest, SetErrorDetailsLeavesForeignPayloads) {
  absl::Status status = InvalidArgument("A", "message", "field");
  status.SetPayload("type.googleapis.com/other", absl::Cord("kept"));
  SetErrorDetails(status, {});
  EXPECT_TRUE(status.GetPayload("type.googleapis.com/other").has_value());
  EXPECT_THAT(GetErrorDetails(status).violations, IsEmpty());
}

TEST(ErrorTest, MetadataOfOneKeyIsTheLast) {
  absl::Status status = InvalidArgument("A", "message");
  AddErrorMetadata(status, "limitBytes", "1");
  AddErrorMetadata(status, "limitBytes", "2");
  EXPECT_THAT(GetErrorDetails(status).metadata,
              ElementsAre(Pair("limitBytes", "2")));
}

TEST(ErrorTest, PrefixGoesBeforeEveryField) {
  absl::Status status = InvalidArgument("A", "message");
  SetErrorDetails(status, {"A", {{"k", "v"}}, {{"shape", "x"}, {"", "y"}}});
  status = WithFieldPrefix(status, "array.raw");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_THAT(details.violations,
              ElementsAre(FieldViolation{"array.raw.shape", "x"},
                          FieldViolation{"array.raw", "y"}));
  EXPECT_EQ(details.reason, "A");
  EXPECT_THAT(details.metadata, ElementsAre(Pair("k", "v")));
  EXPECT_EQ(std::string(status.message()), "message");
}

TEST(ErrorTest, PrefixLeavesOkAlone) {
  EXPECT_TRUE(WithFieldPrefix(absl::OkStatus(), "array").ok());
}

TEST(ErrorTest, PayloadsThatNobodyWroteAreSkipped) {
  absl::Status status = absl::InternalError("x");
  for (const char* text : {"", "5", "x:y", "9:short", ":", "-1:a", "1 :ab",
                           "99999999999999999999:a"}) {
    status.SetPayload("tensord/field/00000000", absl::Cord(text));
    EXPECT_THAT(GetErrorDetails(status).violations, IsEmpty()) << text;
  }
}

TEST(ErrorTest, QuotesEscapeAndCut) {
  EXPECT_EQ(QuoteForMessage("<f4"), "'<f4'");
  EXPECT_EQ(QuoteForMessage("a\n\xff'"), "'a\\n\\xff\\''");
  const std::string fits(48, 'a');
  EXPECT_EQ(QuoteForMessage(fits), absl::StrCat("'", fits, "'"));
  EXPECT_EQ(QuoteForMessage(fits + fits), absl::StrCat("'", fits, "...'"));
}

}  // namespace
}  // namespace tensord
