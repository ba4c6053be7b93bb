#include "server/rpc/tenant.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

constexpr std::int64_t kMib = 1 << 20;

class TenantTest : public testing::Test {
 protected:
  std::shared_ptr<Buffer> Allocate(std::int64_t size_bytes) {
    auto buffer = tenant_.allocator().Allocate(kCpuDevice, size_bytes);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    return buffer.value_or(nullptr);
  }

  // A tensor that has expired, and that nobody has swept.
  void StoreExpired(std::int64_t size_bytes) {
    auto claim = test_.store.ClaimId("");
    ASSERT_TRUE(claim.ok()) << claim.status();
    const auto stored =
        (*std::move(claim))
            .Commit(Tensor(DType::kUInt8, DenseLayout({size_bytes}),
                           Allocate(size_bytes)),
                    {.ttl = absl::Nanoseconds(1)});
    ASSERT_TRUE(stored.ok()) << stored.status();
  }

  void SuspendUpload(std::int64_t size_bytes) {
    const auto upload =
        test_.uploads.Join("00000000-0000-4000-8000-000000000001", kCpuDevice);
    ASSERT_TRUE(upload.ok()) << upload.status();
    const auto opened = (*upload)->Open(
        {.tensor_id = "upload",
         .claiming = {},
         .array = {.raw = ArrayFormat{DType::kUInt8, DenseLayout({size_bytes})},
                   .total_bytes = size_bytes},
         .options = {},
         .part = {}},
        test_.context, tenant_.allocator());
    ASSERT_TRUE(opened.ok()) << opened.status();
    (*upload)->Release(*opened->part, 0);
    test_.uploads.Leave(*upload);
    ASSERT_EQ(test_.uploads.suspended(), 1U);
  }

  TestContext test_;
  Tenant tenant_{"", test_.context, /*max_calls=*/1};
};

TEST_F(TenantTest, WhatHasExpiredMakesRoomBeforeUploadsThatMayGoOn) {
  StoreExpired(12 * kMib);
  SuspendUpload(12 * kMib);
  const auto first = Allocate(16 * kMib);
  EXPECT_EQ(test_.store.size(), 0U);
  EXPECT_EQ(test_.uploads.suspended(), 1U);
  const auto second = Allocate(16 * kMib);
  EXPECT_EQ(test_.uploads.suspended(), 0U);
  EXPECT_EQ(test_.used_bytes(), 32 * kMib);
  EXPECT_FALSE(tenant_.allocator().Allocate(kCpuDevice, 1).ok());
}

}  // namespace
}  // namespace tensord
