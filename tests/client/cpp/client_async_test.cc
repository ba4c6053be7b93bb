// Calls that no thread waits for, and what a call may be told.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/cast/cast.h"
#include "core/error.h"
#include "tensord/client.h"
#include "tests/client/cpp/fake_server.h"
#include "tests/client/cpp/real_server.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord {
namespace {

template <class T>
T Value(absl::StatusOr<T> result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

template <class T>
T Value(Future<absl::StatusOr<T>> future) {
  return Value(std::move(future).Get());
}

bool EndedOrGivenUp(const absl::Status& status) {
  return status.ok() || status.code() == absl::StatusCode::kCancelled;
}

class ClientAsyncTest : public RealServerTest {
 protected:
  Random random_{1};
};

TEST_F(ClientAsyncTest, ProgressCountsEveryByteThatTravels) {
  for (const std::int64_t count : {3, 50'000, 3'000'000}) {
    const TestArray array = MakeArray(random_, DType::kInt32, {count}, Lie::kC);
    const std::int64_t size_bytes = 4 * count;
    const Progress up;
    const RemoteTensor tensor =
        Value(client().Create(array.view, {}, {.progress = up}));
    EXPECT_EQ(up.bytes_done(), size_bytes);
    EXPECT_EQ(up.bytes_total(), size_bytes);

    const Progress down;
    Value(tensor.ReadAsync({.dtype = DType::kInt8}, {.progress = down}));
    EXPECT_EQ(down.bytes_done(), count);
    EXPECT_EQ(down.bytes_total(), count);

    const Progress both;
    std::vector<std::byte> result(2 * count);
    EXPECT_TRUE(client()
                    .Convert(array.view, DType::kInt16, Overflow::kTorch,
                             result.data(), result.size(), {.progress = both})
                    .ok());
    EXPECT_EQ(both.bytes_done(), size_bytes + 2 * count);
    EXPECT_EQ(both.bytes_total(), size_bytes + 2 * count);
  }
}

TEST_F(ClientAsyncTest, EveryCallDoesWhatTheBlockingOneDoes) {
  const TestArray array = MakeArray(random_, DType::kInt32, {50'000}, Lie::kC);
  const Client connected = Value(Client::ConnectAsync(target()));
  RemoteTensor made = Value(
      connected.CreateAsync(array.view, {.id = "a", .lease = absl::Hours(1)}));
  EXPECT_FALSE(made.owned());
  EXPECT_EQ(made.info().lease, absl::Hours(1));
  EXPECT_EQ(Value(connected.GetAsync("a")).info().etag, made.info().etag);

  const HostArray read = Value(made.ReadAsync({.dtype = DType::kInt64}));
  const HostArray expected = Value(made.Read({.dtype = DType::kInt64}));
  EXPECT_EQ(read.layout.size_bytes, expected.layout.size_bytes);
  EXPECT_TRUE(std::equal(read.data.get(),
                         read.data.get() + read.layout.size_bytes,
                         expected.data.get()));
  Bytes bytes(array.memory.size());
  EXPECT_TRUE(made.ReadIntoAsync(bytes.data(), bytes.size()).Get().ok());
  EXPECT_EQ(bytes, array.Packed());
  EXPECT_EQ(GetErrorReason(made.ReadIntoAsync(bytes.data(), 3).Get()),
            reason::kSizeMismatch);

  RemoteTensor cast = Value(made.TransformAsync(
      {ToOperation{.dtype = DType::kFloat32}}, {.id = "b"}));
  EXPECT_EQ(cast.info().dtype, DType::kFloat32);
  EXPECT_TRUE(Value(cast.SetRequiresGradAsync(true)).requires_grad);
  EXPECT_FALSE(cast.info().requires_grad);
  EXPECT_TRUE(client().Get("b")->info().requires_grad);

  EXPECT_EQ(Value(connected.ListAsync(1)).tensors.size(), 1U);
  EXPECT_EQ(Value(connected.DevicesAsync()).front().name, "cpu");
  EXPECT_EQ(Value(connected.GetServerInfoAsync()).version,
            client().GetServerInfo()->version);

  EXPECT_TRUE(cast.DeleteAsync().Get().ok());
  EXPECT_FALSE(Exists("b"));
  EXPECT_TRUE(connected.DeleteAsync("a").Get().ok());
  EXPECT_EQ(GetErrorReason(connected.DeleteAsync("a").Get()),
            reason::kTensorNotFound);
  EXPECT_TRUE(connected.DeleteAsync("a", /*allow_missing=*/true).Get().ok());
}

TEST_F(ClientAsyncTest, BatchesTooDoWhatTheBlockingOnesDo) {
  std::vector<TestArray> arrays;
  std::vector<ArrayView> views;
  for (int i = 0; i < 50; ++i) {
    arrays.push_back(MakeArray(random_, DType::kInt16,
                               RandomShape(random_, 3, 60'000), Lie::kC));
    views.push_back(arrays.back().view);
  }
  auto made = Value(client().CreateBatchAsync(views));
  ASSERT_EQ(made.size(), arrays.size());
  std::vector<const RemoteTensor*> tensors;
  std::vector<RemoteTensor*> owned;
  std::vector<std::string> ids;
  for (auto& tensor : made) {
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    tensors.push_back(&*tensor);
    owned.push_back(&*tensor);
    ids.push_back(tensor->info().id);
  }
  const auto read = Value(client().ReadBatchAsync(tensors));
  const auto cast =
      Value(client().TransformBatchAsync(tensors, {CloneOperation{}}));
  const auto found = Value(client().GetBatchAsync(ids));
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_TRUE(read[i].ok() && cast[i].ok() && found[i].ok());
    EXPECT_EQ(Packed(read[i]->layout, read[i]->data.get()), arrays[i].Packed());
    EXPECT_EQ(cast[i]->info().shape, arrays[i].view.shape);
    EXPECT_EQ(found[i]->info().etag, tensors[i]->info().etag);
  }
  EXPECT_TRUE(client().DeleteBatchAsync(owned).Get().ok());
  EXPECT_FALSE(tensors[0]->owned());
  EXPECT_FALSE(Exists(ids[0]));
}

TEST_F(ClientAsyncTest, AThousandConversionsAtOnce) {
  constexpr std::size_t kCount = 1000;
  const TestArray array = MakeArray(random_, DType::kInt32, {300}, Lie::kC);
  std::vector<std::vector<std::int64_t>> results(
      kCount, std::vector<std::int64_t>(300));
  std::vector<Future<absl::Status>> futures;
  futures.reserve(kCount);
  for (auto& result : results) {
    futures.push_back(client().ConvertAsync(array.view, DType::kInt64,
                                            Overflow::kTorch, result.data(),
                                            300 * sizeof result[0]));
  }
  Bytes expected(std::size_t{300} * 8);
  CastPacked(DType::kInt32, array.Packed().data(), DType::kInt64,
             expected.data(), 300, Overflow::kTorch, nullptr);
  for (std::size_t i = 0; i < kCount; ++i) {
    const absl::Status status = std::move(futures[i]).Get();
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(std::memcmp(results[i].data(), expected.data(), expected.size()),
              0);
  }
}

TEST_F(ClientAsyncTest, HandsTheResultToACallback) {
  const TestArray array = MakeArray(random_, DType::kInt8, {10}, Lie::kC);
  constexpr int kCount = 100;
  std::latch counter(kCount);
  std::atomic<int> ok = 0;
  for (int i = 0; i < kCount; ++i) {
    auto future = client().CreateAsync(array.view, {.id = absl::StrCat(i)});
    if (i % 3 == 0) future.Wait();
    std::move(future).Then([&](absl::StatusOr<RemoteTensor> made) {
      if (made.ok()) ++ok;
      counter.count_down();
    });
  }
  counter.wait();
  EXPECT_EQ(ok, kCount);
}

// A call that follows another, as programs chain them.
TEST_F(ClientAsyncTest, CallbacksMayBeginCalls) {
  const TestArray array = MakeArray(random_, DType::kInt8, {10}, Lie::kC);
  std::latch done(1);
  client().CreateAsync(array.view, {.id = "a"}).Then([&](auto made) {
    ASSERT_TRUE(made.ok());
    made->ReadAsync().Then([&](absl::StatusOr<HostArray> read) {
      ASSERT_TRUE(read.ok());
      EXPECT_EQ(Packed(read->layout, read->data.get()), array.Packed());
      done.count_down();
    });
  });
  done.wait();
}

TEST_F(ClientAsyncTest, AConnectionStaysForItsCalls) {
  std::optional<Client> own = *Client::Connect(target());
  const TestArray array = MakeArray(random_, DType::kInt8, {1 << 20}, Lie::kC);
  auto future = own->CreateAsync(array.view, {.id = "a"});
  own.reset();
  EXPECT_TRUE(std::move(future).Get().ok());
}

// Whatever the moment: the memory is the caller's again once a future is
// ready, and nothing is left on the server.
TEST_F(ClientAsyncTest, CallsAreGivenUpAtAnyTime) {
  constexpr std::int64_t kBytes = 20 << 20;
  const TestArray array = MakeArray(random_, DType::kUInt8, {kBytes}, Lie::kC);
  const RemoteTensor stored = *client().Create(array.view);
  int given_up = 0;
  for (int round = 0; round < 60; ++round) {
    Bytes sent = array.memory;
    Bytes converted(kBytes);
    Bytes read(kBytes);
    ArrayView view = array.view;
    view.data = sent.data();
    const auto give_up = [&](auto future) {
      absl::SleepFor(absl::Microseconds(Between(random_, 0, 9000)));
      future.Cancel();
      return std::move(future).Get();
    };
    absl::Status status;
    switch (round % 3) {
      case 0:
        status = give_up(client().CreateAsync(view)).status();
        break;
      case 1:
        status = give_up(client().ConvertAsync(
            view, DType::kInt8, Overflow::kTorch, converted.data(), kBytes));
        break;
      default:
        status = give_up(stored.ReadIntoAsync(read.data(), kBytes));
    }
    ASSERT_TRUE(EndedOrGivenUp(status)) << status;
    if (!status.ok()) ++given_up;
  }
  EXPECT_GT(given_up, 0);
  // Uploads that are given up have to be heard of first.
  for (int i = 0; i < 1000 && client().List()->tensors.size() > 1; ++i) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(client().List()->tensors.size(), 1U);
}

TEST_F(ClientAsyncTest, AFutureThatGoesGivesItsCallUp) {
  constexpr std::int64_t kBytes = 20 << 20;
  for (int round = 0; round < 10; ++round) {
    Bytes memory(kBytes);
    const auto future = client().CreateAsync(
        {.data = memory.data(), .dtype = DType::kUInt8, .shape = {kBytes}});
    absl::SleepFor(absl::Microseconds(Between(random_, 0, 3000)));
  }
}

// gRPC would wait for threads that are not there.
TEST_F(ClientAsyncTest, AProcessThatIsForkedMakesNoCalls) {
  const pid_t child = fork();
  if (child == 0) {
    const auto is_told = [](const auto& result) {
      return GetErrorReason(result.status()) == reason::kForked;
    };
    const bool all = is_told(client().Get("a")) &&
                     is_told(client().GetAsync("a").Get()) &&
                     is_told(Client::Connect(target())) &&
                     is_told(Client::ConnectAsync(target()).Get());
    _exit(all ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(client().List().ok());
}

class CallOptionsTest : public ::testing::Test {
 protected:
  CallOptionsTest() {
    service_.get = [this](const v1::GetTensorRequest&, v1::Tensor*) {
      const absl::Time start = absl::Now();
      while (!FakeService::IsCancelled() &&
             absl::Now() - start < absl::Seconds(20)) {
        absl::SleepFor(absl::Milliseconds(1));
      }
      ++cancelled_;
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "");
    };
    server_.emplace(service_);
    client_.emplace(*Client::Connect(server_->target()));
  }

  FakeService service_;
  std::atomic<int> cancelled_ = 0;
  std::optional<FakeServer> server_;
  std::optional<Client> client_;
};

TEST_F(CallOptionsTest, TimeoutIsTheCalls) {
  const absl::Time start = absl::Now();
  EXPECT_EQ(
      client_->Get("x", {.timeout = absl::Milliseconds(50)}).status().code(),
      absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(client_->GetAsync("x", {.timeout = absl::Milliseconds(50)})
                .Get()
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, absl::Seconds(15));
}

TEST_F(CallOptionsTest, ACancellationGivesUpWhatIsUnderWay) {
  const Cancellation cancellation;
  auto future = client_->GetAsync("x", {.cancellation = cancellation});
  std::thread giving_up([&] {
    absl::SleepFor(absl::Milliseconds(20));
    cancellation.Cancel();
  });
  EXPECT_EQ(client_->Get("x", {.cancellation = cancellation}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(std::move(future).Get().status().code(),
            absl::StatusCode::kCancelled);
  giving_up.join();
  EXPECT_TRUE(cancellation.is_cancelled());
  // Those to come as well.
  EXPECT_EQ(client_->Get("x", {.cancellation = cancellation}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(CallOptionsTest, ACancellationEndsThePauseBeforeAnotherAttempt) {
  service_.create = [](const v1::CreateTensorRequest&, v1::Tensor*) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "");
  };
  const std::byte memory[4] = {};
  const Cancellation cancellation;
  const absl::Time start = absl::Now();
  auto future = client_->CreateAsync(
      {.data = memory, .dtype = DType::kUInt8, .shape = {4}}, {},
      {.max_attempts = 1000, .cancellation = cancellation});
  absl::SleepFor(absl::Milliseconds(150));
  cancellation.Cancel();
  EXPECT_FALSE(std::move(future).Get().ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(CallOptionsTest, TheTraceContextGoesAlong) {
  std::string seen;
  service_.read = [&](const v1::ReadTensorRequest&, v1::ReadTensorResponse*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
  };
  service_.get = [&](const v1::GetTensorRequest&, v1::Tensor*) {
    seen = FakeService::Metadata("traceparent");
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
  };
  const std::string trace =
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_FALSE(client_->Get("x", {.traceparent = trace}).ok());
  EXPECT_EQ(seen, trace);
  EXPECT_FALSE(client_->Get("x").ok());
  EXPECT_EQ(seen, "");
  EXPECT_EQ(GetErrorReason(client_->Get("x", {.traceparent = "a\nb"}).status()),
            reason::kTraceparentInvalid);
  EXPECT_EQ(GetErrorReason(
                client_->GetAsync("x", {.traceparent = "a\nb"}).Get().status()),
            reason::kTraceparentInvalid);
}

}  // namespace
}  // namespace tensord
