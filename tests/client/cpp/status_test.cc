#include "client/cpp/src/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/stubs/logging.h"
#include "tensord/internal/rpc_status.pb.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

void Pack(const google::protobuf::Message& message, const std::string& name,
          internal::RpcStatus* status) {
  google::protobuf::Any* any = status->add_details();
  any->set_type_url("type.googleapis.com/google.rpc." + name);
  any->set_value(message.SerializeAsString());
}

internal::ErrorInfo MakeInfo(const std::string& domain) {
  internal::ErrorInfo info;
  info.set_domain(domain);
  info.set_reason("SHAPE_INVALID");
  (*info.mutable_metadata())["limit"] = "64";
  return info;
}

grpc::Status Refusal(const std::string& details) {
  return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no", details);
}

TEST(StatusTest, KeepsCodeAndMessage) {
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status = FromGrpcStatus(
        grpc::Status(static_cast<grpc::StatusCode>(code), "why"));
    EXPECT_EQ(static_cast<int>(status.code()), code);
    EXPECT_EQ(status.message(), "why");
    EXPECT_EQ(GetErrorReason(status), "");
  }
}

TEST(StatusTest, TakesUnknownCodesForUnknown) {
  // The others that a grpc::StatusCode can hold.
  for (const int code : {-32, -2, 17, 31}) {
    const absl::Status status = FromGrpcStatus(
        grpc::Status(static_cast<grpc::StatusCode>(code), "why"));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  }
}

TEST(StatusTest, ReadsDetails) {
  internal::RpcStatus status;
  Pack(MakeInfo("tensord"), "ErrorInfo", &status);
  internal::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("array.raw.shape");
  violation->set_description("negative");
  Pack(bad_request, "BadRequest", &status);
  const ErrorDetails details =
      GetErrorDetails(FromGrpcStatus(Refusal(status.SerializeAsString())));
  EXPECT_EQ(details.reason, "SHAPE_INVALID");
  EXPECT_THAT(details.metadata, ElementsAre(Pair("limit", "64")));
  EXPECT_THAT(details.violations,
              ElementsAre(FieldViolation{"array.raw.shape", "negative"}));
}

TEST(StatusTest, IgnoresDetailsOfOthers) {
  internal::RpcStatus status;
  Pack(MakeInfo("example.com"), "ErrorInfo", &status);
  Pack(MakeInfo("tensord"), "SomethingNew", &status);
  status.add_details()->set_type_url("");
  const ErrorDetails details =
      GetErrorDetails(FromGrpcStatus(Refusal(status.SerializeAsString())));
  EXPECT_EQ(details.reason, "");
  EXPECT_THAT(details.metadata, IsEmpty());
}

TEST(StatusTest, ReadsDetailsBesideBrokenOnes) {
  internal::RpcStatus status;
  google::protobuf::Any* broken = status.add_details();
  broken->set_type_url("type.googleapis.com/google.rpc.BadRequest");
  broken->set_value("\x0a\xff");
  Pack(MakeInfo("tensord"), "ErrorInfo", &status);
  const absl::Status result =
      FromGrpcStatus(Refusal(status.SerializeAsString()));
  EXPECT_EQ(GetErrorReason(result), "SHAPE_INVALID");
}

TEST(StatusTest, SurvivesGarbage) {
  const google::protobuf::LogSilencer quiet;
  internal::RpcStatus sound;
  Pack(MakeInfo("tensord"), "ErrorInfo", &sound);
  const std::string bytes = sound.SerializeAsString();
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string broken = bytes.substr(
        0, static_cast<std::size_t>(
               Between(random, 0, static_cast<std::int64_t>(bytes.size()))));
    for (char& c : broken) {
      if (Between(random, 0, 9) == 0) c = static_cast<char>(random());
    }
    const absl::Status status = FromGrpcStatus(Refusal(broken));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "no");
  }
}

TEST(StatusTest, MalformedAnswersAreInternal) {
  const absl::Status status = MalformedAnswer("two headers");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(GetErrorReason(status), reason::kMessageMalformed);
}

}  // namespace
}  // namespace tensord::client
