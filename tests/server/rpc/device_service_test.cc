// Calls on tensors that are on a device which may wait.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/device_threads.h"
#include "tests/core/store/list_stored.h"
#include "tests/eventually.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

constexpr Device kCuda0{DeviceType::kCuda, 0};
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr char kCuda[] = "cuda:0";

// 0, 1, 2 and so on up to 255, again and again: all exact in every float here.
std::string Counting(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 256);
  }
  return Bytes(values);
}

std::string RequestId(int number) {
  return absl::StrCat("00000000-0000-4000-8000-", 100000000000 + number);
}

class DeviceServiceTest : public ServiceFixture {
 protected:
  DeviceServiceTest() : ServiceFixture({.built = true}) {}

  void SetUp() override {
    FakeBackend& cuda = test_.AddFakeCuda();
    cuda.SetHook([this] {
      ++calls_;
      gate_.Pass();
    });
    ServiceFixture::SetUp();
  }

  void TearDown() override {
    gate_.Open();
    ServiceFixture::TearDown();
    EXPECT_EQ(test_.used_bytes(kCuda0), 0);
  }

  // With a deadline, so that what hangs fails.
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + 3 * kPatience));
  }

  static v1::UploadDeclaration Declaration(const std::string& id,
                                           const std::string& device,
                                           std::int64_t count,
                                           v1::Dtype dtype) {
    v1::UploadDeclaration declaration;
    declaration.set_tensor_id(id);
    *declaration.mutable_array()->mutable_raw() =
        MakeSpec(v1::DTYPE_FLOAT32, {count});
    declaration.mutable_array()->set_total_bytes(4 * count);
    declaration.mutable_options()->set_device(device);
    declaration.mutable_options()->set_dtype(dtype);
    return declaration;
  }

  // Brings bytes [begin, end) of `data` in messages of up to `step` bytes.
  grpc::Status Upload(const v1::UploadDeclaration& declaration,
                      const std::string& data, std::size_t begin,
                      std::size_t end, std::size_t step,
                      grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    if (context == nullptr) context = &own;
    SetDeadline(*context);
    v1::Tensor tensor;
    auto writer = stub_->UploadTensor(context, &tensor);
    v1::UploadTensorRequest request;
    *request.mutable_declaration() = declaration;
    writer->Write(request);
    for (std::size_t next = begin; next < end; next += step) {
      const std::size_t size = std::min(step, end - next);
      request.Clear();
      request.mutable_chunk()->set_offset(static_cast<std::int64_t>(next));
      request.mutable_chunk()->set_data(data.substr(next, size));
      request.set_finish(next + size == end);
      writer->Write(request);
    }
    writer->WritesDone();
    return writer->Finish();
  }
  grpc::Status Upload(const v1::UploadDeclaration& declaration,
                      const std::string& data, std::size_t step) {
    return Upload(declaration, data, 0, data.size(), step);
  }

  // Elements wherever they are.
  static v1::ReadOptions Forced(v1::Dtype dtype = v1::DTYPE_UNSPECIFIED) {
    v1::ReadOptions options;
    options.set_force(true);
    options.set_dtype(dtype);
    return options;
  }

  grpc::Status Download(const std::string& name, const v1::ReadOptions& options,
                        std::string* data,
                        grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    if (context == nullptr) context = &own;
    SetDeadline(*context);
    v1::DownloadTensorRequest request;
    request.set_name(name);
    *request.mutable_options() = options;
    auto reader = stub_->DownloadTensor(context, request);
    v1::DownloadTensorResponse response;
    while (reader->Read(&response)) data->append(response.chunk().data());
    return reader->Finish();
  }

  grpc::Status Delete(const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteTensorRequest request;
    google::protobuf::Empty response;
    request.set_name(name);
    return stub_->DeleteTensor(&context, request, &response);
  }

  void DeleteAllButTheSentinel() {
    for (const auto& stored : ListStored(test_.store)) {
      if (stored->id == "sentinel") continue;
      EXPECT_EQ(Outcome(Delete("tensors/" + stored->id)), "OK");
    }
  }

  grpc::Status Transform(const std::string& name, const std::string& id,
                         const v1::Operation::To& to) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::TransformTensorRequest request;
    v1::Tensor tensor;
    request.set_name(name);
    request.set_tensor_id(id);
    *request.add_operations()->mutable_to() = to;
    return stub_->TransformTensor(&context, request, &tensor);
  }

  Gate gate_;
  std::atomic<int> calls_ = 0;
};

TEST_F(DeviceServiceTest, UploadsAndReadsAreThoseOfTheCpu) {
  constexpr std::int64_t kCount = (3 << 18) + 7;
  const std::string data = Counting(kCount);
  for (const v1::Dtype dtype :
       {v1::DTYPE_FLOAT32, v1::DTYPE_BFLOAT16, v1::DTYPE_FLOAT64}) {
    for (const char* const device : {"cpu", kCuda}) {
      const std::string id = absl::StrCat(device[1] == 'p' ? "cpu" : "cuda");
      ASSERT_EQ(Outcome(Upload(Declaration(id, device, kCount, dtype), data,
                               (1 << 20) - 13)),
                "OK");
    }
    for (const v1::Dtype read :
         {v1::DTYPE_UNSPECIFIED, v1::DTYPE_INT16, v1::DTYPE_FLOAT64}) {
      std::string cpu;
      std::string cuda;
      ASSERT_EQ(Outcome(Download("tensors/cpu", Forced(read), &cpu)), "OK");
      ASSERT_EQ(Outcome(Download("tensors/cuda", Forced(read), &cuda)), "OK");
      EXPECT_FALSE(cpu.empty());
      EXPECT_TRUE(cpu == cuda);
    }
    DeleteAllButTheSentinel();
  }
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, UploadsComeInParts) {
  constexpr std::int64_t kCount = 30000;
  const std::string data = Counting(kCount);
  v1::UploadDeclaration whole =
      Declaration("a", kCuda, kCount, v1::DTYPE_FLOAT16);
  whole.set_request_id(RequestId(1));
  const auto bring = [&](std::size_t begin, std::size_t end) {
    v1::UploadDeclaration part = whole;
    part.mutable_part()->set_begin(static_cast<std::int64_t>(begin));
    part.mutable_part()->set_end(static_cast<std::int64_t>(end));
    EXPECT_EQ(Outcome(Upload(part, data, begin, end, 5000)), "OK");
  };
  std::thread first([&] { bring(0, 40000); });
  std::thread second([&] { bring(40000, 100000); });
  bring(100000, data.size());
  first.join();
  second.join();
  v1::ReadTensorResponse response;
  ASSERT_EQ(Outcome(Read("tensors/a", Forced(v1::DTYPE_FLOAT32), &response)),
            "OK");
  EXPECT_TRUE(response.data() == data);
  // The same once more is answered as before.
  bring(0, 40000);
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, AnUploadOfAnotherDeviceIsAnother) {
  v1::UploadDeclaration declaration =
      Declaration("a", kCuda, 10, v1::DTYPE_FLOAT32);
  declaration.set_request_id(RequestId(1));
  declaration.mutable_part()->set_end(20);
  const std::string data = Counting(10);
  ASSERT_EQ(Outcome(Upload(declaration, data, 0, 20, 20)), "OK");
  v1::UploadDeclaration other = declaration;
  other.mutable_options()->set_device("cpu");
  EXPECT_EQ(Outcome(Upload(other, data, 0, 20, 20)), "9 REQUEST_ID_REUSED");
  grpc::ClientContext context;
  v1::QueryUploadRequest query;
  v1::QueryUploadResponse found;
  query.set_request_id(RequestId(1));
  query.mutable_part()->set_begin(20);
  query.mutable_part()->set_end(40);
  EXPECT_EQ(Outcome(stub_->QueryUpload(&context, query, &found)), "OK");
  EXPECT_EQ(found.committed_bytes(), 20);
  test_.uploads.Clear();
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, SmallCallsAreThoseOfTheCpu) {
  const std::string data = Counting(100);
  v1::TensorOptions options;
  options.set_device(kCuda);
  options.set_dtype(v1::DTYPE_FLOAT16);
  v1::Tensor made;
  ASSERT_EQ(
      Outcome(Create("a", v1::DTYPE_FLOAT32, {100}, data, options, &made)),
      "OK");
  EXPECT_EQ(made.device(), kCuda);
  EXPECT_EQ(test_.used_bytes(kCuda0), 200);
  v1::Operation::To to;
  to.set_device("cpu");
  to.set_dtype(v1::DTYPE_FLOAT32);
  ASSERT_EQ(Outcome(Transform("tensors/a", "b", to)), "OK");
  EXPECT_TRUE(ReadBytes("tensors/b") == data);
  to.set_device(kCuda);
  to.set_dtype(v1::DTYPE_INT32);
  ASSERT_EQ(Outcome(Transform("tensors/b", "c", to)), "OK");
  ASSERT_EQ(Outcome(Transform("tensors/a", "d", to)), "OK");
  for (const char* const name : {"tensors/a", "tensors/c", "tensors/d"}) {
    v1::ReadTensorResponse response;
    ASSERT_EQ(Outcome(Read(name, Forced(v1::DTYPE_FLOAT32), &response)), "OK");
    EXPECT_TRUE(response.data() == data) << name;
  }
  v1::ReadTensorResponse response;
  EXPECT_EQ(Outcome(Read("tensors/a", {}, &response)), "9 NEEDS_CPU");
  EXPECT_EQ(Outcome(Create("a", v1::DTYPE_FLOAT32, {100}, data, options)),
            "6 TENSOR_EXISTS");
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, BatchesMixDevices) {
  const std::string data = Counting(100);
  v1::BatchRequest request;
  for (const char* const device : {"cpu", kCuda, "cpu", kCuda}) {
    const std::string id = absl::StrCat("t", request.calls_size());
    auto& create = *request.add_calls()->mutable_create_tensor();
    create.set_tensor_id(id);
    *create.mutable_raw()->mutable_spec() = MakeSpec(v1::DTYPE_FLOAT32, {100});
    create.mutable_raw()->set_data(data);
    create.mutable_options()->set_device(device);
    auto& transform = *request.add_calls()->mutable_transform_tensor();
    transform.set_name("tensors/" + id);
    transform.set_tensor_id(id + "x");
    transform.add_operations()->mutable_to()->set_device(
        device[1] == 'p' ? kCuda : "cpu");
    for (const char* const end : {"", "x"}) {
      auto& read = *request.add_calls()->mutable_read_tensor();
      read.set_name(absl::StrCat("tensors/", id, end));
      *read.mutable_options() = Forced();
    }
    request.add_calls()->mutable_get_tensor()->set_name("tensors/" + id);
    request.add_calls()->mutable_read_tensor()->set_name("tensors/none");
  }
  const int calls = request.calls_size();
  grpc::ClientContext context;
  SetDeadline(context);
  auto stream = stub_->Batch(&context);
  constexpr int kRequests = 3;
  for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  std::vector<v1::BatchResult> results;
  v1::BatchResponse response;
  while (stream->Read(&response)) {
    results.insert(results.end(), response.results().begin(),
                   response.results().end());
  }
  ASSERT_EQ(Outcome(stream->Finish()), "OK");
  ASSERT_EQ(results.size(), static_cast<std::size_t>(kRequests * calls));
  for (int i = 0; i < calls; ++i) {
    const v1::BatchResult& result = results[static_cast<std::size_t>(i)];
    const v1::BatchCall& call = request.calls(i);
    if (call.has_read_tensor() && call.read_tensor().name() == "tensors/none") {
      EXPECT_EQ(result.error().code(), 5);
    } else if (call.has_read_tensor()) {
      EXPECT_TRUE(result.array().data() == data) << i;
    } else {
      EXPECT_TRUE(result.has_tensor()) << i;
    }
  }
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, TheNextChunkIsMadeWhileOneIsSent) {
  constexpr std::int64_t kCount = 5 << 18;
  const std::string data = Counting(kCount);
  ASSERT_EQ(Outcome(Upload(Declaration("a", kCuda, kCount, v1::DTYPE_FLOAT32),
                           data, 1 << 20)),
            "OK");
  calls_ = 0;
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DownloadTensorRequest request;
  request.set_name("tensors/a");
  *request.mutable_options() = Forced();
  // A connection that takes less than a chunk before it is read.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto narrow = v1::TensorService::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port_),
                                grpc::InsecureChannelCredentials(), arguments));
  auto reader = narrow->DownloadTensor(&context, request);
  reader->WaitForInitialMetadata();
  // The first chunk does not get away, as nobody reads it.
  EXPECT_TRUE(Eventually([&] { return calls_ == 2; }, kPatience));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(calls_, 2);
  std::string read;
  v1::DownloadTensorResponse response;
  while (reader->Read(&response)) read += response.chunk().data();
  EXPECT_EQ(Outcome(reader->Finish()), "OK");
  EXPECT_TRUE(read == data);
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

TEST_F(DeviceServiceTest, FaultsOfADeviceReachTheClient) {
  const std::string data = Counting(5 << 18);
  const v1::UploadDeclaration declaration =
      Declaration("a", kCuda, 5 << 18, v1::DTYPE_FLOAT32);
  bool fired = true;
  for (int i = 0; fired; ++i) {
    test_.faults->FailAfter(i);
    const grpc::Status status = Upload(declaration, data, 1 << 20);
    fired = test_.faults->fired();
    EXPECT_EQ(status.error_code(),
              fired ? grpc::StatusCode::DATA_LOSS : grpc::StatusCode::OK);
    if (fired) ExpectNothingLeft();
  }
  fired = true;
  for (int i = 0; fired; ++i) {
    test_.faults->FailAfter(i);
    std::string read;
    const grpc::Status status = Download("tensors/a", Forced(), &read);
    fired = test_.faults->fired();
    EXPECT_EQ(status.error_code(),
              fired ? grpc::StatusCode::DATA_LOSS : grpc::StatusCode::OK);
    EXPECT_TRUE(fired || read == data);
  }
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

// More calls to a device that stands still than gRPC has threads.
class StalledDeviceTest : public DeviceServiceTest {
 protected:
  static constexpr int kCallsOfAKind = 64;
  static constexpr int kFirst = 1000;

  void SetUp() override {
    DeviceServiceTest::SetUp();
    ASSERT_EQ(
        Outcome(Create("there", v1::DTYPE_FLOAT32, {kCount}, data_, OnCuda())),
        "OK");
    gate_.Close();
  }

  static v1::TensorOptions OnCuda() {
    v1::TensorOptions options;
    options.set_device(kCuda);
    return options;
  }

  void Start(std::function<std::string(grpc::ClientContext&)> call) {
    contexts_.push_back(std::make_unique<grpc::ClientContext>());
    outcomes_.emplace_back();
    SetDeadline(*contexts_.back());
    threads_.emplace_back(
        [call = std::move(call), &context = *contexts_.back(),
         &outcome = outcomes_.back()] { outcome = call(context); });
  }

  void StartAll() {
    // The addresses stay.
    contexts_.reserve(kCallsOfAKind * 6 + 1);
    outcomes_.reserve(kCallsOfAKind * 6 + 1);
    // This one has begun when others are at the same upload.
    Start([this](grpc::ClientContext& context) {
      v1::UploadDeclaration declaration =
          Declaration("first", kCuda, kCount, v1::DTYPE_FLOAT32);
      declaration.set_request_id(RequestId(kFirst));
      return Outcome(
          Upload(declaration, data_, 0, data_.size(), 1000, &context));
    });
    EXPECT_TRUE(Eventually([&] { return gate_.waiting() == 1; }, kPatience));
    for (int i = 0; i < kCallsOfAKind; ++i) {
      Start([this, i](grpc::ClientContext& context) {
        v1::UploadDeclaration declaration = Declaration(
            absl::StrCat("u", i), kCuda, kCount, v1::DTYPE_BFLOAT16);
        if (i % 2 == 0) declaration.set_request_id(RequestId(i));
        return Outcome(
            Upload(declaration, data_, 0, data_.size(), 1000, &context));
      });
      Start([this](grpc::ClientContext& context) {
        v1::ReadTensorRequest request;
        v1::ReadTensorResponse response;
        request.set_name("tensors/there");
        *request.mutable_options() = Forced();
        const grpc::Status status =
            stub_->ReadTensor(&context, request, &response);
        return status.ok() && response.data() != data_ ? "wrong"
                                                       : Outcome(status);
      });
      Start([this](grpc::ClientContext& context) {
        std::string read;
        const grpc::Status status =
            Download("tensors/there", Forced(), &read, &context);
        return status.ok() && read != data_ ? "wrong" : Outcome(status);
      });
      Start([this, i](grpc::ClientContext& context) {
        v1::CreateTensorRequest request;
        v1::Tensor tensor;
        request.set_tensor_id(absl::StrCat("c", i));
        *request.mutable_raw()->mutable_spec() =
            MakeSpec(v1::DTYPE_FLOAT32, {kCount});
        request.mutable_raw()->set_data(data_);
        *request.mutable_options() = OnCuda();
        return Outcome(stub_->CreateTensor(&context, request, &tensor));
      });
      Start([this, i](grpc::ClientContext& context) {
        v1::TransformTensorRequest request;
        v1::Tensor tensor;
        // From the device, and to it.
        request.set_name(i % 2 == 0 ? "tensors/there" : "tensors/sentinel");
        request.set_tensor_id(absl::StrCat("x", i));
        auto& to = *request.add_operations()->mutable_to();
        to.set_device(i % 2 == 0 ? "cpu" : kCuda);
        return Outcome(stub_->TransformTensor(&context, request, &tensor));
      });
      Start([this](grpc::ClientContext& context) {
        v1::BatchRequest request;
        auto& read = *request.add_calls()->mutable_read_tensor();
        read.set_name("tensors/there");
        *read.mutable_options() = Forced();
        auto stream = stub_->Batch(&context);
        stream->Write(request);
        stream->WritesDone();
        v1::BatchResponse response;
        std::string result;
        while (stream->Read(&response)) {
          for (const auto& one : response.results()) {
            result += one.array().data();
          }
        }
        const grpc::Status status = stream->Finish();
        return status.ok() && result != data_ ? "wrong" : Outcome(status);
      });
    }
    EXPECT_TRUE(Eventually(
        [&] { return gate_.waiting() == DeviceThreads::kThreadsPerDevice; },
        kPatience));
  }

  // What they came to.
  const std::vector<std::string>& JoinAll() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return outcomes_;
  }

  // Calls that have nothing to do with the device.
  void ExpectOthersAreServed() {
    const auto other = Connect(absl::StrCat("127.0.0.1:", port_));
    for (int i = 0; i < 20; ++i) {
      const auto deadline = absl::ToChronoTime(absl::Now() + kPatience);
      grpc::ClientContext get;
      get.set_deadline(deadline);
      v1::GetTensorRequest name;
      v1::Tensor tensor;
      name.set_name("tensors/there");
      ASSERT_EQ(Outcome(other->GetTensor(&get, name, &tensor)), "OK");
      grpc::ClientContext read;
      read.set_deadline(deadline);
      v1::ReadTensorRequest sentinel;
      v1::ReadTensorResponse response;
      sentinel.set_name(std::string(kSentinel));
      ASSERT_EQ(Outcome(other->ReadTensor(&read, sentinel, &response)), "OK");
      ASSERT_EQ(response.data(), Bytes<std::int32_t>({1, 2, 3}));
      grpc::ClientContext list;
      list.set_deadline(deadline);
      v1::ListDevicesResponse devices;
      ASSERT_EQ(Outcome(other->ListDevices(&list, {}, &devices)), "OK");
      // An upload of the same request that says another device.
      grpc::ClientContext upload;
      upload.set_deadline(deadline);
      auto writer = other->UploadTensor(&upload, &tensor);
      v1::UploadTensorRequest request;
      *request.mutable_declaration() =
          Declaration("o", "cpu", kCount, v1::DTYPE_FLOAT32);
      request.mutable_declaration()->set_request_id(RequestId(kFirst));
      writer->Write(request);
      writer->WritesDone();
      ASSERT_EQ(Outcome(writer->Finish()), "9 REQUEST_ID_REUSED");
    }
  }

  static constexpr std::int64_t kCount = 1000;
  const std::string data_ = Counting(kCount);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<std::string> outcomes_;
  std::vector<std::thread> threads_;
};

TEST_F(StalledDeviceTest, HoldsUpNobodyElse) {
  StartAll();
  ExpectOthersAreServed();
  EXPECT_EQ(gate_.waiting(), DeviceThreads::kThreadsPerDevice);
  gate_.Open();
  for (const std::string& outcome : JoinAll()) EXPECT_EQ(outcome, "OK");
  for (int i = 0; i < kCallsOfAKind; ++i) {
    v1::ReadTensorResponse response;
    ASSERT_EQ(Outcome(Read(absl::StrCat("tensors/u", i),
                           Forced(v1::DTYPE_FLOAT32), &response)),
              "OK");
    EXPECT_TRUE(response.data() == data_) << i;
  }
  DeleteAllButTheSentinel();
  ExpectNothingLeft();
}

TEST_F(StalledDeviceTest, CancelledCallsLeaveNothing) {
  StartAll();
  for (const auto& context : contexts_) context->TryCancel();
  JoinAll();
  ExpectOthersAreServed();
  gate_.Open();
  EXPECT_TRUE(Eventually([&] { return gate_.waiting() == 0; }, kPatience));
  // What was under way may have been done before it was noticed.
  EXPECT_TRUE(Eventually(
      [&] {
        test_.uploads.Clear();
        DeleteAllButTheSentinel();
        return test_.used_bytes(kCuda0) == 0;
      },
      kPatience));
  ExpectNothingLeft();
}

TEST_F(StalledDeviceTest, ShutdownWaitsForIt) {
  StartAll();
  std::thread opener([this] {
    absl::SleepFor(absl::Milliseconds(200));
    gate_.Open();
  });
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
  server_->Wait();
  opener.join();
  JoinAll();
  service_.reset();
  EXPECT_EQ(gate_.waiting(), 0);
  test_.uploads.Clear();
  for (const auto& stored : ListStored(test_.store)) {
    EXPECT_TRUE(test_.store.Delete(stored->id, "").ok());
  }
}

}  // namespace
}  // namespace tensord
