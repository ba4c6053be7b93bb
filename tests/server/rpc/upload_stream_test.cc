#include "server/rpc/upload_stream.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/crc32c.h"
#include "tests/eventually.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using Request = v1::UploadTensorRequest;

Request Declaration(const std::string& id, const Dims& shape,
                    std::int64_t total_bytes) {
  Request request;
  v1::UploadDeclaration& declaration = *request.mutable_declaration();
  declaration.set_tensor_id(id);
  *declaration.mutable_array()->mutable_raw() =
      MakeSpec(v1::DTYPE_UINT8, shape);
  declaration.mutable_array()->set_total_bytes(total_bytes);
  return request;
}

Request NpyDeclaration(const std::string& id, std::int64_t total_bytes) {
  Request request;
  v1::UploadDeclaration& declaration = *request.mutable_declaration();
  declaration.set_tensor_id(id);
  declaration.mutable_array()->mutable_npy();
  declaration.mutable_array()->set_total_bytes(total_bytes);
  return request;
}

Request Chunk(std::int64_t offset, const std::string& data,
              bool finish = false) {
  Request request;
  request.mutable_chunk()->set_offset(offset);
  request.mutable_chunk()->set_data(data);
  request.set_finish(finish);
  return request;
}

Request Finish() {
  Request request;
  request.set_finish(true);
  return request;
}

class UploadStreamTest : public ServiceFixture {
 protected:
  // Sends messages until the server takes no more.
  grpc::Status Upload(const std::vector<Request>& requests,
                      v1::Tensor* tensor = nullptr) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    auto writer =
        stub_->UploadTensor(&context, tensor != nullptr ? tensor : &ignored);
    for (const Request& request : requests) {
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }

  // Waits for an upload that may still be on its way to end.
  void ExpectFree(std::string_view id) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!test_.store.ClaimId(id).ok() && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_TRUE(test_.store.ClaimId(id).ok());
  }
};

TEST_F(UploadStreamTest, StoresATensor) {
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Upload({Declaration("up/1", {2, 3}, 6), Chunk(0, "abc"),
                            Chunk(3, "def"), Finish()},
                           &tensor)),
            "OK");
  EXPECT_EQ(tensor.name(), "tensors/up/1");
  EXPECT_EQ(tensor.dtype(), v1::DTYPE_UINT8);
  EXPECT_EQ(tensor.size_bytes(), 6);
  EXPECT_EQ(ReadBytes("tensors/up/1"), "abcdef");
  EXPECT_EQ(test_.events.received, 12 + 6);
}

TEST_F(UploadStreamTest, ReportsOnTheConversionIfAsked) {
  Request declaration = Declaration("up/1", {3}, 3);
  v1::TensorOptions& options =
      *declaration.mutable_declaration()->mutable_options();
  options.set_dtype(v1::DTYPE_INT8);
  options.set_report_conversion(true);
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Upload({declaration, Chunk(0, "\x7f\x80\xff"), Finish()},
                           &tensor)),
            "OK");
  ASSERT_TRUE(tensor.has_conversion_report());
  EXPECT_EQ(tensor.conversion_report().overflowed(), 2);
  EXPECT_EQ(tensor.conversion_report().max_absolute_error(), 256);
}

TEST_F(UploadStreamTest, RefusesBadStreamsAndLeavesNothing) {
  const Request declared = Declaration("bad", {6}, 6);
  Request empty_message;
  Request checksum = Chunk(0, "abcdef");
  checksum.mutable_chunk()->set_crc32c(1);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const std::string large((4 << 20) + 1, 'x');
  struct Row {
    std::vector<Request> requests;
    std::string outcome;
  };
  const std::vector<Row> rows = {
      {{}, "3 HEADER_MISSING"},
      {{Chunk(0, "abcdef")}, "3 HEADER_MISSING"},
      {{Finish()}, "3 HEADER_MISSING"},
      {{declared, declared}, "3 HEADER_REPEATED"},
      {{declared, empty_message}, "3 MESSAGE_EMPTY"},
      {{declared, Chunk(0, "abcdef"), Finish(), Chunk(6, "")},
       "3 DATA_AFTER_FINISH"},
      {{declared, Chunk(0, "abcdef", true), Finish()}, "3 DATA_AFTER_FINISH"},
      {{declared}, "3 UPLOAD_INCOMPLETE"},
      {{declared, Chunk(0, "abcdef")}, "3 UPLOAD_INCOMPLETE"},
      {{declared, Chunk(0, "abc", true)}, "3 UPLOAD_INCOMPLETE"},
      {{declared, Chunk(0, "abcdefg")}, "11 UPLOAD_OVERRUN"},
      {{Declaration("bad", {5 << 20}, 5 << 20), Chunk(0, large)},
       "3 CHUNK_TOO_LARGE"},
      {{declared, checksum}, "3 CHECKSUM_MISMATCH"},
      {{declared, Chunk(-1, "a")}, "3 OFFSET_INVALID"},
      {{declared, Chunk(most, "ab")}, "3 OFFSET_INVALID"},
      {{declared, Chunk(1, "a")}, "11 OFFSET_MISMATCH"},
      {{declared, Chunk(0, "abc"), Chunk(2, "d")}, "11 OFFSET_MISMATCH"},
      {{Declaration("bad", {6}, 5)}, "3 SIZE_MISMATCH"},
      {{Declaration("bad", {std::int64_t{1} << 40}, std::int64_t{1} << 40)},
       "3 TENSOR_TOO_LARGE"},
      {{Declaration("sentinel", {6}, 6)}, "6 TENSOR_EXISTS"},
      {{Declaration("bad//id", {6}, 6)}, "3 NAME_INVALID"},
      {{NpyDeclaration("bad", 6), Chunk(0, "PK\3\4zz")}, "3 NPZ_NOT_SUPPORTED"},
      {{NpyDeclaration("bad", 6), Chunk(0, "\x93NUMPY", true)},
       "3 NPY_TRUNCATED"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Outcome(Upload(row.requests)), row.outcome);
    ExpectNothingLeft();
  }
  EXPECT_EQ(test_.events.refusals, static_cast<std::int64_t>(rows.size()));
}

TEST_F(UploadStreamTest, TellsWhereToGoOn) {
  const grpc::Status status =
      Upload({Declaration("bad", {6}, 6), Chunk(0, "abc"), Chunk(0, "abc")});
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("committedBytes"), "3");
}

TEST_F(UploadStreamTest, RefusesWhatDoesNotFitBeforeItIsSent) {
  // Two fit in the quota, a third does not; none of them sends any data.
  const std::int64_t size = TestContext::kMaxTensorBytes - 100;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<Request>>> writers;
  v1::Tensor ignored;
  for (int i = 0; i < 3; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    writers.push_back(stub_->UploadTensor(contexts.back().get(), &ignored));
    ASSERT_TRUE(writers.back()->Write(
        Declaration(absl::StrCat("big", i), {size}, size)));
    while (i < 2 && test_.used_bytes() != used_before_ + (i + 1) * size) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
  // The server ends the call while the client could still send.
  const grpc::Status status = writers[2]->Finish();
  EXPECT_EQ(Outcome(status), "8 MEMORY_EXHAUSTED");
  const auto& trailers = contexts[2]->GetServerTrailingMetadata();
  EXPECT_EQ(trailers.count("grpc-retry-pushback-ms"), 1U);
  EXPECT_EQ(Outcome(Upload({Declaration("big0", {1}, 1)})),
            "10 UPLOAD_CONFLICT");
  for (int i = 0; i < 2; ++i)
    contexts[static_cast<std::size_t>(i)]->TryCancel();
  for (int i = 0; i < 2; ++i) writers[static_cast<std::size_t>(i)]->Finish();
  ExpectNothingLeft();
}

TEST_F(UploadStreamTest, EndsACallWhoseClientStillSends) {
  grpc::ClientContext context;
  v1::Tensor ignored;
  auto writer = stub_->UploadTensor(&context, &ignored);
  writer->Write(Declaration("bad", {6}, 5));
  // Never half-closes.
  int sent = 0;
  while (sent < 100000 && writer->Write(Chunk(0, std::string(1000, 'x')))) {
    ++sent;
  }
  EXPECT_EQ(Outcome(writer->Finish()), "3 SIZE_MISMATCH");
  ExpectNothingLeft();
}

TEST_F(UploadStreamTest, CancelledUploadsLeaveNothing) {
  const std::string file = NpyFile(64);
  const auto size = static_cast<std::int64_t>(file.size());
  constexpr std::int64_t kStep = 16;
  // Cancelled after each message, the declaration included.
  for (std::int64_t chunks = -1; chunks <= size / kStep; ++chunks) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    auto writer = stub_->UploadTensor(&context, &ignored);
    if (chunks >= 0) writer->Write(NpyDeclaration("cancelled", size));
    for (std::int64_t i = 0; i < chunks; ++i) {
      writer->Write(Chunk(
          i * kStep, file.substr(static_cast<std::size_t>(i * kStep), kStep)));
    }
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
    ExpectNothingLeft();
    ExpectFree("cancelled");
  }
}

TEST_F(UploadStreamTest, TakesThousandsOfOneByteChunks) {
  constexpr std::int64_t kSize = 5000;
  grpc::ClientContext context;
  v1::Tensor tensor;
  auto writer = stub_->UploadTensor(&context, &tensor);
  writer->Write(Declaration("bytes", {kSize}, kSize));
  std::string expected;
  for (std::int64_t i = 0; i < kSize; ++i) {
    const std::string byte(1, static_cast<char>(i * 7));
    ASSERT_TRUE(writer->Write(Chunk(i, byte)));
    expected += byte;
  }
  writer->Write(Finish());
  writer->WritesDone();
  ASSERT_EQ(Outcome(writer->Finish()), "OK");
  EXPECT_EQ(ReadBytes("tensors/bytes"), expected);
}

TEST_F(UploadStreamTest, BoundsEmptyChunks) {
  grpc::ClientContext context;
  v1::Tensor ignored;
  auto writer = stub_->UploadTensor(&context, &ignored);
  writer->Write(Declaration("bad", {6}, 6));
  while (writer->Write(Chunk(0, ""))) {
  }
  EXPECT_EQ(Outcome(writer->Finish()), "8 CHUNK_RATE");
  ExpectNothingLeft();
}

TEST_F(UploadStreamTest, UploadsOfManyClientsDoNotMix) {
  constexpr std::int64_t kSize = 600'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int repeat = 0; repeat < 3; ++repeat) {
        std::string data(kSize, '\0');
        for (std::size_t i = 0; i < data.size(); ++i) {
          data[i] = static_cast<char>(i * static_cast<std::size_t>(t + 3) +
                                      static_cast<std::size_t>(repeat));
        }
        const std::string id = absl::StrCat("c", t, "/", repeat);
        std::vector<Request> requests = {Declaration(id, {kSize}, kSize)};
        constexpr std::int64_t kStep = 99'991;
        for (std::int64_t i = 0; i < kSize; i += kStep) {
          requests.push_back(
              Chunk(i, data.substr(static_cast<std::size_t>(i), kStep)));
          v1::Chunk& chunk = *requests.back().mutable_chunk();
          chunk.set_crc32c(Crc32c(chunk.data()));
        }
        requests.push_back(Finish());
        EXPECT_EQ(Outcome(Upload(requests)), "OK");
        EXPECT_EQ(ReadBytes("tensors/" + id), data);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(UploadStreamTest, RefusesMalformedMessages) {
  Request request = Declaration("bad", {6}, 6);
  // A group, as an unknown field: protobuf passes it on.
  request.GetReflection()
      ->MutableUnknownFields(&request)
      ->AddGroup(100)
      ->AddVarint(1, 1);
  EXPECT_EQ(Outcome(Upload({request})), "3 MESSAGE_MALFORMED");
  ExpectNothingLeft();
}

// ---- Uploads that are gone on with
// -------------------------------------------

constexpr char kRequestId[] = "00000000-0000-4000-8000-000000000001";

class ResumedUploadTest : public UploadStreamTest {
 protected:
  static Request Resumable(const std::string& id, std::int64_t size) {
    Request request = Declaration(id, {size}, size);
    request.mutable_declaration()->set_request_id(kRequestId);
    return request;
  }

  // Sends messages, and breaks off once the server has taken them.
  void Break(const std::vector<Request>& requests, std::int64_t bytes) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    auto writer = stub_->UploadTensor(&context, &ignored);
    const std::int64_t before = test_.events.received;
    for (const Request& request : requests) ASSERT_TRUE(writer->Write(request));
    Await([&] { return test_.events.received == before + bytes; });
    context.TryCancel();
    writer->Finish();
    Await([&] { return test_.uploads.suspended() == 1; });
  }

  template <class Condition>
  static void Await(Condition condition) {
    ASSERT_TRUE(Eventually(condition, absl::Seconds(10)));
  }

  std::string Query(v1::QueryUploadResponse* response,
                    const std::string& request_id = kRequestId) {
    grpc::ClientContext context;
    v1::QueryUploadRequest request;
    request.set_request_id(request_id);
    return Outcome(stub_->QueryUpload(&context, request, response));
  }
};

TEST_F(ResumedUploadTest, GoesOnWhereTheStreamBroke) {
  Break({Resumable("a", 9), Chunk(0, "123"), Chunk(3, "45")}, 5);
  v1::QueryUploadResponse progress;
  ASSERT_EQ(Query(&progress), "OK");
  EXPECT_EQ(progress.committed_bytes(), 5);
  EXPECT_FALSE(progress.has_tensor());
  v1::Tensor tensor;
  ASSERT_EQ(
      Outcome(Upload({Resumable("a", 9), Chunk(5, "6789", true)}, &tensor)),
      "OK");
  EXPECT_EQ(ReadBytes("tensors/a"), "123456789");
  // Once complete, it is answered, not made, again.
  ASSERT_EQ(Query(&progress), "OK");
  EXPECT_EQ(progress.tensor().etag(), tensor.etag());
  v1::Tensor again;
  ASSERT_EQ(Outcome(Upload({Resumable("a", 9)}, &again)), "OK");
  EXPECT_EQ(again.SerializeAsString(), tensor.SerializeAsString());
}

TEST_F(ResumedUploadTest, GoesOnAfterTheClientStoppedEarly) {
  EXPECT_EQ(Outcome(Upload({Resumable("a", 3), Chunk(0, "12")})),
            "3 UPLOAD_INCOMPLETE");
  EXPECT_EQ(Outcome(Upload({Resumable("a", 3), Chunk(2, "3", true)})), "OK");
  EXPECT_EQ(ReadBytes("tensors/a"), "123");
}

TEST_F(ResumedUploadTest, MayOnlyLackTheEnd) {
  Break({Resumable("a", 2), Chunk(0, "12", true)}, 2);
  EXPECT_EQ(Outcome(Upload({Resumable("a", 2), Finish()})), "OK");
  EXPECT_EQ(ReadBytes("tensors/a"), "12");
}

TEST_F(ResumedUploadTest, TellsWhereToGoOn) {
  Break({Resumable("a", 3), Chunk(0, "12")}, 2);
  const grpc::Status status =
      Upload({Resumable("a", 3), Chunk(0, "123", true)});
  EXPECT_EQ(Outcome(status), "11 OFFSET_MISMATCH");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("committedBytes"), "2");
  ExpectNothingLeft();
}

TEST_F(ResumedUploadTest, AnotherDeclarationIsAnotherUpload) {
  Break({Resumable("a", 3), Chunk(0, "12")}, 2);
  EXPECT_EQ(Outcome(Upload({Resumable("a", 4)})), "9 REQUEST_ID_REUSED");
  EXPECT_EQ(Outcome(Upload({Resumable("a", 3), Chunk(2, "3", true)})), "OK");
}

TEST_F(ResumedUploadTest, OneStreamAtATime) {
  grpc::ClientContext context;
  v1::Tensor ignored;
  auto writer = stub_->UploadTensor(&context, &ignored);
  ASSERT_TRUE(writer->Write(Resumable("a", 3)));
  ASSERT_TRUE(writer->Write(Chunk(0, "1")));
  Await([&] { return test_.events.received == 13; });
  EXPECT_EQ(Outcome(Upload({Resumable("a", 3)})), "10 REQUEST_IN_PROGRESS");
  v1::QueryUploadResponse progress;
  EXPECT_EQ(Query(&progress), "10 REQUEST_IN_PROGRESS");
  context.TryCancel();
  writer->Finish();
}

TEST_F(ResumedUploadTest, WhatIsRefusedIsNotKept) {
  EXPECT_EQ(Outcome(Upload({Resumable("a", 3), Chunk(1, "2")})),
            "11 OFFSET_MISMATCH");
  v1::QueryUploadResponse progress;
  EXPECT_EQ(Query(&progress), "5 UPLOAD_NOT_FOUND");
  ExpectNothingLeft();
}

TEST_F(ResumedUploadTest, StandsInNobodysWay) {
  const std::int64_t size = TestContext::kMaxTensorBytes;
  Break({Resumable("a", size), Chunk(0, "12")}, 2);
  // Who wants the id has it.
  EXPECT_EQ(Outcome(Create("a", v1::DTYPE_UINT8, {1}, "x")), "OK");
  EXPECT_EQ(test_.uploads.suspended(), 0U);
  Break({Resumable("b", size), Chunk(0, "12")}, 2);
  // Who wants the memory, too.
  for (int i = 0; i < 2; ++i) {
    Request request =
        Declaration(absl::StrCat("big", i), {size - 64}, size - 64);
    std::vector<Request> requests = {request};
    const std::string data(1 << 20, 'x');
    for (std::int64_t at = 0; at < size - 64; at += 1 << 20) {
      const std::int64_t rest = std::min<std::int64_t>(1 << 20, size - 64 - at);
      requests.push_back(Chunk(at,
                               data.substr(0, static_cast<std::size_t>(rest)),
                               at + rest == size - 64));
    }
    EXPECT_EQ(Outcome(Upload(requests)), "OK");
  }
  EXPECT_EQ(test_.uploads.suspended(), 0U);
  v1::QueryUploadResponse progress;
  EXPECT_EQ(Query(&progress), "5 UPLOAD_NOT_FOUND");
}

TEST_F(ResumedUploadTest, RefusesBadIds) {
  Request request = Declaration("a", {1}, 1);
  request.mutable_declaration()->set_request_id("x");
  EXPECT_EQ(Outcome(Upload({request})), "3 REQUEST_ID_INVALID");
  v1::QueryUploadResponse progress;
  EXPECT_EQ(Query(&progress, "x"), "3 REQUEST_ID_INVALID");
  EXPECT_EQ(Query(&progress, ""), "3 REQUEST_ID_INVALID");
}

// ---- Uploads in parts
// -------------------------------------------

class UploadInPartsTest : public ResumedUploadTest {
 protected:
  static Request Part(Request request, std::int64_t begin, std::int64_t end) {
    request.mutable_declaration()->mutable_part()->set_begin(begin);
    request.mutable_declaration()->mutable_part()->set_end(end);
    return request;
  }

  std::string QueryPart(std::int64_t begin, std::int64_t end,
                        v1::QueryUploadResponse* response) {
    grpc::ClientContext context;
    v1::QueryUploadRequest request;
    request.set_request_id(kRequestId);
    request.mutable_part()->set_begin(begin);
    request.mutable_part()->set_end(end);
    return Outcome(stub_->QueryUpload(&context, request, response));
  }
};

TEST_F(UploadInPartsTest, TheLastIsAnsweredWithTheTensor) {
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Upload({Part(Resumable("a", 5), 2, 5), Chunk(2, "cd"),
                            Chunk(4, "e", true)},
                           &tensor)),
            "OK");
  EXPECT_TRUE(tensor.name().empty());
  EXPECT_FALSE(test_.store.Get("a").ok());
  ASSERT_EQ(
      Outcome(Upload({Part(Resumable("a", 5), 0, 2), Chunk(0, "ab"), Finish()},
                     &tensor)),
      "OK");
  EXPECT_EQ(tensor.name(), "tensors/a");
  EXPECT_EQ(ReadBytes("tensors/a"), "abcde");
  // Whoever did not hear of it.
  for (const std::int64_t begin : {0, 2}) {
    v1::Tensor again;
    ASSERT_EQ(Outcome(Upload(
                  {Part(Resumable("a", 5), begin, 3 * begin / 2 + 2)}, &again)),
              "OK");
    EXPECT_EQ(again.etag(), tensor.etag());
  }
}

TEST_F(UploadInPartsTest, EachGoesOnWhereItBroke) {
  v1::Tensor tensor;
  ASSERT_EQ(
      Outcome(Upload({Part(Resumable("a", 9), 0, 3), Chunk(0, "123", true)},
                     &tensor)),
      "OK");
  Break({Part(Resumable("a", 9), 3, 9), Chunk(3, "45")}, 2);
  v1::QueryUploadResponse progress;
  ASSERT_EQ(QueryPart(0, 3, &progress), "OK");
  EXPECT_EQ(progress.committed_bytes(), 3);
  ASSERT_EQ(QueryPart(3, 9, &progress), "OK");
  EXPECT_EQ(progress.committed_bytes(), 5);
  // One that has not begun.
  ASSERT_EQ(QueryPart(4, 5, &progress), "OK");
  EXPECT_EQ(progress.committed_bytes(), 4);
  EXPECT_EQ(QueryPart(-1, 5, &progress), "3 PART_INVALID");
  EXPECT_EQ(QueryPart(5, 5, &progress), "3 PART_INVALID");
  ASSERT_EQ(
      Outcome(Upload({Part(Resumable("a", 9), 3, 9), Chunk(5, "6789", true)},
                     &tensor)),
      "OK");
  EXPECT_EQ(ReadBytes("tensors/a"), "123456789");
  ASSERT_EQ(QueryPart(0, 3, &progress), "OK");
  EXPECT_EQ(progress.tensor().etag(), tensor.etag());
}

TEST_F(UploadInPartsTest, ChunksStayInTheirPart) {
  EXPECT_EQ(Outcome(Upload({Part(Resumable("a", 9), 3, 6), Chunk(0, "1")})),
            "11 OFFSET_MISMATCH");
  EXPECT_EQ(Outcome(Upload({Part(Resumable("a", 9), 3, 6), Chunk(3, "1234")})),
            "11 UPLOAD_OVERRUN");
  EXPECT_EQ(
      Outcome(Upload({Part(Resumable("a", 9), 3, 9), Chunk(3, "1", true)})),
      "3 UPLOAD_INCOMPLETE");
  test_.uploads.Clear();
  ExpectNothingLeft();
}

TEST_F(UploadInPartsTest, RefusalOfOneEndsTheOthers) {
  grpc::ClientContext context;
  v1::Tensor ignored;
  auto writer = stub_->UploadTensor(&context, &ignored);
  ASSERT_TRUE(writer->Write(Part(Resumable("a", 9), 0, 3)));
  ASSERT_TRUE(writer->Write(Chunk(0, "1")));
  Await([&] { return test_.events.received == 13; });
  EXPECT_EQ(Outcome(Upload({Part(Resumable("a", 9), 3, 9), Chunk(4, "1")})),
            "11 OFFSET_MISMATCH");
  writer->Write(Chunk(1, "2"));
  EXPECT_EQ(Outcome(writer->Finish()), "11 OFFSET_MISMATCH");
  ExpectNothingLeft();
}

TEST_F(UploadInPartsTest, ComeSideBySide) {
  constexpr std::int64_t kParts = 4;
  constexpr std::int64_t kPartBytes = 300'000;
  std::vector<std::unique_ptr<v1::TensorService::Stub>> stubs;
  for (int i = 0; i < kParts; ++i) {
    stubs.push_back(Connect(absl::StrCat("127.0.0.1:", port_)));
  }
  for (int round = 0; round < 10; ++round) {
    Request declaration =
        Declaration("a", {kParts * kPartBytes}, kParts * kPartBytes);
    declaration.mutable_declaration()->set_request_id(absl::StrCat(
        "00000000-0000-4000-8000-", absl::Dec(round, absl::kZeroPad12)));
    std::vector<v1::Tensor> answers(kParts);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kParts; ++i) {
      threads.emplace_back([&, i] {
        const std::int64_t begin = static_cast<std::int64_t>(i) * kPartBytes;
        grpc::ClientContext context;
        auto writer = stubs[i]->UploadTensor(&context, &answers[i]);
        writer->Write(Part(declaration, begin, begin + kPartBytes));
        for (std::int64_t at = 0; at < kPartBytes; at += kPartBytes / 3) {
          writer->Write(
              Chunk(begin + at,
                    std::string(kPartBytes / 3, static_cast<char>('a' + i))));
        }
        writer->Write(Finish());
        writer->WritesDone();
        EXPECT_EQ(Outcome(writer->Finish()), "OK");
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::string expected;
    int named = 0;
    for (std::size_t i = 0; i < kParts; ++i) {
      expected.append(kPartBytes, static_cast<char>('a' + i));
      named += answers[i].name().empty() ? 0 : 1;
    }
    EXPECT_EQ(named, 1);
    EXPECT_EQ(ReadBytes("tensors/a"), expected);
    ASSERT_TRUE(test_.store.Delete("a", "").ok());
  }
}

}  // namespace
}  // namespace tensord
