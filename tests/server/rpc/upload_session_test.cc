#include "server/rpc/upload_session.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using Payload = Envelope::Payload;

class UploadSessionTest : public testing::Test {
 protected:
  absl::Status Declare(const v1::UploadDeclaration& declaration,
                       bool finish = false) {
    Envelope envelope;
    envelope.payload = Payload::kDeclaration;
    envelope.finish = finish;
    return session_->Take(envelope, declaration);
  }

  // A chunk whose bytes are in two pieces.
  absl::Status Send(std::string_view data, bool finish = false) {
    Envelope envelope;
    envelope.payload = Payload::kChunk;
    envelope.finish = finish;
    envelope.chunk.offset = sent_;
    envelope.chunk.data = {data.substr(0, data.size() / 3),
                           data.substr(data.size() / 3)};
    envelope.chunk.data_bytes = data.size();
    sent_ += static_cast<std::int64_t>(data.size());
    return session_->Take(envelope, {});
  }

  absl::Status Finish() {
    Envelope envelope;
    envelope.finish = true;
    return session_->Take(envelope, {});
  }

  void NewSession() {
    session_.emplace(test_.context, allocator_);
    sent_ = 0;
  }

  // The session is over: nothing stays.
  void ExpectNothingLeft() {
    session_.reset();
    EXPECT_EQ(test_.used_bytes(), 0);
    EXPECT_EQ(test_.store.size(), 0U);
    EXPECT_TRUE(test_.store.ClaimId("a").ok());
  }

  static v1::UploadDeclaration Raw(v1::Dtype dtype, const Dims& shape,
                                   std::int64_t total_bytes) {
    v1::UploadDeclaration declaration;
    declaration.set_tensor_id("a");
    *declaration.mutable_array()->mutable_raw() = MakeSpec(dtype, shape);
    declaration.mutable_array()->set_total_bytes(total_bytes);
    return declaration;
  }

  static v1::UploadDeclaration Npy(std::int64_t total_bytes) {
    v1::UploadDeclaration declaration;
    declaration.set_tensor_id("a");
    declaration.mutable_array()->mutable_npy();
    declaration.mutable_array()->set_total_bytes(total_bytes);
    return declaration;
  }

  TestContext test_;
  BufferAllocator allocator_{test_.devices, test_.quotas, nullptr,
                             TestContext::kMaxTensorBytes};
  std::optional<UploadSession> session_{std::in_place, test_.context,
                                        allocator_};
  std::int64_t sent_ = 0;
};

TEST_F(UploadSessionTest, StoresWhatArrivesInAnyPieces) {
  const std::string data = Bytes<std::int32_t>({1, -2, 3, 4, 5, 6, 7});
  for (std::size_t step = 1; step <= data.size(); ++step) {
    NewSession();
    ASSERT_TRUE(Declare(Raw(v1::DTYPE_INT32, {7}, 28)).ok());
    for (std::size_t i = 0; i < data.size(); i += step) {
      ASSERT_TRUE(Send(std::string_view(data).substr(i, step)).ok());
    }
    ASSERT_TRUE(Finish().ok());
    EXPECT_FALSE(test_.store.Get("a").ok());
    const auto stored = session_->Commit();
    ASSERT_TRUE(stored.ok());
    EXPECT_EQ(test_.store.Get("a")->get(), stored->get());
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(
                                   (*stored)->tensor.buffer()->data()),
                               28),
              data);
    ASSERT_TRUE(test_.store.Delete("a", "").ok());
  }
}

TEST_F(UploadSessionTest, ConvertsOnArrival) {
  v1::UploadDeclaration declaration = Raw(v1::DTYPE_INT16, {2, 2}, 8);
  declaration.mutable_array()->mutable_raw()->set_order(v1::ORDER_F);
  declaration.mutable_array()->mutable_raw()->set_byte_order(
      v1::BYTE_ORDER_BIG_ENDIAN);
  declaration.mutable_options()->set_dtype(v1::DTYPE_FLOAT32);
  declaration.mutable_options()->set_requires_grad(true);
  ASSERT_TRUE(Declare(declaration).ok());
  const std::string_view data("\0\1\0\2\0\3\0\4", 8);
  ASSERT_TRUE(Send(data, true).ok());
  const auto stored = session_->Commit();
  ASSERT_TRUE(stored.ok());
  const Tensor& tensor = (*stored)->tensor;
  EXPECT_EQ(tensor.dtype(), DType::kFloat32);
  EXPECT_EQ(tensor.strides(), (Dims{1, 2}));
  EXPECT_TRUE(tensor.requires_grad());
  const auto* const values =
      reinterpret_cast<const float*>(tensor.buffer()->data());
  EXPECT_EQ(std::vector<float>(values, values + 4),
            (std::vector<float>{1, 2, 3, 4}));
}

TEST_F(UploadSessionTest, FindsTheHeaderWhereverItIsCut) {
  const std::string file = NpyFile(10);
  const auto size = static_cast<std::int64_t>(file.size());
  for (std::size_t cut = 0; cut <= file.size(); ++cut) {
    NewSession();
    ASSERT_TRUE(Declare(Npy(size)).ok());
    ASSERT_TRUE(Send(std::string_view(file).substr(0, cut)).ok());
    ASSERT_TRUE(Send(std::string_view(file).substr(cut), true).ok());
    const auto stored = session_->Commit();
    ASSERT_TRUE(stored.ok());
    EXPECT_EQ((*stored)->tensor.shape(), Dims{10});
    EXPECT_EQ((*stored)->tensor.buffer()->data()[9], std::byte{9});
    ASSERT_TRUE(test_.store.Delete("a", "").ok());
  }
}

TEST_F(UploadSessionTest, TakesEmptyArrays) {
  ASSERT_TRUE(Declare(Raw(v1::DTYPE_FLOAT64, {3, 0}, 0), true).ok());
  ASSERT_TRUE(session_->Commit().ok());
  NewSession();
  v1::UploadDeclaration scalar = Raw(v1::DTYPE_BOOL, {}, 1);
  scalar.set_tensor_id("scalar");
  ASSERT_TRUE(Declare(scalar).ok());
  ASSERT_TRUE(Send("\x80", true).ok());
  const auto stored = session_->Commit();
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ((*stored)->tensor.buffer()->data()[0], std::byte{1});
}

TEST_F(UploadSessionTest, ChargesTheDeclarationAndClaimsTheId) {
  ASSERT_TRUE(Declare(Raw(v1::DTYPE_FLOAT32, {1000}, 4000)).ok());
  EXPECT_EQ(test_.used_bytes(), 4000);
  EXPECT_EQ(GetErrorReason(test_.store.ClaimId("a").status()),
            reason::kUploadConflict);
  ExpectNothingLeft();
}

// A declaration that has to be refused, and how.
struct BadDeclaration {
  std::string name;
  v1::UploadDeclaration declaration;
  std::string_view reason;
};

TEST_F(UploadSessionTest, RefusesBadDeclarations) {
  constexpr std::int64_t kLimit = TestContext::kMaxTensorBytes;
  std::vector<BadDeclaration> rows = {
      {"size", Raw(v1::DTYPE_INT32, {7}, 27), reason::kSizeMismatch},
      {"negative size", Raw(v1::DTYPE_INT32, {7}, -1), reason::kSizeMismatch},
      {"too large and wrong", Raw(v1::DTYPE_INT8, {kLimit + 1}, 3),
       reason::kTensorTooLarge},
      {"total too large", Raw(v1::DTYPE_INT8, {3}, kLimit + 1),
       reason::kTensorTooLarge},
      {"no format", {}, reason::kArrayMissing},
      {"negative file", Npy(-1), reason::kSizeMismatch},
      {"empty file", Npy(0), reason::kNpyTruncated},
      {"file too large", Npy(std::int64_t{1} << 62), reason::kTensorTooLarge},
      {"shape", Raw(v1::DTYPE_INT8, {-1}, 0), reason::kShapeInvalid},
      {"dtype", Raw(static_cast<v1::Dtype>(99), {1}, 1), reason::kDtypeUnknown},
  };
  v1::UploadDeclaration widened = Raw(v1::DTYPE_INT8, {kLimit}, kLimit);
  widened.mutable_options()->set_dtype(v1::DTYPE_INT16);
  rows.push_back({"too large when stored", widened, reason::kTensorTooLarge});
  v1::UploadDeclaration grad = Raw(v1::DTYPE_INT8, {1}, 1);
  grad.mutable_options()->set_requires_grad(true);
  rows.push_back({"grad", grad, reason::kGradDtype});
  v1::UploadDeclaration cuda = Npy(200);
  cuda.mutable_options()->set_device("cuda:0");
  rows.push_back({"device", cuda, reason::kCudaNotBuilt});
  v1::UploadDeclaration id = Raw(v1::DTYPE_INT8, {1}, 1);
  id.set_tensor_id("a//b");
  rows.push_back({"id", id, reason::kNameInvalid});
  for (const BadDeclaration& row : rows) {
    NewSession();
    EXPECT_EQ(GetErrorReason(Declare(row.declaration)), row.reason) << row.name;
    ExpectNothingLeft();
  }
}

TEST_F(UploadSessionTest, RefusesBadFilesAndLeavesNothing) {
  const auto refuse = [&](const std::string& file, std::int64_t total_bytes) {
    NewSession();
    EXPECT_TRUE(Declare(Npy(total_bytes)).ok());
    absl::Status status = Send(file);
    if (status.ok()) status = Finish();
    if (status.ok()) status = session_->Commit().status();
    std::string reason = GetErrorReason(status);
    ExpectNothingLeft();
    return reason;
  };
  const std::string file = NpyFile(10);
  const auto size = static_cast<std::int64_t>(file.size());
  EXPECT_EQ(refuse("PK\3\4", 100), reason::kNpzNotSupported);
  EXPECT_EQ(refuse(file, size + 1), reason::kTrailingBytes);
  EXPECT_EQ(refuse(file.substr(0, 128), size - 1), reason::kNpyTruncated);
  EXPECT_EQ(refuse(file.substr(0, 20), 20), reason::kNpyTruncated);
  const std::string huge = WriteNpyHeader(DType::kFloat64, ByteOrder::kLittle,
                                          Order::kC, Dims{65536, 65536});
  EXPECT_EQ(refuse(huge, 1000), reason::kTensorTooLarge);
}

TEST_F(UploadSessionTest, RefusesUndecidedBytesWithoutADtype) {
  const std::string file =
      WriteNpyHeader(DType::kBFloat16, ByteOrder::kLittle, Order::kC, Dims{2}) +
      "abcd";
  const auto size = static_cast<std::int64_t>(file.size());
  ASSERT_TRUE(Declare(Npy(size)).ok());
  EXPECT_EQ(GetErrorReason(Send(file)), reason::kDtypeAmbiguous);
  ExpectNothingLeft();
  NewSession();
  v1::UploadDeclaration declaration = Npy(size);
  declaration.mutable_options()->set_dtype(v1::DTYPE_BFLOAT16);
  ASSERT_TRUE(Declare(declaration).ok());
  ASSERT_TRUE(Send(file, true).ok());
  EXPECT_EQ((*session_->Commit())->tensor.dtype(), DType::kBFloat16);
}

TEST_F(UploadSessionTest, ReportsValuesThatDoNotFit) {
  v1::UploadDeclaration declaration = Raw(v1::DTYPE_FLOAT32, {3}, 12);
  declaration.mutable_options()->set_dtype(v1::DTYPE_INT8);
  declaration.mutable_options()->set_overflow(v1::OVERFLOW_POLICY_ERROR);
  ASSERT_TRUE(Declare(declaration).ok());
  ASSERT_TRUE(Send(Bytes<float>({1, 300, -300}), true).ok());
  const absl::Status status = session_->Commit().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
  EXPECT_EQ(details.metadata.at("firstIndex"), "1");
  EXPECT_EQ(details.metadata.at("count"), "2");
  ExpectNothingLeft();
}

TEST_F(UploadSessionTest, ReportsOnTheConversionIfAsked) {
  for (const bool asked : {false, true}) {
    NewSession();
    v1::UploadDeclaration declaration = Raw(v1::DTYPE_FLOAT32, {3}, 12);
    declaration.mutable_options()->set_dtype(v1::DTYPE_INT8);
    declaration.mutable_options()->set_report_conversion(asked);
    ASSERT_TRUE(Declare(declaration).ok());
    ASSERT_TRUE(Send(Bytes<float>({1, 1.5, -300}), true).ok());
    ASSERT_TRUE(session_->Commit().ok());
    const ConversionReport expected{1, 1, 0, 256.0};
    EXPECT_EQ(session_->report(),
              asked ? std::optional(expected) : std::nullopt);
    ASSERT_TRUE(test_.store.Delete("a", "").ok());
  }
}

TEST_F(UploadSessionTest, LeavesNothingWhereverItStops) {
  const std::string file = NpyFile(40);
  const auto size = static_cast<std::int64_t>(file.size());
  for (std::size_t sent = 0; sent <= file.size(); sent += 7) {
    NewSession();
    ASSERT_TRUE(Declare(Npy(size)).ok());
    ASSERT_TRUE(Send(std::string_view(file).substr(0, sent)).ok());
    EXPECT_EQ(GetErrorReason(session_->Commit().status()),
              reason::kUploadIncomplete);
    ExpectNothingLeft();
  }
}

TEST(UploadToDeviceTest, KeepsNothingWhileTheNextMessageIsAwaited) {
  TestContext test({.built = true});
  const FakeBackend& cuda = test.AddFakeCuda();
  BufferAllocator allocator(test.devices, test.quotas, nullptr, 1 << 20);
  for (const bool in_parts : {false, true}) {
    UploadSession session(test.context, allocator);
    v1::UploadDeclaration declaration;
    *declaration.mutable_array()->mutable_raw() =
        MakeSpec(v1::DTYPE_UINT8, {8});
    declaration.mutable_array()->set_total_bytes(8);
    declaration.mutable_options()->set_device("cuda:0");
    if (in_parts) {
      declaration.set_request_id("00000000-0000-4000-8000-000000000001");
      declaration.mutable_part()->set_end(6);
    }
    Envelope envelope;
    envelope.payload = Payload::kDeclaration;
    ASSERT_TRUE(session.Take(envelope, declaration).ok());
    envelope.payload = Payload::kChunk;
    envelope.chunk.data = {"ab", "cd"};
    envelope.chunk.data_bytes = 4;
    const std::size_t before = cuda.received_bytes();
    ASSERT_TRUE(session.Take(envelope, {}).ok());
    EXPECT_EQ(cuda.received_bytes() - before, 4U);
    EXPECT_EQ(cuda.unflushed_writers(), 0);
  }
}

}  // namespace
}  // namespace tensord
