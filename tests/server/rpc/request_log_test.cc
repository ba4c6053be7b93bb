#include "server/rpc/request_log.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

constexpr char kId[] = "0123abcd-0000-4000-8000-00000000000f";

class RequestLogTest : public testing::Test {
 protected:
  // A request that was answered.
  void Answer(const std::string& id, std::uint64_t digest,
              const std::string& answer) {
    auto begun = log_.Begin(id, digest);
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_FALSE(begun->answer != nullptr);
    std::move(begun->ticket).Answer(answer);
  }

  // What a repetition gets: the answer, "" for none, or the reason.
  std::string Repeat(const std::string& id, std::uint64_t digest) {
    const auto begun = log_.Begin(id, digest);
    if (!begun.ok()) return GetErrorReason(begun.status());
    return begun->answer != nullptr ? *begun->answer : "";
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  RequestLog log_{[this] { return now_; }};
};

TEST_F(RequestLogTest, RepetitionsGetTheFirstAnswer) {
  Answer(kId, 7, "answer");
  EXPECT_EQ(Repeat(kId, 7), "answer");
  EXPECT_EQ(Repeat(kId, 7), "answer");
  EXPECT_EQ(Repeat("0123ABCD-0000-4000-8000-00000000000F", 7), "answer");
  EXPECT_EQ(**log_.Find(kId), "answer");
}

TEST_F(RequestLogTest, AnIdBelongsToOneRequest) {
  Answer(kId, 7, "answer");
  EXPECT_EQ(Repeat(kId, 8), reason::kRequestIdReused);
}

TEST_F(RequestLogTest, FailedRequestsMayBeMadeAgain) {
  {
    const auto begun = log_.Begin(kId, 7);
    ASSERT_TRUE(begun.ok());
    EXPECT_EQ(Repeat(kId, 7), reason::kRequestInProgress);
    EXPECT_EQ(GetErrorReason(log_.Find(kId).status()),
              reason::kRequestInProgress);
  }
  EXPECT_EQ(Repeat(kId, 8), "");
  EXPECT_EQ(*log_.Find(kId), nullptr);
}

TEST_F(RequestLogTest, TicketsMove) {
  auto begun = log_.Begin(kId, 7);
  RequestLog::Ticket ticket = std::move(begun->ticket);
  ticket = RequestLog::Ticket(std::move(ticket));
  EXPECT_EQ(Repeat(kId, 7), reason::kRequestInProgress);
  ticket = {};
  EXPECT_EQ(Repeat(kId, 7), "");
}

TEST_F(RequestLogTest, RequestsWithoutAnIdAreNotKept) {
  Answer("", 7, "answer");
  EXPECT_EQ(Repeat("", 7), "");
}

TEST_F(RequestLogTest, ForgetsAnswersInTime) {
  Answer(kId, 7, "answer");
  now_ += RequestLog::kAnswerLifetime - absl::Seconds(1);
  EXPECT_EQ(Repeat(kId, 7), "answer");
  now_ += absl::Seconds(1);
  EXPECT_EQ(Repeat(kId, 8), "");
}

TEST_F(RequestLogTest, ForgetsTheOldestOfTooMany) {
  const auto id = [](std::size_t number) {
    return absl::StrCat(absl::Hex(number, absl::kZeroPad8),
                        "-0000-4000-8000-000000000000");
  };
  for (std::size_t i = 0; i <= RequestLog::kMaxAnswers; ++i) {
    Answer(id(i), 7, "answer");
  }
  EXPECT_EQ(Repeat(id(1), 7), "answer");
  EXPECT_EQ(Repeat(id(0), 7), "");
}

TEST(RequestIdTest, HasToBeAUuid) {
  EXPECT_TRUE(CheckRequestId("").ok());
  EXPECT_TRUE(CheckRequestId(kId).ok());
  for (const char* const id : {"x", "0123abcd00004000800000000000000f0000",
                               "0123abcd-0000-4000-8000-00000000000g",
                               "0123abcd-0000-4000-8000-0000000000000",
                               "0123abcd-0000-4000-8000-00000000000",
                               "{123abcd-0000-4000-8000-0000000000f}"}) {
    EXPECT_EQ(GetErrorReason(CheckRequestId(id)), reason::kRequestIdInvalid)
        << id;
  }
}

TEST(RequestDigestTest, TellsRequestsApart) {
  v1::GetTensorRequest get;
  v1::DeleteTensorRequest other;
  get.set_name("tensors/a");
  other.set_name("tensors/a");
  EXPECT_EQ(RequestDigest(get), RequestDigest(v1::GetTensorRequest(get)));
  EXPECT_NE(RequestDigest(get), RequestDigest(other));
  const std::uint64_t before = RequestDigest(get);
  get.set_name("tensors/b");
  EXPECT_NE(RequestDigest(get), before);
}

TEST(DoOnceTest, DoesNothingTwice) {
  RequestLog log;
  int done = 0;
  const auto run = [&](const std::string& id) {
    v1::CreateTensorRequest request;
    request.set_request_id(id);
    v1::Tensor response;
    const absl::Status status = DoOnce(log, request, response, [&] {
      ++done;
      response.set_name(absl::StrCat("tensors/", done));
      return done == 1 ? absl::UnavailableError("") : absl::OkStatus();
    });
    return status.ok() ? response.name() : "";
  };
  EXPECT_EQ(run(kId), "");
  EXPECT_EQ(run(kId), "tensors/2");
  EXPECT_EQ(run(kId), "tensors/2");
  EXPECT_EQ(run(""), "tensors/3");
  EXPECT_EQ(run(""), "tensors/4");
}

}  // namespace
}  // namespace tensord
