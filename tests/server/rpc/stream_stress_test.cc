// Streams whose clients cancel, vanish or dawdle, at every chunk, many at a
// time: whatever they do, others are served and nothing is left.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/client/cpp/fake_server.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using Stub = v1::TensorService::Stub;

constexpr int kChunks = 6;
constexpr std::int64_t kChunkBytes = 100'000;
constexpr std::int64_t kBytes = kChunks * kChunkBytes;
constexpr absl::Duration kDawdling = absl::Milliseconds(3);

enum class Fault {
  // The client cancels the call.
  kCancel,
  // The client's connection is lost.
  kDrop,
  // Every chunk takes its time, but comes.
  kDawdle,
};

// Bytes of an array, different from each other.
std::string Elements(std::int64_t begin, std::int64_t end) {
  std::string bytes;
  for (std::int64_t i = begin; i < end; ++i) {
    bytes.push_back(static_cast<char>(i * 31 >> 3));
  }
  return bytes;
}

class StreamStressTest : public ServiceFixture {
 protected:
  // A line of its own to the server, which a fault cuts.
  struct Peer {
    explicit Peer(int port) : line(port), stub(Connect(line.target())) {}

    // What a client does once `chunks` have passed. True if it goes on.
    bool Meet(Fault fault, int chunks, int when, grpc::ClientContext& context) {
      if (fault == Fault::kDawdle) absl::SleepFor(kDawdling);
      if (chunks != when || fault == Fault::kDawdle) return true;
      if (fault == Fault::kCancel) context.TryCancel();
      if (fault == Fault::kDrop) line.FailAfter(0, FlakyLine::Fault::kCut);
      return false;
    }

    FlakyLine line;
    std::unique_ptr<Stub> stub;
  };

  static v1::ArrayDeclaration Declaration() {
    v1::ArrayDeclaration array;
    *array.mutable_raw() = MakeSpec(v1::DTYPE_UINT8, {kBytes});
    array.set_total_bytes(kBytes);
    return array;
  }

  static v1::Chunk ChunkNumber(int number) {
    v1::Chunk chunk;
    chunk.set_offset(number * kChunkBytes);
    chunk.set_data(Elements(number * kChunkBytes, (number + 1) * kChunkBytes));
    return chunk;
  }

  // Whether a call that had to succeed did; one with a fault has to fail.
  static void ExpectEnd(const grpc::Status& status, Fault fault) {
    EXPECT_EQ(status.ok(), fault == Fault::kDawdle) << status.error_message();
  }

  static void Delete(Stub& stub, const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteTensorRequest request;
    request.set_name(name);
    google::protobuf::Empty empty;
    EXPECT_EQ(Outcome(stub.DeleteTensor(&context, request, &empty)), "OK");
  }

  void Upload(Fault fault, int when, const std::string& request_id) {
    Peer peer(port_);
    grpc::ClientContext context;
    v1::Tensor tensor;
    auto writer = peer.stub->UploadTensor(&context, &tensor);
    v1::UploadTensorRequest request;
    *request.mutable_declaration()->mutable_array() = Declaration();
    request.mutable_declaration()->mutable_options()->set_dtype(
        v1::DTYPE_INT16);
    request.mutable_declaration()->set_request_id(request_id);
    bool goes_on = writer->Write(request);
    for (int i = 0; goes_on && i < kChunks; ++i) {
      if (!peer.Meet(fault, i, when, context)) break;
      request.Clear();
      *request.mutable_chunk() = ChunkNumber(i);
      goes_on = writer->Write(request);
    }
    if (peer.Meet(fault, kChunks, when, context)) {
      request.Clear();
      request.set_finish(true);
      writer->Write(request);
      writer->WritesDone();
    }
    const grpc::Status status = writer->Finish();
    ExpectEnd(status, fault);
    if (!status.ok()) return;
    Delete(*peer.stub, tensor.name());
  }

  // Half of an array over a stream that meets a fault, while the other half
  // arrives over another.
  void UploadHalves(Fault fault, int when) {
    constexpr int kHalf = kChunks / 2;
    v1::UploadTensorRequest first;
    v1::UploadDeclaration& declaration = *first.mutable_declaration();
    *declaration.mutable_array() = Declaration();
    declaration.set_request_id(RequestId(1000 + Number(fault, when)));
    declaration.set_tensor_id(HalvesId(fault, when));
    Peer faulty(port_);
    Peer sound(port_);
    grpc::ClientContext faulty_context;
    grpc::ClientContext sound_context;
    v1::Tensor faulty_answer;
    v1::Tensor sound_answer;
    declaration.mutable_part()->set_end(kHalf * kChunkBytes);
    auto faulty_writer =
        faulty.stub->UploadTensor(&faulty_context, &faulty_answer);
    faulty_writer->Write(first);
    declaration.mutable_part()->set_begin(kHalf * kChunkBytes);
    declaration.mutable_part()->set_end(kBytes);
    auto sound_writer = sound.stub->UploadTensor(&sound_context, &sound_answer);
    sound_writer->Write(first);
    v1::UploadTensorRequest request;
    bool goes_on = true;
    for (int i = 0; i < kHalf; ++i) {
      *request.mutable_chunk() = ChunkNumber(kHalf + i);
      request.set_finish(i == kHalf - 1);
      EXPECT_TRUE(sound_writer->Write(request));
      if (goes_on) goes_on = faulty.Meet(fault, i, when, faulty_context);
      *request.mutable_chunk() = ChunkNumber(i);
      if (goes_on) goes_on = faulty_writer->Write(request);
    }
    if (goes_on) faulty.Meet(fault, kHalf, when, faulty_context);
    faulty_writer->WritesDone();
    sound_writer->WritesDone();
    const grpc::Status status = faulty_writer->Finish();
    if (when < kHalf) ExpectEnd(status, fault);
    EXPECT_EQ(Outcome(sound_writer->Finish()), "OK");
    const std::string name = faulty_answer.name().empty()
                                 ? sound_answer.name()
                                 : faulty_answer.name();
    if (name.empty()) return;
    Delete(*sound.stub, name);
  }

  void Download(Fault fault, int when) {
    Peer peer(port_);
    grpc::ClientContext context;
    v1::DownloadTensorRequest request;
    request.set_name("tensors/large");
    // Converted on the way, in more than one block.
    request.mutable_options()->set_dtype(v1::DTYPE_FLOAT64);
    auto reader = peer.stub->DownloadTensor(&context, request);
    v1::DownloadTensorResponse response;
    std::int64_t bytes = 0;
    for (int i = 0; peer.Meet(fault, i, when, context); ++i) {
      if (!reader->Read(&response)) break;
      bytes += static_cast<std::int64_t>(response.chunk().data().size());
    }
    while (reader->Read(&response)) {
    }
    const grpc::Status status = reader->Finish();
    // Of a download that is given up, all may have been on its way.
    if (fault == Fault::kDawdle) {
      EXPECT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(bytes, 8 * kBytes);
    }
  }

  void Convert(Fault fault, int when) {
    Peer peer(port_);
    grpc::ClientContext context;
    auto stream = peer.stub->ConvertArray(&context);
    v1::ConvertArrayRequest request;
    *request.mutable_declaration()->mutable_array() = Declaration();
    request.mutable_declaration()->set_dtype(v1::DTYPE_FLOAT32);
    bool goes_on = stream->Write(request);
    v1::ConvertArrayResponse response;
    for (int i = 0; goes_on && i < kChunks; ++i) {
      if (!peer.Meet(fault, i, when, context)) break;
      request.Clear();
      *request.mutable_chunk() = ChunkNumber(i);
      request.set_finish(i == kChunks - 1);
      goes_on = stream->Write(request) && stream->Read(&response);
    }
    if (peer.Meet(fault, kChunks, when, context)) stream->WritesDone();
    while (stream->Read(&response)) {
    }
    const grpc::Status status = stream->Finish();
    if (when < kChunks) ExpectEnd(status, fault);
  }

  // The halves may have made a tensor although the client that was to hear of
  // it was gone.
  void DeleteUnheardOf() {
    for (const Fault fault : {Fault::kCancel, Fault::kDrop}) {
      test_.store.Delete(HalvesId(fault, kChunks / 2), "").IgnoreError();
    }
  }

  static int Number(Fault fault, int when) {
    return when * 10 + static_cast<int>(fault);
  }

  static std::string HalvesId(Fault fault, int when) {
    return absl::StrCat("halves-", Number(fault, when));
  }

  // A UUID of its own for every upload.
  static std::string RequestId(int number) {
    return absl::StrCat("00000000-0000-4000-8000-",
                        absl::Hex(number, absl::kZeroPad12));
  }
};

TEST_F(StreamStressTest, NothingIsLeftWhateverClientsDo) {
  ASSERT_EQ(
      Outcome(Create("large", v1::DTYPE_UINT8, {kBytes}, Elements(0, kBytes))),
      "OK");
  std::vector<std::thread> threads;
  for (const Fault fault : {Fault::kCancel, Fault::kDrop, Fault::kDawdle}) {
    threads.emplace_back([this, fault] {
      for (int when = 0; when <= kChunks; ++when) {
        Upload(fault, when, "");
        Upload(fault, when, RequestId(Number(fault, when)));
        UploadHalves(fault, when);
      }
    });
    threads.emplace_back([this, fault] {
      for (int when = 0; when <= kChunks; ++when) {
        Download(fault, when);
        Convert(fault, when);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ReadBytes("tensors/large"), Elements(0, kBytes));
  // What waits to be gone on with is all that may be there.
  test_.uploads.Clear();
  Delete(*stub_, "tensors/large");
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (test_.used_bytes() != used_before_ && absl::Now() < deadline) {
    test_.uploads.Clear();
    DeleteUnheardOf();
    absl::SleepFor(absl::Milliseconds(5));
  }
  ExpectNothingLeft();
}

}  // namespace
}  // namespace tensord
