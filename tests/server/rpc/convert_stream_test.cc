#include "server/rpc/convert_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using Request = v1::ConvertArrayRequest;
using Response = v1::ConvertArrayResponse;

Request Declaration(v1::Dtype from, v1::Dtype to, std::int64_t count) {
  Request request;
  v1::ConvertDeclaration& declaration = *request.mutable_declaration();
  v1::ArrayDeclaration& array = *declaration.mutable_array();
  *array.mutable_raw() = MakeSpec(from, {count});
  array.set_total_bytes(count *
                        static_cast<std::int64_t>(ItemSize(*ParseDType(from))));
  declaration.set_dtype(to);
  return request;
}

Request Chunk(std::int64_t offset, std::string data) {
  Request request;
  request.mutable_chunk()->set_offset(offset);
  request.mutable_chunk()->set_data(std::move(data));
  return request;
}

Request Finish() {
  Request request;
  request.set_finish(true);
  return request;
}

class ConvertStreamTest : public ServiceFixture {
 protected:
  // Sends all while reading what comes back into `data`.
  grpc::Status Convert(const std::vector<Request>& requests,
                       std::string* data = nullptr) {
    grpc::ClientContext context;
    auto stream = stub_->ConvertArray(&context);
    std::thread writer([&] {
      for (const Request& request : requests) {
        if (!stream->Write(request)) break;
      }
      stream->WritesDone();
    });
    Response response;
    while (stream->Read(&response)) {
      if (data != nullptr) data->append(response.chunk().data());
    }
    writer.join();
    return stream->Finish();
  }
};

TEST_F(ConvertStreamTest, ConvertsAsInputArrives) {
  grpc::ClientContext context;
  auto stream = stub_->ConvertArray(&context);
  Response response;
  // Every answer comes before the next request is sent.
  stream->Write(Declaration(v1::DTYPE_INT16, v1::DTYPE_FLOAT32, 4));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.header().total_bytes(), 16);
  stream->Write(Chunk(0, Bytes<std::int16_t>({1, 2})));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.chunk().data(), Bytes<float>({1, 2}));
  stream->Write(Chunk(4, Bytes<std::int16_t>({3, 4})));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.chunk().offset(), 8);
  EXPECT_EQ(response.chunk().data(), Bytes<float>({3, 4}));
  stream->Write(Finish());
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(Outcome(stream->Finish()), "OK");
  ExpectNothingLeft();
}

TEST_F(ConvertStreamTest, TakesMoreThanMemoryWouldHold) {
  // The result is larger than the quota; nothing of it is stored.
  constexpr std::int64_t kCount = 8 << 20;
  constexpr std::int64_t kStep = 1 << 20;
  std::vector<Request> requests = {
      Declaration(v1::DTYPE_UINT8, v1::DTYPE_INT16, kCount)};
  for (std::int64_t i = 0; i < kCount; i += kStep) {
    requests.push_back(Chunk(i, std::string(kStep, '\7')));
  }
  requests.push_back(Finish());
  std::string data;
  ASSERT_EQ(Outcome(Convert(requests, &data)), "OK");
  ASSERT_EQ(data.size(), 2 * static_cast<std::size_t>(kCount));
  for (std::size_t i = 0; i < data.size(); i += 2) {
    ASSERT_TRUE(data[i] == '\7' && data[i + 1] == '\0');
  }
  EXPECT_EQ(test_.used_bytes(), used_before_);
}

TEST_F(ConvertStreamTest, RefusesBadStreams) {
  const Request declared = Declaration(v1::DTYPE_INT8, v1::DTYPE_INT8, 4);
  struct Row {
    std::vector<Request> requests;
    std::string outcome;
  };
  for (const Row& row :
       std::vector<Row>{{{}, "3 HEADER_MISSING"},
                        {{Chunk(0, "abcd")}, "3 HEADER_MISSING"},
                        {{declared, declared}, "3 HEADER_REPEATED"},
                        {{declared, Request()}, "3 MESSAGE_EMPTY"},
                        {{declared, Chunk(0, "abcd")}, "3 UPLOAD_INCOMPLETE"},
                        {{declared, Finish()}, "3 UPLOAD_INCOMPLETE"},
                        {{declared, Chunk(0, "abcde")}, "11 UPLOAD_OVERRUN"},
                        {{declared, Chunk(2, "abcd")}, "11 OFFSET_MISMATCH"},
                        {{declared, Chunk(0, "abcd"), Finish(), Finish()},
                         "3 DATA_AFTER_FINISH"}}) {
    EXPECT_EQ(Outcome(Convert(row.requests)), row.outcome);
    ExpectNothingLeft();
  }
}

TEST_F(ConvertStreamTest, GivesTheVerdictAtTheEnd) {
  Request declared = Declaration(v1::DTYPE_INT16, v1::DTYPE_INT8, 3);
  declared.mutable_declaration()->set_overflow(v1::OVERFLOW_POLICY_ERROR);
  std::string data;
  const grpc::Status status = Convert(
      {declared, Chunk(0, Bytes<std::int16_t>({1, 2, 300})), Finish()}, &data);
  EXPECT_EQ(Outcome(status), "11 CAST_VALUE_OUT_OF_RANGE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("firstIndex"), "2");
  EXPECT_EQ(data.size(), 3U);
}

TEST_F(ConvertStreamTest, WaitsForAClientThatDoesNotRead) {
  // Far more than the transport buffers, and nothing is read for a while: the
  // server stops to take input.
  constexpr std::int64_t kStep = 1 << 20;
  constexpr std::int64_t kCount = 15 * kStep;
  grpc::ClientContext context;
  auto stream = stub_->ConvertArray(&context);
  stream->Write(Declaration(v1::DTYPE_UINT8, v1::DTYPE_UINT8, kCount));
  std::thread writer([&] {
    for (std::int64_t i = 0; i < kCount; i += kStep) {
      stream->Write(Chunk(i, std::string(kStep, 'w')));
    }
    stream->Write(Finish());
    stream->WritesDone();
  });
  absl::SleepFor(absl::Milliseconds(300));
  const std::int64_t taken = test_.events.received;
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(test_.events.received, taken);
  EXPECT_LT(taken, kCount);
  Response response;
  std::int64_t read = 0;
  while (stream->Read(&response)) {
    read += static_cast<std::int64_t>(response.chunk().data().size());
  }
  writer.join();
  EXPECT_EQ(Outcome(stream->Finish()), "OK");
  EXPECT_EQ(read, kCount);
}

TEST_F(ConvertStreamTest, CancelledConversionsEnd) {
  for (int chunks = 0; chunks < 8; ++chunks) {
    grpc::ClientContext context;
    auto stream = stub_->ConvertArray(&context);
    stream->Write(Declaration(v1::DTYPE_UINT8, v1::DTYPE_INT64, 1 << 20));
    for (int i = 0; i < chunks; ++i) {
      stream->Write(Chunk(i << 16, std::string(1 << 16, 'x')));
    }
    context.TryCancel();
    Response response;
    while (stream->Read(&response)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ExpectNothingLeft();
}

}  // namespace
}  // namespace tensord
