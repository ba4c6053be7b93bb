#include "server/rpc/uploads.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/rpc/buffer_allocator.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

constexpr absl::Duration kWindow = absl::Seconds(10);

class UploadsTest : public testing::Test {
 protected:
  // A hexadecimal digit, or two, in a UUID.
  static std::string RequestId(const std::string& digits) {
    return absl::StrCat("00000000-0000-4000-8000-",
                        std::string(12 - digits.size(), '0'), digits);
  }

  std::shared_ptr<Upload> Join(const std::string& digits,
                               Device device = kCpuDevice) {
    auto upload = uploads_.Join(RequestId(digits), device);
    EXPECT_TRUE(upload.ok()) << upload.status();
    return upload.value_or(nullptr);
  }

  // A stream of an upload of 100 bytes to the tensor of that id, none of which
  // comes.
  std::shared_ptr<Upload> Open(const std::string& id) { return Open(id, id); }
  std::shared_ptr<Upload> Open(const std::string& id,
                               const std::string& digits) {
    auto upload = Join(digits);
    const auto opened = upload->Open(
        {.tensor_id = id,
         .claiming = {},
         .array = {.raw = ArrayFormat{DType::kUInt8, DenseLayout({100})},
                   .total_bytes = 100},
         .options = {},
         .part = {}},
        test_.context, allocator_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok() && opened->part != nullptr) {
      upload->Release(*opened->part, 0);
    }
    return upload;
  }

  void Suspend(const std::string& id) { uploads_.Leave(Open(id)); }

  bool IsFree(const std::string& id) { return test_.store.ClaimId(id).ok(); }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  TestContext test_;
  BufferAllocator allocator_{test_.devices, test_.quotas, nullptr,
                             TestContext::kMaxTensorBytes};
  Uploads uploads_{kWindow, [this] { return now_; }};
};

TEST_F(UploadsTest, FindsUploadsByTheirRequestsInEitherCase) {
  const auto upload = Open("a");
  EXPECT_EQ(uploads_.Find(RequestId("A")), upload);
  EXPECT_EQ(uploads_.Find(RequestId("b")), nullptr);
  EXPECT_EQ(uploads_.suspended(), 0U);
  uploads_.Leave(upload);
  EXPECT_EQ(uploads_.suspended(), 1U);
  EXPECT_EQ(uploads_.Find(RequestId("A")), upload);
  EXPECT_EQ(Join("A"), upload);
  EXPECT_EQ(uploads_.suspended(), 0U);
}

TEST_F(UploadsTest, TheLastStreamSuspends) {
  const auto upload = Open("a");
  EXPECT_EQ(Join("a"), upload);
  uploads_.Leave(upload);
  EXPECT_FALSE(uploads_.DropOldest(kCpuDevice));
  EXPECT_FALSE(uploads_.DropClaimOf("a"));
  EXPECT_EQ(uploads_.suspended(), 0U);
  uploads_.Leave(upload);
  EXPECT_EQ(uploads_.suspended(), 1U);
}

TEST_F(UploadsTest, WhatIsRemovedIsFoundNoMore) {
  const auto upload = Open("a");
  EXPECT_EQ(Join("a"), upload);
  uploads_.Remove(upload);
  const auto other = Join("a");
  EXPECT_NE(other, upload);
  // A stream that is left of the first one.
  uploads_.Leave(upload);
  EXPECT_EQ(uploads_.Find(RequestId("a")), other);
}

TEST_F(UploadsTest, WhatHasNotBegunIsNotKept) {
  uploads_.Leave(Join("a"));
  EXPECT_EQ(uploads_.Find(RequestId("a")), nullptr);
  const auto refused = Open("a");
  refused->Refuse(absl::CancelledError());
  uploads_.Leave(refused);
  EXPECT_EQ(uploads_.Find(RequestId("a")), nullptr);
}

TEST_F(UploadsTest, DropsWithAllTheyHold) {
  Suspend("a");
  Suspend("b");
  Suspend("c");
  EXPECT_EQ(test_.used_bytes(), 300);
  EXPECT_TRUE(uploads_.DropOldest(kCpuDevice));
  EXPECT_TRUE(IsFree("a"));
  EXPECT_FALSE(IsFree("b"));
  EXPECT_FALSE(uploads_.DropClaimOf("a"));
  EXPECT_TRUE(uploads_.DropClaimOf("c"));
  EXPECT_TRUE(IsFree("c"));
  EXPECT_EQ(test_.used_bytes(), 100);
  uploads_.Clear();
  EXPECT_EQ(test_.used_bytes(), 0);
  EXPECT_FALSE(uploads_.DropOldest(kCpuDevice));
}

TEST_F(UploadsTest, ThoseToOtherDevicesStay) {
  Suspend("a");
  EXPECT_FALSE(uploads_.DropOldest({DeviceType::kCuda, 0}));
  EXPECT_EQ(uploads_.suspended(), 1U);
  const absl::Status other =
      uploads_.Join(RequestId("a"), {DeviceType::kCuda, 0}).status();
  EXPECT_EQ(GetErrorReason(other), reason::kRequestIdReused);
  EXPECT_EQ(uploads_.suspended(), 1U);
  const auto active = Join("a");
  EXPECT_FALSE(uploads_.Join(RequestId("a"), {DeviceType::kCuda, 0}).ok());
  uploads_.Leave(active);
  EXPECT_EQ(uploads_.suspended(), 1U);
}

TEST_F(UploadsTest, KeepsForAWhile) {
  Suspend("a");
  now_ += kWindow / 2;
  Suspend("b");
  uploads_.Sweep();
  EXPECT_EQ(uploads_.suspended(), 2U);
  now_ += kWindow / 2;
  uploads_.Sweep();
  EXPECT_TRUE(IsFree("a"));
  EXPECT_FALSE(IsFree("b"));
}

TEST_F(UploadsTest, KeepsABoundedNumber) {
  for (std::size_t i = 0; i <= Uploads::kMaxSuspended; ++i) {
    uploads_.Leave(Open(absl::StrCat("a", i), absl::StrCat(absl::Hex(i))));
  }
  EXPECT_EQ(uploads_.suspended(), Uploads::kMaxSuspended);
  EXPECT_TRUE(IsFree("a0"));
  EXPECT_FALSE(IsFree("a1"));
}

TEST_F(UploadsTest, KeepsNothingWithoutAWindow) {
  Uploads none(absl::ZeroDuration());
  const auto upload = *none.Join(RequestId("a"), kCpuDevice);
  none.Leave(upload);
  EXPECT_EQ(none.suspended(), 0U);
  EXPECT_EQ(none.Find(RequestId("a")), nullptr);
}

}  // namespace
}  // namespace tensord
