#include "server/rpc/batch_session.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "server/wire/byte_buffer.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using Step = BatchSession::Step;

class BatchSessionTest : public ::testing::Test {
 protected:
  BatchSessionTest()
      : allocator_(test_.devices, test_.quotas, nullptr,
                   TestContext::kMaxTensorBytes),
        calls_(test_.context, allocator_) {}

  // Stores `count` bytes as tensors/`id`.
  void Store(const std::string& id, std::int64_t count) {
    v1::CreateTensorRequest request;
    request.set_tensor_id(id);
    *request.mutable_raw()->mutable_spec() = MakeSpec(v1::DTYPE_UINT8, {count});
    request.mutable_raw()->set_data(
        std::string(static_cast<std::size_t>(count), 'a'));
    v1::Tensor tensor;
    ASSERT_TRUE(calls_.Create(request, tensor).ok());
  }

  void AddCast(const std::string& name) {
    v1::TransformTensorRequest& call =
        *request_.add_calls()->mutable_transform_tensor();
    call.set_name(name);
    call.add_operations()->mutable_to()->set_dtype(v1::DTYPE_INT8);
  }

  void AddGet(const std::string& name) {
    request_.add_calls()->mutable_get_tensor()->set_name(name);
  }

  void Start(BatchSession& session) {
    message_ = SerializeMessage(request_);
    ASSERT_TRUE(session.Start(message_).ok());
  }

  // One step; what it made goes to results_.
  Step Next(BatchSession& session, bool may_take_long) {
    grpc::ByteBuffer bytes;
    const absl::StatusOr<Step> step =
        session.Next({.may_take_long = may_take_long}, bytes);
    EXPECT_TRUE(step.ok()) << step.status();
    if (*step == Step::kSend) {
      v1::BatchResponse response;
      EXPECT_TRUE(ParseMessage(bytes, response));
      EXPECT_LE(static_cast<std::int64_t>(response.ByteSizeLong()),
                test_.context.limits.max_message_bytes);
      results_.MergeFrom(response);
    }
    return *step;
  }

  TestContext test_;
  BufferAllocator allocator_;
  TensorCalls calls_;
  v1::BatchRequest request_;
  grpc::ByteBuffer message_;
  v1::BatchResponse results_;
};

TEST_F(BatchSessionTest, PausesBeforeWhatTakesLong) {
  Store("small", kMaxInlineBytes);
  Store("large", kMaxInlineBytes + 1);
  AddGet("tensors/small");
  AddCast("tensors/large");
  AddGet("tensors/large");
  BatchSession session(test_.context, calls_);
  Start(session);
  EXPECT_EQ(Next(session, false), Step::kPaused);
  EXPECT_EQ(test_.store.size(), 2U);
  EXPECT_EQ(Next(session, false), Step::kPaused);
  EXPECT_EQ(test_.store.size(), 2U);
  EXPECT_EQ(Next(session, true), Step::kPaused);
  EXPECT_EQ(test_.store.size(), 3U);
  EXPECT_EQ(Next(session, false), Step::kSend);
  EXPECT_EQ(Next(session, false), Step::kProcessed);
  EXPECT_EQ(results_.results_size(), 3);
}

TEST_F(BatchSessionTest, PausesBeforeWhatIsForTheThreadsOfADevice) {
  constexpr Device kCuda0{DeviceType::kCuda, 0};
  test_.AddFakeCuda();
  auto& create = *request_.add_calls()->mutable_create_tensor();
  create.set_tensor_id("a");
  *create.mutable_raw()->mutable_spec() = MakeSpec(v1::DTYPE_UINT8, {4});
  create.mutable_raw()->set_data("abcd");
  create.mutable_options()->set_device("cuda:0");
  AddGet("tensors/a");
  AddCast("tensors/a");
  AddGet("tensors/a");
  auto& read = *request_.add_calls()->mutable_read_tensor();
  read.set_name("tensors/a");
  read.mutable_options()->set_force(true);
  BatchSession session(test_.context, calls_);
  Start(session);
  grpc::ByteBuffer response;
  const auto next = [&](std::optional<Device> device) {
    return *session.Next({.may_take_long = true, .device = device}, response);
  };
  EXPECT_EQ(next(std::nullopt), Step::kPaused);
  EXPECT_EQ(session.device(), kCuda0);
  EXPECT_EQ(next(Device{DeviceType::kCuda, 1}), Step::kPaused);
  EXPECT_EQ(test_.store.size(), 0U);
  EXPECT_EQ(next(kCuda0), Step::kSend);
  EXPECT_EQ(test_.store.size(), 2U);
  EXPECT_EQ(next(std::nullopt), Step::kProcessed);
  v1::BatchResponse results;
  ASSERT_TRUE(ParseMessage(response, results));
  ASSERT_EQ(results.results_size(), 5);
  EXPECT_EQ(results.results(4).array().data(), "abcd");
  // Each kind of call for itself.
  for (const int call : {2, 4}) {
    v1::BatchRequest one;
    *one.add_calls() = request_.calls(call);
    message_ = SerializeMessage(one);
    ASSERT_TRUE(session.Start(message_).ok());
    EXPECT_EQ(next(std::nullopt), Step::kPaused) << call;
    EXPECT_EQ(next(kCuda0), Step::kSend) << call;
    EXPECT_EQ(next(std::nullopt), Step::kProcessed) << call;
  }
}

TEST_F(BatchSessionTest, PausesAfterMuchWork) {
  // Each is little enough, all together are not.
  Store("x", kMaxInlineBytes / 4);
  for (int i = 0; i < 10; ++i) AddCast("tensors/x");
  BatchSession session(test_.context, calls_);
  Start(session);
  int pauses = 0;
  while (Next(session, false) == Step::kPaused) ++pauses;
  EXPECT_EQ(pauses, 2);
  EXPECT_EQ(results_.results_size(), 10);
}

TEST_F(BatchSessionTest, PausesAfterManyCalls) {
  for (int i = 0; i < 2000; ++i) request_.add_calls();
  BatchSession session(test_.context, calls_);
  Start(session);
  bool paused = false;
  for (;;) {
    const Step step = Next(session, false);
    if (step == Step::kProcessed) break;
    paused |= step == Step::kPaused;
  }
  EXPECT_TRUE(paused);
  EXPECT_EQ(results_.results_size(), 2000);
}

TEST_F(BatchSessionTest, KeepsToSmallMessages) {
  test_.context.limits.max_message_bytes = 8192;
  Store("x", 5000);
  Store("y", 8192 - 64);
  Store("z", 8192 - 8);
  for (const char* const name : {"x", "x", "y", "z", "x"}) {
    request_.add_calls()->mutable_read_tensor()->set_name(
        absl::StrCat("tensors/", name));
    AddGet(absl::StrCat("tensors/", name));
  }
  BatchSession session(test_.context, calls_);
  Start(session);
  while (Next(session, false) != Step::kProcessed) {
  }
  ASSERT_EQ(results_.results_size(), 10);
  EXPECT_EQ(results_.results(0).array().data().size(), 5000U);
  EXPECT_EQ(results_.results(4).array().data().size(), 8192U - 64);
  EXPECT_EQ(results_.results(6).error().code(),
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(results_.results(9).tensor().name(), "tensors/x");
}

TEST_F(BatchSessionTest, LeavesNothingOfWhatDidNotRun) {
  Store("large", kMaxInlineBytes + 1);
  AddCast("tensors/large");
  request_.mutable_calls(0)->mutable_transform_tensor()->set_tensor_id("t");
  {
    BatchSession session(test_.context, calls_);
    Start(session);
    EXPECT_EQ(Next(session, false), Step::kPaused);
    // The id is taken until the session goes.
    EXPECT_FALSE(test_.store.ClaimId("t").ok());
  }
  EXPECT_TRUE(test_.store.ClaimId("t").ok());
  EXPECT_EQ(test_.store.size(), 1U);
}

}  // namespace
}  // namespace tensord
