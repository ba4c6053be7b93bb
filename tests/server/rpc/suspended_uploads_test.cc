#include "server/rpc/suspended_uploads.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/buffer_allocator.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

constexpr absl::Duration kWindow = absl::Seconds(10);

class SuspendedUploadsTest : public testing::Test {
 protected:
  // An upload of 100 bytes to the tensor of that id.
  std::unique_ptr<Upload> MakeUpload(const std::string& id) {
    DeclaredArray declared{
        .raw = ArrayFormat{DType::kUInt8, DenseLayout({100})},
        .total_bytes = 100};
    auto upload = std::make_unique<Upload>(Upload{
        .request_id = absl::StrCat("Request-", id),
        .ticket = {},
        .claim = *test_.store.ClaimId(id),
        .ttl = {},
        .receiver =
            ArrayReceiver(std::move(declared), {}, test_.context, allocator_),
        .tensor = {}});
    EXPECT_TRUE(upload->receiver.Start().ok());
    return upload;
  }

  bool IsFree(const std::string& id) { return test_.store.ClaimId(id).ok(); }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  TestContext test_;
  BufferAllocator allocator_{test_.devices, test_.quota,
                             TestContext::kMaxTensorBytes};
  SuspendedUploads uploads_{kWindow, [this] { return now_; }};
};

TEST_F(SuspendedUploadsTest, HandsBackWhatItKeeps) {
  auto upload = MakeUpload("a");
  upload->received_bytes = 42;
  uploads_.Keep(std::move(upload));
  uploads_.Keep(MakeUpload("b"));
  EXPECT_EQ(uploads_.ReceivedBytes("request-A"), 42);
  EXPECT_FALSE(uploads_.ReceivedBytes("request-c").has_value());
  EXPECT_EQ(uploads_.Take("request-c"), nullptr);
  const auto taken = uploads_.Take("request-a");
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(taken->claim.id(), "a");
  EXPECT_EQ(uploads_.Take("request-a"), nullptr);
  EXPECT_EQ(uploads_.size(), 1U);
}

TEST_F(SuspendedUploadsTest, DropsWithAllTheyHold) {
  uploads_.Keep(MakeUpload("a"));
  uploads_.Keep(MakeUpload("b"));
  uploads_.Keep(MakeUpload("c"));
  EXPECT_EQ(test_.quota.used_bytes(), 300);
  EXPECT_TRUE(uploads_.DropOldest());
  EXPECT_TRUE(IsFree("a"));
  EXPECT_FALSE(IsFree("b"));
  EXPECT_FALSE(uploads_.DropClaimOf("a"));
  EXPECT_TRUE(uploads_.DropClaimOf("c"));
  EXPECT_TRUE(IsFree("c"));
  EXPECT_EQ(test_.quota.used_bytes(), 100);
  uploads_.Clear();
  EXPECT_EQ(test_.quota.used_bytes(), 0);
  EXPECT_FALSE(uploads_.DropOldest());
}

TEST_F(SuspendedUploadsTest, KeepsForAWhile) {
  uploads_.Keep(MakeUpload("a"));
  now_ += kWindow / 2;
  uploads_.Keep(MakeUpload("b"));
  uploads_.Sweep();
  EXPECT_EQ(uploads_.size(), 2U);
  now_ += kWindow / 2;
  uploads_.Sweep();
  EXPECT_TRUE(IsFree("a"));
  EXPECT_FALSE(IsFree("b"));
}

TEST_F(SuspendedUploadsTest, KeepsABoundedNumber) {
  for (std::size_t i = 0; i <= SuspendedUploads::kMaxUploads; ++i) {
    uploads_.Keep(MakeUpload(absl::StrCat("a", i)));
  }
  EXPECT_EQ(uploads_.size(), SuspendedUploads::kMaxUploads);
  EXPECT_TRUE(IsFree("a0"));
  EXPECT_FALSE(IsFree("a1"));
}

TEST_F(SuspendedUploadsTest, KeepsNothingWithoutAWindow) {
  SuspendedUploads none(absl::ZeroDuration());
  none.Keep(MakeUpload("a"));
  EXPECT_EQ(none.size(), 0U);
  EXPECT_TRUE(IsFree("a"));
}

}  // namespace
}  // namespace tensord
