// The client against servers that lie, refuse, stall and die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/src/status.h"
#include "core/error.h"
#include "google/protobuf/any.pb.h"
#include "tensord/client.h"
#include "tensord/internal/rpc_status.pb.h"
#include "tests/client/cpp/fake_server.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;

using Uploads = grpc::ServerReader<v1::UploadTensorRequest>;
using Downloads = grpc::ServerWriter<v1::DownloadTensorResponse>;
using Conversions =
    grpc::ServerReaderWriter<v1::ConvertArrayResponse, v1::ConvertArrayRequest>;
using Batches = grpc::ServerReaderWriter<v1::BatchResponse, v1::BatchRequest>;

constexpr std::size_t kBig = 24 << 20;

// Memory that can not be touched any more once it is gone: a sender that still
// reads it fails.
class Mapping {
 public:
  explicit Mapping(std::size_t size_bytes)
      : size_bytes_(size_bytes),
        data_(mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~Mapping() { munmap(data_, size_bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* data() { return static_cast<std::byte*>(data_); }
  ArrayView view() const {
    return {.data = data_,
            .dtype = DType::kUInt8,
            .shape = {static_cast<std::int64_t>(size_bytes_)}};
  }
  // The same elements backwards, which have to be gathered.
  ArrayView reversed() const {
    ArrayView array = view();
    array.data = static_cast<std::byte*>(data_) + size_bytes_ - 1;
    array.byte_strides = {-1};
    return array;
  }

 private:
  const std::size_t size_bytes_;
  void* const data_;
};

grpc::Status Refusal(grpc::StatusCode code, const std::string& reason) {
  internal::ErrorInfo info;
  info.set_domain("tensord");
  info.set_reason(reason);
  (*info.mutable_metadata())["limitBytes"] = "5";
  internal::RpcStatus status;
  google::protobuf::Any* any = status.add_details();
  any->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  any->set_value(info.SerializeAsString());
  return grpc::Status(code, "refused", status.SerializeAsString());
}

// A tensor of bytes, as Get would tell of it.
void Describe(std::int64_t size, v1::Tensor* tensor) {
  tensor->set_name("tensors/x");
  tensor->set_dtype(v1::DTYPE_UINT8);
  tensor->add_shape(size);
  tensor->add_strides(1);
}

void Describe(std::int64_t size, v1::BatchResult* result) {
  Describe(size, result->mutable_tensor());
}

v1::DownloadTensorResponse Header(std::int64_t size) {
  v1::DownloadTensorResponse response;
  v1::ArrayHeader* header = response.mutable_header();
  header->mutable_spec()->set_dtype(v1::DTYPE_UINT8);
  header->mutable_spec()->add_shape(size);
  header->set_total_bytes(size);
  return response;
}

v1::DownloadTensorResponse Chunk(std::int64_t offset, std::size_t size) {
  v1::DownloadTensorResponse response;
  response.mutable_chunk()->set_offset(offset);
  response.mutable_chunk()->set_data(std::string(size, 'x'));
  return response;
}

// Sends these bytes of an array in chunks, for as long as the client listens.
void SendRange(std::int64_t begin, std::int64_t end, Downloads& writer) {
  constexpr std::int64_t kChunk = 1 << 20;
  for (std::int64_t at = begin; at < end; at += kChunk) {
    const auto size = static_cast<std::size_t>(std::min(kChunk, end - at));
    if (!writer.Write(Chunk(at, size))) return;
  }
}

void SendAll(std::size_t size, Downloads& writer) {
  const auto end = static_cast<std::int64_t>(size);
  if (writer.Write(Header(end))) SendRange(0, end, writer);
}

void ReadAll(Uploads& reader) {
  v1::UploadTensorRequest request;
  while (reader.Read(&request)) {
  }
}

class ClientFaultsTest : public ::testing::Test {
 protected:
  ClientFaultsTest() {
    service_.get = [](const v1::GetTensorRequest&, v1::Tensor* tensor) {
      Describe(kBig, tensor);
      return grpc::Status::OK;
    };
  }

  void Start() { server_ = std::make_unique<FakeServer>(service_); }

  Client Connect(absl::Duration timeout = absl::Seconds(30)) {
    Start();
    return ConnectTo(server_->target(), timeout);
  }

  static Client ConnectTo(const std::string& target,
                          absl::Duration timeout = absl::Seconds(30),
                          int max_attempts = 1, int max_connections = 1) {
    auto client = Client::Connect(target, {.timeout = timeout,
                                           .max_attempts = max_attempts,
                                           .max_connections = max_connections});
    EXPECT_TRUE(client.ok()) << client.status();
    return *client;
  }

  // A client that takes three connections for an array, of a server that takes
  // as many.
  Client ConnectThrice() {
    service_.limits.set_max_upload_parts(3);
    Start();
    return ConnectTo(server_->target(), absl::Seconds(30), 1, 3);
  }

  // Reads the tensor that Get describes into memory that goes at once.
  static absl::Status Download(const Client& client) {
    const auto tensor = client.Get("x");
    if (!tensor.ok()) return tensor.status();
    Mapping memory(kBig);
    return tensor->ReadInto(memory.data(), kBig);
  }

  // Uploads from memory that goes at once.
  static absl::Status Upload(const Client& client, bool reversed = false) {
    Mapping memory(kBig);
    const auto tensor =
        client.Create(reversed ? memory.reversed() : memory.view());
    return tensor.status();
  }

  static absl::Status Convert(const Client& client) {
    Mapping memory(kBig);
    Mapping destination(kBig);
    return client.Convert(memory.view(), DType::kInt8, Overflow::kTorch,
                          destination.data(), kBig);
  }

  FakeService service_;
  std::unique_ptr<FakeServer> server_;
};

TEST_F(ClientFaultsTest, ConnectSaysThatNobodyListens) {
  const absl::Time start = absl::Now();
  const auto client = Client::Connect("127.0.0.1:1");
  EXPECT_EQ(client.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_EQ(Client::Connect("unix:/nonexistent/socket").status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ClientFaultsTest, ConnectGivesUpOnSilentServers) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener, generic, size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, generic, &size), 0);
  const auto client =
      Client::Connect(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)),
                      {.timeout = absl::Milliseconds(200)});
  EXPECT_EQ(client.status().code(), absl::StatusCode::kDeadlineExceeded);
  close(listener);
}

TEST_F(ClientFaultsTest, ConnectRefusesBadTargets) {
  EXPECT_EQ(Client::Connect("http://localhost:1").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientFaultsTest, ConnectRefusesSenselessLimits) {
  service_.limits.set_max_chunk_bytes(0);
  Start();
  EXPECT_EQ(Client::Connect(server_->target()).status().code(),
            absl::StatusCode::kInternal);
}

TEST_F(ClientFaultsTest, KeepsToTheServersChunkSize) {
  service_.limits.set_max_chunk_bytes(1000);
  service_.limits.set_max_message_bytes(2000);
  std::atomic<std::int64_t> largest = 0;
  std::atomic<std::int64_t> total = 0;
  std::atomic<bool> finished = false;
  service_.upload = [&](Uploads& reader, v1::Tensor* tensor) {
    v1::UploadTensorRequest request;
    while (reader.Read(&request)) {
      const auto size =
          static_cast<std::int64_t>(request.chunk().data().size());
      largest = std::max(largest.load(), size);
      if (size > 0) {
        EXPECT_EQ(request.chunk().offset(), total);
      }
      total += size;
      finished = request.finish();
    }
    Describe(10, tensor);
    return grpc::Status::OK;
  };
  const Client client = Connect();
  Mapping memory(100'000);
  for (const ArrayView& view : {memory.view(), memory.reversed()}) {
    total = 0;
    auto tensor = client.Create(view);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    tensor->Release();
    EXPECT_EQ(largest, 1000);
    EXPECT_EQ(total, 100'000);
    EXPECT_TRUE(finished);
  }
}

TEST_F(ClientFaultsTest, EarlyRefusalEndsAnUpload) {
  std::atomic<int> messages = 0;
  service_.upload = [&](Uploads& reader, v1::Tensor*) {
    v1::UploadTensorRequest request;
    for (int i = 0; i < messages; ++i) reader.Read(&request);
    return Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "MEMORY_EXHAUSTED");
  };
  const Client client = Connect();
  for (messages = 0; messages < 6; ++messages) {
    for (const bool reversed : {false, true}) {
      const absl::Time start = absl::Now();
      const absl::Status status = Upload(client, reversed);
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_EQ(GetErrorReason(status), reason::kMemoryExhausted);
      EXPECT_EQ(GetErrorDetails(status).metadata.at("limitBytes"), "5");
      EXPECT_LT(absl::Now() - start, absl::Seconds(5));
    }
  }
}

TEST_F(ClientFaultsTest, EarlyRefusalEndsAConversion) {
  service_.convert = [](Conversions& stream) {
    v1::ConvertArrayRequest request;
    stream.Read(&request);
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "TENSOR_TOO_LARGE");
  };
  EXPECT_EQ(GetErrorReason(Convert(Connect())), reason::kTensorTooLarge);
}

TEST_F(ClientFaultsTest, RefusesSenselessTensors) {
  service_.upload = [](Uploads& reader, v1::Tensor* tensor) {
    ReadAll(reader);
    Describe(-1, tensor);
    return grpc::Status::OK;
  };
  service_.create = [](const v1::CreateTensorRequest&, v1::Tensor*) {
    return grpc::Status::OK;
  };
  const Client client = Connect();
  EXPECT_EQ(GetErrorReason(Upload(client)), reason::kMessageMalformed);
  EXPECT_EQ(GetErrorReason(
                client.Create({.dtype = DType::kInt8, .shape = {0}}).status()),
            reason::kMessageMalformed);
}

TEST_F(ClientFaultsTest, DownloadRefusesEndlessData) {
  service_.download = [](const v1::DownloadTensorRequest&, Downloads& writer) {
    SendAll(kBig, writer);
    std::int64_t at = kBig;
    while (writer.Write(Chunk(at, 1000))) at += 1000;
    return grpc::Status::OK;
  };
  EXPECT_EQ(Download(Connect()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(ClientFaultsTest, DownloadRefusesMissingData) {
  std::atomic<std::size_t> size = 0;
  service_.download = [&](const v1::DownloadTensorRequest&, Downloads& writer) {
    if (size > 0) {
      writer.Write(Header(kBig));
      writer.Write(Chunk(0, size));
    }
    return grpc::Status::OK;
  };
  const Client client = Connect();
  for (size = 0; size < 3; ++size) {
    EXPECT_EQ(Download(client).code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(ClientFaultsTest, DownloadRefusesOtherArrays) {
  service_.download = [](const v1::DownloadTensorRequest&, Downloads& writer) {
    SendAll(kBig - 1, writer);
    return grpc::Status::OK;
  };
  const absl::Status status = Download(Connect());
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetErrorReason(status), reason::kEtagMismatch);
}

TEST_F(ClientFaultsTest, DownloadPassesOnErrorsHalfWay) {
  service_.download = [](const v1::DownloadTensorRequest&, Downloads& writer) {
    writer.Write(Header(kBig));
    writer.Write(Chunk(0, 1000));
    return Refusal(grpc::StatusCode::OUT_OF_RANGE, "CAST_VALUE_OUT_OF_RANGE");
  };
  EXPECT_EQ(GetErrorReason(Download(Connect())), reason::kCastValueOutOfRange);
}

TEST_F(ClientFaultsTest, SmallReadsAreCheckedToo) {
  service_.get = [](const v1::GetTensorRequest&, v1::Tensor* tensor) {
    Describe(100, tensor);
    return grpc::Status::OK;
  };
  std::atomic<std::size_t> sent = 0;
  service_.read = [&](const v1::ReadTensorRequest&,
                      v1::ReadTensorResponse* response) {
    *response->mutable_spec() = Header(100).header().spec();
    response->set_data(std::string(sent, 'x'));
    return grpc::Status::OK;
  };
  const Client client = Connect();
  const auto tensor = client.Get("x");
  for (sent = 98; sent < 103; ++sent) {
    EXPECT_EQ(tensor->Read().ok(), sent == 100);
  }
}

TEST_F(ClientFaultsTest, ConversionsRunBothWaysAtOnce) {
  // Answers more than fits in any window before it has read everything.
  service_.convert = [](Conversions& stream) {
    v1::ConvertArrayRequest request;
    v1::ConvertArrayResponse response;
    *response.mutable_header() = Header(kBig).header();
    response.mutable_header()->mutable_spec()->set_dtype(v1::DTYPE_INT8);
    stream.Read(&request);
    stream.Write(response);
    while (stream.Read(&request)) {
      response.mutable_chunk()->set_offset(request.chunk().offset());
      response.mutable_chunk()->set_data(request.chunk().data());
      if (request.has_chunk()) stream.Write(response);
    }
    return grpc::Status::OK;
  };
  const Client client = Connect();
  Random random(1);
  const Bytes source = RandomBytes(random, kBig);
  Bytes result(kBig);
  const absl::Status status = client.Convert(
      {.data = source.data(), .dtype = DType::kUInt8, .shape = {kBig}},
      DType::kInt8, Overflow::kTorch, result.data(), kBig);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(source == result);
}

TEST_F(ClientFaultsTest, MetadataCallsHaveADeadline) {
  service_.get = [](const v1::GetTensorRequest&, v1::Tensor*) {
    absl::SleepFor(absl::Milliseconds(500));
    return grpc::Status::OK;
  };
  const Client client = Connect(absl::Milliseconds(100));
  EXPECT_EQ(client.Get("x").status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientFaultsTest, StreamsGiveUpOnServersThatDoNothing) {
  std::atomic<bool> done = false;
  const auto wait = [&] {
    while (!done) absl::SleepFor(absl::Milliseconds(5));
    return grpc::Status::OK;
  };
  service_.upload = [&](Uploads&, v1::Tensor*) { return wait(); };
  service_.download = [&](const v1::DownloadTensorRequest&, Downloads& writer) {
    writer.Write(Header(kBig));
    return wait();
  };
  const Client client = Connect(absl::Milliseconds(300));
  EXPECT_EQ(Upload(client).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Download(client).code(), absl::StatusCode::kDeadlineExceeded);
  done = true;
  // The handlers refer to `done`.
  server_.reset();
}

TEST_F(ClientFaultsTest, SlowStreamsAreNotStalledOnes) {
  service_.download = [](const v1::DownloadTensorRequest&, Downloads& writer) {
    writer.Write(Header(kBig));
    constexpr std::size_t kPiece = kBig / 8;
    for (std::size_t at = 0; at < kBig; at += kPiece) {
      absl::SleepFor(absl::Milliseconds(100));
      writer.Write(Chunk(static_cast<std::int64_t>(at), kPiece));
    }
    return grpc::Status::OK;
  };
  const absl::Status status = Download(Connect(absl::Milliseconds(400)));
  EXPECT_TRUE(status.ok()) << status;
}

// As where connections lead to different servers.
TEST_F(ClientFaultsTest, PartsThatDoNotMeetGoAsAWhole) {
  std::atomic<int> parts = 0;
  std::atomic<int> wholes = 0;
  service_.upload = [&](Uploads& reader, v1::Tensor* tensor) {
    v1::UploadTensorRequest first;
    reader.Read(&first);
    ReadAll(reader);
    const bool is_part = first.declaration().has_part();
    ++(is_part ? parts : wholes);
    if (!is_part) Describe(kBig, tensor);
    return grpc::Status::OK;
  };
  const Client client = ConnectThrice();
  EXPECT_TRUE(Upload(client).ok());
  EXPECT_EQ(parts, 3);
  EXPECT_EQ(wholes, 1);
}

TEST_F(ClientFaultsTest, ARefusalOfAPartEndsTheOthers) {
  std::atomic<int> waiting = 0;
  service_.upload = [&](Uploads& reader, v1::Tensor*) {
    v1::UploadTensorRequest request;
    reader.Read(&request);
    if (request.declaration().part().begin() > 0) {
      ++waiting;
      ReadAll(reader);
      while (!FakeService::IsCancelled()) {
        absl::SleepFor(absl::Milliseconds(1));
      }
      return grpc::Status::CANCELLED;
    }
    while (waiting < 2) absl::SleepFor(absl::Milliseconds(1));
    return Refusal(grpc::StatusCode::OUT_OF_RANGE, "CAST_VALUE_OUT_OF_RANGE");
  };
  service_.download = [&](const v1::DownloadTensorRequest& request,
                          Downloads& writer) {
    writer.Write(Header(kBig));
    if (request.read_offset() > 0) {
      std::int64_t at = request.read_offset();
      while (writer.Write(Chunk(at++, 1))) {
        absl::SleepFor(absl::Milliseconds(1));
      }
      return grpc::Status::CANCELLED;
    }
    return Refusal(grpc::StatusCode::NOT_FOUND, "TENSOR_NOT_FOUND");
  };
  const Client client = ConnectThrice();
  EXPECT_EQ(GetErrorReason(Upload(client)), reason::kCastValueOutOfRange);
  EXPECT_EQ(GetErrorReason(Download(client)), reason::kTensorNotFound);
}

TEST_F(ClientFaultsTest, PartsOfDifferentTensorsAreReadAgainAsAWhole) {
  std::atomic<int> calls = 0;
  service_.download = [&](const v1::DownloadTensorRequest& request,
                          Downloads& writer) {
    ++calls;
    v1::DownloadTensorResponse header = Header(kBig);
    const bool is_whole = request.read_limit() == kBig;
    header.mutable_header()->set_etag(
        is_whole ? "whole" : absl::StrCat(request.read_offset()));
    writer.Write(header);
    SendRange(request.read_offset(),
              request.read_offset() + request.read_limit(), writer);
    return grpc::Status::OK;
  };
  const Client client = ConnectThrice();
  const absl::Status status = Download(client);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(calls, 4);
}

// What a line has taken from its sender but does not carry stays in the
// sender's hands, and keeps the call that gave up until the line is cut.
TEST_F(ClientFaultsTest, UploadsGiveUpOnStalledLines) {
  service_.upload = [](Uploads& reader, v1::Tensor* tensor) {
    ReadAll(reader);
    Describe(kBig, tensor);
    return grpc::Status::OK;
  };
  Start();
  FlakyLine line(server_->port());
  const Client client = ConnectTo(line.target(), absl::Milliseconds(200));
  line.FailAfter(1 << 20, FlakyLine::Fault::kStall);
  std::thread cutter([&] {
    absl::SleepFor(absl::Milliseconds(500));
    line.FailAfter(0, FlakyLine::Fault::kCut);
  });
  const absl::Status status = Upload(client);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  cutter.join();
}

TEST_F(ClientFaultsTest, CutLinesAreUnavailable) {
  service_.upload = [](Uploads& reader, v1::Tensor* tensor) {
    ReadAll(reader);
    Describe(kBig, tensor);
    return grpc::Status::OK;
  };
  service_.download = [](const v1::DownloadTensorRequest&, Downloads& writer) {
    SendAll(kBig, writer);
    return grpc::Status::OK;
  };
  service_.convert = [](Conversions& stream) {
    v1::ConvertArrayRequest request;
    while (stream.Read(&request)) {
    }
    return grpc::Status::OK;
  };
  Start();
  Random random(1);
  const auto run = [&](auto call) {
    FlakyLine line(server_->port());
    const Client client = ConnectTo(line.target());
    line.FailAfter(Between(random, 2000, kBig - 1), FlakyLine::Fault::kCut);
    const absl::Status status = call(client);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  };
  for (int i = 0; i < 5; ++i) {
    run([](const Client& client) { return Upload(client); });
    run([](const Client& client) { return Upload(client, true); });
    run(Convert);
    run(Download);
  }
}

TEST_F(ClientFaultsTest, RepeatsCallsThatTheServerPutsOff) {
  std::atomic<int> calls = 0;
  std::string first_id;
  service_.create = [&](const v1::CreateTensorRequest& request,
                        v1::Tensor* tensor) {
    if (++calls == 1) {
      first_id = request.request_id();
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "");
    }
    EXPECT_EQ(request.request_id(), first_id);
    EXPECT_FALSE(first_id.empty());
    Describe(0, tensor);
    return grpc::Status::OK;
  };
  Start();
  const Client client =
      ConnectTo(server_->target(), absl::Seconds(30), /*max_attempts=*/2);
  auto tensor = client.Create({.dtype = DType::kInt8, .shape = {0}});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  tensor->Release();
  EXPECT_EQ(calls, 2);
}

TEST_F(ClientFaultsTest, SendsLessToAnOverloadedServer) {
  constexpr int kUnderWay = 6;
  std::atomic<int> calls = 0;
  std::atomic<int> others = 0;
  std::promise<void> go_on;
  const std::shared_future<void> gone_on = go_on.get_future().share();
  service_.get = [&](const v1::GetTensorRequest& request, v1::Tensor* tensor) {
    if (request.name() == "tensors/refused") {
      return Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "OVERLOADED");
    }
    Describe(kBig, tensor);
    if (request.name() != "tensors/held") return grpc::Status::OK;
    ++calls;
    gone_on.wait();
    return grpc::Status::OK;
  };
  service_.upload = [&](Uploads&, v1::Tensor*) {
    ++others;
    return grpc::Status::OK;
  };
  service_.download = [&](const v1::DownloadTensorRequest&, Downloads&) {
    ++others;
    return grpc::Status::OK;
  };
  service_.batch = [&](Batches&) {
    ++others;
    return grpc::Status::OK;
  };
  const Client client = Connect();
  const auto tensor = client.Get("x");
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  std::vector<std::jthread> held;
  for (int i = 0; i < kUnderWay; ++i) {
    held.emplace_back([&] { EXPECT_TRUE(client.Get("held").ok()); });
  }
  while (calls < kUnderWay) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(GetErrorReason(client.Get("refused").status()),
            reason::kOverloaded);
  // From here on nothing is sent, as more than half of these are under way.
  Mapping memory(kBig);
  const std::vector<std::string> ids = {"a"};
  for (const absl::Status& status :
       {client.Get("x").status(), Upload(client), Convert(client),
        tensor->ReadInto(memory.data(), kBig), client.GetBatch(ids).status()}) {
    EXPECT_EQ(GetErrorReason(status), reason::kOverloaded) << status;
    EXPECT_THAT(status.message(), HasSubstr("not sent"));
  }
  EXPECT_EQ(client.Delete("a").code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(client.GetServerInfo().ok());
  EXPECT_EQ(others, 0);
  go_on.set_value();
  held.clear();
  EXPECT_TRUE(client.Get("x").ok());
}

// Else those that are under way would keep the others from it, for ever.
TEST_F(ClientFaultsTest, PartsOfAnArrayAreAllSentToAnOverloadedServer) {
  service_.get = [](const v1::GetTensorRequest& request, v1::Tensor* tensor) {
    if (request.name() == "tensors/refused") {
      return Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "OVERLOADED");
    }
    Describe(kBig, tensor);
    return grpc::Status::OK;
  };
  std::atomic<int> sent = 0;
  std::atomic<int> read = 0;
  const auto wait_for_all = [](std::atomic<int>& parts) {
    ++parts;
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (parts < 3 && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  };
  service_.upload = [&](Uploads& reader, v1::Tensor* tensor) {
    v1::UploadTensorRequest first;
    reader.Read(&first);
    ReadAll(reader);
    if (first.declaration().has_part()) wait_for_all(sent);
    Describe(kBig, tensor);
    return grpc::Status::OK;
  };
  service_.download = [&](const v1::DownloadTensorRequest& request,
                          Downloads& writer) {
    wait_for_all(read);
    writer.Write(Header(kBig));
    SendRange(request.read_offset(),
              request.read_offset() + request.read_limit(), writer);
    return grpc::Status::OK;
  };
  const Client client = ConnectThrice();
  const auto tensor = client.Get("x");
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  const auto overload = [&] {
    EXPECT_EQ(GetErrorReason(client.Get("refused").status()),
              reason::kOverloaded);
  };
  overload();
  absl::Status status = Upload(client);
  EXPECT_TRUE(status.ok()) << status;
  overload();
  Mapping memory(kBig);
  status = tensor->ReadInto(memory.data(), kBig);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(sent, 3);
  EXPECT_EQ(read, 3);
}

TEST_F(ClientFaultsTest, ReconnectsAfterACut) {
  Start();
  FlakyLine line(server_->port());
  const Client client = ConnectTo(line.target());
  line.FailAfter(0, FlakyLine::Fault::kCut);
  EXPECT_FALSE(client.Get("x").ok());
  line.FailAfter(INT64_MAX, FlakyLine::Fault::kCut);
  const absl::Time start = absl::Now();
  while (!client.Get("x").ok() && absl::Now() - start < absl::Seconds(10)) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_TRUE(client.Get("x").ok());
}

TEST_F(ClientFaultsTest, SenselessBatchAnswersAreErrors) {
  v1::BatchResponse response;
  service_.batch = [&](Batches& stream) {
    v1::BatchRequest request;
    while (stream.Read(&request)) {
    }
    stream.Write(response);
    return grpc::Status::OK;
  };
  const Client client = Connect();
  const std::vector<std::string> ids = {"a", "b"};
  // Too few results, and too many.
  EXPECT_EQ(GetErrorReason(client.GetBatch(ids).status()),
            reason::kMessageMalformed);
  for (int i = 0; i < 3; ++i) Describe(8, response.add_results());
  EXPECT_EQ(GetErrorReason(client.GetBatch(ids).status()),
            reason::kMessageMalformed);
  // Results of other calls, and refusals that are none.
  response.mutable_results()->RemoveLast();
  response.mutable_results(0)->mutable_deleted();
  response.mutable_results(1)->mutable_error();
  const auto found = client.GetBatch(ids);
  ASSERT_TRUE(found.ok()) << found.status();
  for (const auto& tensor : *found) {
    EXPECT_EQ(GetErrorReason(tensor.status()), reason::kMessageMalformed);
  }
}

TEST_F(ClientFaultsTest, WhatAFailedBatchMadeIsDeleted) {
  std::vector<std::string> deleted;
  service_.batch = [&](Batches& stream) {
    v1::BatchRequest request;
    while (stream.Read(&request)) {
      v1::BatchResponse response;
      for (const v1::BatchCall& call : request.calls()) {
        v1::BatchResult& result = *response.add_results();
        if (call.has_delete_tensor()) {
          deleted.push_back(call.delete_tensor().name());
          result.mutable_deleted();
        } else if (response.results_size() == 2) {
          stream.Write(response);
          return Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED,
                         "MEMORY_EXHAUSTED");
        } else {
          Describe(8, &result);
        }
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  const Client client = Connect();
  const std::string bytes(8, 'b');
  const ArrayView array = {
      .data = bytes.data(), .dtype = DType::kUInt8, .shape = {8}};
  EXPECT_EQ(GetErrorReason(client.CreateBatch({array, array, array}).status()),
            "MEMORY_EXHAUSTED");
  EXPECT_EQ(deleted, std::vector<std::string>{"tensors/x"});
  // Those that were given names stay.
  EXPECT_FALSE(
      client.CreateBatch({array, array, array}, {}, {"x", "y", "z"}).ok());
  EXPECT_EQ(deleted.size(), 1U);
}

TEST_F(ClientFaultsTest, BatchesKeepToTheServersMessages) {
  service_.limits.set_max_message_bytes(4000);
  std::atomic<std::size_t> largest = 0;
  std::atomic<int> created = 0;
  service_.batch = [&](Batches& stream) {
    v1::BatchRequest request;
    while (stream.Read(&request)) {
      largest = std::max(largest.load(), request.ByteSizeLong());
      v1::BatchResponse response;
      for (int i = 0; i < request.calls_size(); ++i) {
        EXPECT_TRUE(request.calls(i).has_create_tensor());
        ++created;
        Describe(8, response.add_results());
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  service_.upload = [&](Uploads& reader, v1::Tensor* tensor) {
    v1::UploadTensorRequest request;
    while (reader.Read(&request)) {
    }
    Describe(8, tensor);
    return grpc::Status::OK;
  };
  const Client client = Connect();
  const std::string bytes(2100, 'b');
  std::vector<ArrayView> arrays;
  for (std::int64_t size = 1; size <= 2100; size += 20) {
    arrays.push_back(
        {.data = bytes.data(), .dtype = DType::kUInt8, .shape = {size}});
  }
  auto made = client.CreateBatch(arrays);
  ASSERT_TRUE(made.ok()) << made.status();
  for (auto& tensor : *made) {
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    tensor->Release();
  }
  EXPECT_EQ(created, 100);
  EXPECT_LE(largest, 4000U);
  EXPECT_GT(largest, 2000U);
}

TEST_F(ClientFaultsTest, BatchesThatStallEnd) {
  service_.batch = [](Batches& stream) {
    v1::BatchRequest request;
    while (stream.Read(&request)) {
    }
    absl::SleepFor(absl::Seconds(1));
    return grpc::Status::OK;
  };
  const Client client = Connect(absl::Milliseconds(200));
  EXPECT_EQ(client.GetBatch({"a"}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace tensord
