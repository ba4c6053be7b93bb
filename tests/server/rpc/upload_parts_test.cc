// Arrays that come in parts, over several streams.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/rpc/upload_session.h"
#include "server/rpc/uploads.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

constexpr char kRequestId[] = "00000000-0000-4000-8000-000000000001";

// One stream that brings bytes [next, end).
struct Stream {
  std::unique_ptr<UploadSession> session;
  v1::UploadDeclaration declaration;
  std::int64_t next = 0;
  std::int64_t end = 0;
};

class UploadPartsTest : public testing::Test {
 protected:
  std::unique_ptr<UploadSession> NewSession() {
    return std::make_unique<UploadSession>(test_.context, allocator_);
  }

  static v1::UploadDeclaration Declaration(v1::Dtype dtype, std::int64_t count,
                                           std::int64_t item_size) {
    v1::UploadDeclaration declaration;
    declaration.set_tensor_id("a");
    declaration.set_request_id(kRequestId);
    *declaration.mutable_array()->mutable_raw() = MakeSpec(dtype, {count});
    declaration.mutable_array()->set_total_bytes(count * item_size);
    return declaration;
  }

  static v1::UploadDeclaration Part(v1::UploadDeclaration declaration,
                                    std::int64_t begin, std::int64_t end) {
    declaration.mutable_part()->set_begin(begin);
    declaration.mutable_part()->set_end(end);
    return declaration;
  }

  static absl::Status Declare(UploadSession& session,
                              const v1::UploadDeclaration& declaration) {
    Envelope envelope;
    envelope.payload = Envelope::Payload::kDeclaration;
    return session.Take(envelope, declaration);
  }

  static absl::Status Send(UploadSession& session, std::int64_t offset,
                           std::string_view data, bool finish) {
    Envelope envelope;
    envelope.payload = Envelope::Payload::kChunk;
    envelope.finish = finish;
    envelope.chunk.offset = offset;
    envelope.chunk.data = {data};
    envelope.chunk.data_bytes = data.size();
    return session.Take(envelope, {});
  }

  // The next bytes of a stream; the tensor, if that was complete, or why not.
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Advance(
      Stream& stream, const std::string& array, std::int64_t bytes) {
    const std::int64_t size = std::min(bytes, stream.end - stream.next);
    const bool is_last = stream.next + size == stream.end;
    absl::Status status = Send(
        *stream.session, stream.next,
        std::string_view(array).substr(static_cast<std::size_t>(stream.next),
                                       static_cast<std::size_t>(size)),
        is_last);
    if (!status.ok()) return status;
    stream.next += size;
    if (!is_last) return nullptr;
    return stream.session->Commit();
  }

  void ExpectNothingLeft() {
    EXPECT_EQ(test_.used_bytes(), 0);
    EXPECT_TRUE(test_.store.ClaimId("a").ok());
    EXPECT_EQ(test_.uploads.Find(kRequestId), nullptr);
  }

  TestContext test_;
  BufferAllocator allocator_{test_.devices, test_.quotas, nullptr,
                             TestContext::kMaxTensorBytes};
};

// Random cuts, casts, interleavings and interruptions: the result, and what is
// said of it, are those of one stream.
TEST_F(UploadPartsTest, EqualOneStreamHoweverTheyCome) {
  std::mt19937 random(7);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random()) % n;
  };
  for (int round = 0; round < 300; ++round) {
    const std::int64_t count = 2 + below(400);
    v1::UploadDeclaration declaration =
        Declaration(v1::DTYPE_FLOAT32, count, 4);
    declaration.set_request_id(absl::StrCat(
        "00000000-0000-4000-8000-", absl::Dec(round, absl::kZeroPad12)));
    v1::TensorOptions& options = *declaration.mutable_options();
    options.set_dtype(static_cast<v1::Dtype>(1 + below(17)));
    options.set_overflow(static_cast<v1::OverflowPolicy>(1 + below(3)));
    options.set_report_conversion(below(2) == 0);
    std::string array;
    for (std::int64_t i = 0; i < count; ++i) {
      // Mostly without overflow in the smallest integers.
      const float value = below(100) == 0 ? 1000.5F : float(below(9)) / 2;
      array.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }

    v1::UploadDeclaration whole = declaration;
    whole.clear_request_id();
    auto one = NewSession();
    ASSERT_TRUE(Declare(*one, whole).ok());
    ASSERT_TRUE(Send(*one, 0, array, true).ok());
    const auto expected = one->Commit();
    std::optional<ConversionReport> expected_report;
    if (expected.ok()) {
      expected_report = one->report();
      ASSERT_TRUE(test_.store.Delete("a", "").ok());
    }
    one.reset();

    std::vector<std::int64_t> cuts = {0, count};
    for (std::int64_t i = below(5); i > 0; --i) cuts.push_back(below(count));
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    std::list<Stream> streams;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      streams.push_back({nullptr,
                         Part(declaration, 4 * cuts[i], 4 * cuts[i + 1]),
                         4 * cuts[i], 4 * cuts[i + 1]});
    }
    absl::StatusOr<std::shared_ptr<const StoredTensor>> stored = nullptr;
    std::optional<ConversionReport> report;
    while (!streams.empty()) {
      const auto it = std::next(streams.begin(), below(std::ssize(streams)));
      if (it->session == nullptr) {
        it->session = NewSession();
        ASSERT_TRUE(Declare(*it->session, it->declaration).ok());
      }
      if (below(10) == 0) {
        it->session->Suspend();
        it->session.reset();
        continue;
      }
      auto advanced = Advance(*it, array, below(50));
      if (it->next < it->end) continue;
      if (streams.size() > 1) {
        ASSERT_TRUE(advanced.ok() && *advanced == nullptr);
      } else {
        stored = std::move(advanced);
        if (stored.ok()) report = it->session->report();
      }
      streams.erase(it);
    }
    ASSERT_EQ(stored.status(), expected.status());
    if (expected.ok()) {
      const Tensor& tensor = (*stored)->tensor;
      ASSERT_TRUE(
          std::equal(tensor.buffer()->data(),
                     tensor.buffer()->data() + tensor.buffer()->size_bytes(),
                     (*expected)->tensor.buffer()->data()));
      EXPECT_EQ(report, expected_report);
      ASSERT_TRUE(test_.store.Delete("a", "").ok());
    }
  }
}

TEST_F(UploadPartsTest, RefusesWhatIsNoPart) {
  const v1::UploadDeclaration declaration =
      Declaration(v1::DTYPE_FLOAT64, 4, 8);
  const auto taken = NewSession();
  ASSERT_TRUE(Declare(*taken, Part(declaration, 8, 16)).ok());
  v1::UploadDeclaration nameless = Part(declaration, 0, 8);
  nameless.clear_request_id();
  v1::UploadDeclaration npy = Part(declaration, 0, 8);
  npy.mutable_array()->mutable_npy();
  v1::UploadDeclaration other = Part(declaration, 0, 8);
  other.mutable_options()->set_requires_grad(true);
  struct Row {
    v1::UploadDeclaration declaration;
    std::string_view reason;
  };
  const std::vector<Row> rows = {
      {Part(declaration, 0, 0), reason::kPartInvalid},
      {Part(declaration, 8, 0), reason::kPartInvalid},
      {Part(declaration, -8, 8), reason::kPartInvalid},
      {Part(declaration, 0, 40), reason::kPartInvalid},
      {Part(declaration, 0, 4), reason::kPartInvalid},
      {Part(declaration, 20, 32), reason::kPartInvalid},
      {Part(declaration, 0, 16), reason::kPartInvalid},
      {Part(declaration, 8, 24), reason::kPartInvalid},
      {Part(declaration, 0, 32), reason::kPartInvalid},
      {declaration, reason::kPartInvalid},
      {nameless, reason::kPartInvalid},
      {npy, reason::kPartInvalid},
      {Part(declaration, 8, 16), reason::kRequestInProgress},
      {other, reason::kRequestIdReused},
  };
  for (const Row& row : rows) {
    const auto session = NewSession();
    EXPECT_EQ(GetErrorReason(Declare(*session, row.declaration)), row.reason)
        << row.declaration.ShortDebugString();
  }
  // None of them harmed the upload.
  const std::string data(32, 'x');
  Stream middle{NewSession(), {}, 16, 32};
  ASSERT_TRUE(Declare(*middle.session, Part(declaration, 16, 32)).ok());
  ASSERT_EQ(*Advance(middle, data, 32), nullptr);
  Stream start{NewSession(), {}, 0, 8};
  ASSERT_TRUE(Declare(*start.session, Part(declaration, 0, 8)).ok());
  ASSERT_EQ(*Advance(start, data, 32), nullptr);
  ASSERT_TRUE(Send(*taken, 8, data.substr(0, 8), true).ok());
  EXPECT_NE(*taken->Commit(), nullptr);
}

TEST_F(UploadPartsTest, AreBoundedInNumber) {
  constexpr auto kMost = static_cast<std::int64_t>(Upload::kMaxParts);
  const v1::UploadDeclaration declaration =
      Declaration(v1::DTYPE_UINT8, kMost + 1, 1);
  std::vector<std::unique_ptr<UploadSession>> sessions;
  for (std::int64_t i = 0; i <= kMost; ++i) {
    sessions.push_back(NewSession());
    const absl::Status status =
        Declare(*sessions.back(), Part(declaration, i, i + 1));
    EXPECT_EQ(GetErrorReason(status), i < kMost ? "" : reason::kPartInvalid);
  }
}

TEST_F(UploadPartsTest, RefusalOfOneRefusesAll) {
  const v1::UploadDeclaration declaration = Declaration(v1::DTYPE_UINT8, 9, 1);
  auto first = NewSession();
  auto second = NewSession();
  ASSERT_TRUE(Declare(*first, Part(declaration, 0, 3)).ok());
  ASSERT_TRUE(Declare(*second, Part(declaration, 3, 6)).ok());
  const absl::Status refusal = Send(*first, 1, "x", false);
  EXPECT_EQ(GetErrorReason(refusal), reason::kOffsetMismatch);
  first->Refuse(refusal);
  first.reset();
  // The ids are free, and a new upload may begin while the other stream has
  // not noticed.
  auto again = NewSession();
  ASSERT_TRUE(Declare(*again, Part(declaration, 0, 3)).ok());
  EXPECT_EQ(Send(*second, 3, "x", false), refusal);
  second.reset();
  ASSERT_TRUE(Send(*again, 0, "abc", true).ok());
  ASSERT_TRUE(again->Commit().ok());
  again.reset();
  EXPECT_EQ(test_.uploads.suspended(), 1U);
  test_.uploads.Clear();
  ExpectNothingLeft();
}

TEST_F(UploadPartsTest, WhatIsNotCompleteWaitsForTheOthersOnlySoLong) {
  const v1::UploadDeclaration declaration = Declaration(v1::DTYPE_UINT8, 6, 1);
  Stream stream{NewSession(), {}, 0, 3};
  ASSERT_TRUE(Declare(*stream.session, Part(declaration, 0, 3)).ok());
  ASSERT_EQ(*Advance(stream, "abcdef", 3), nullptr);
  stream.session.reset();
  EXPECT_EQ(test_.uploads.suspended(), 1U);
  // Who repeats it has nothing to do.
  const auto again = NewSession();
  ASSERT_TRUE(Declare(*again, Part(declaration, 0, 3)).ok());
  ASSERT_NE(again->earlier_answer(), nullptr);
  EXPECT_TRUE(again->earlier_answer()->empty());
  EXPECT_EQ(test_.uploads.suspended(), 1U);
  test_.uploads.Clear();
  ExpectNothingLeft();
}

}  // namespace
}  // namespace tensord
