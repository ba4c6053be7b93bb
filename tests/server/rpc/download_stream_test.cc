#include "server/rpc/download_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/crc32c.h"
#include "core/npy.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

// What a download gave.
struct Download {
  grpc::Status status;
  v1::ArrayHeader header;
  std::string data;
  std::vector<std::size_t> chunks;
};

class DownloadStreamTest : public ServiceFixture {
 protected:
  Download Get(const v1::DownloadTensorRequest& request) {
    grpc::ClientContext context;
    auto reader = stub_->DownloadTensor(&context, request);
    Download download;
    v1::DownloadTensorResponse response;
    std::int64_t next = request.read_offset();
    while (reader->Read(&response)) {
      if (response.has_header()) {
        download.header = response.header();
        continue;
      }
      EXPECT_EQ(response.chunk().offset(), next);
      EXPECT_EQ(response.chunk().has_crc32c(), request.send_checksums());
      if (response.chunk().has_crc32c()) {
        EXPECT_EQ(response.chunk().crc32c(), Crc32c(response.chunk().data()));
      }
      download.chunks.push_back(response.chunk().data().size());
      download.data += response.chunk().data();
      next += static_cast<std::int64_t>(download.chunks.back());
    }
    download.status = reader->Finish();
    return download;
  }

  static v1::DownloadTensorRequest Request(const std::string& name) {
    v1::DownloadTensorRequest request;
    request.set_name(name);
    return request;
  }
};

TEST_F(DownloadStreamTest, SendsATensor) {
  const Download download = Get(Request("tensors/sentinel"));
  ASSERT_EQ(Outcome(download.status), "OK");
  EXPECT_EQ(download.data, Bytes<std::int32_t>({1, 2, 3}));
  EXPECT_EQ(download.header.total_bytes(), 12);
  EXPECT_EQ(download.header.encoding(), v1::ENCODING_RAW);
  EXPECT_EQ(download.header.spec().dtype(), v1::DTYPE_INT32);
  EXPECT_EQ(download.header.spec().order(), v1::ORDER_C);
  EXPECT_EQ(test_.events.sent, 12);
}

TEST_F(DownloadStreamTest, CutsLargeTensorsIntoChunks) {
  const std::string data((3 << 20) + 4, 'x');
  const auto count = static_cast<std::int64_t>(data.size());
  ASSERT_EQ(Outcome(Create("big", v1::DTYPE_UINT8, {count}, data)), "OK");
  // As stored.
  const Download plain = Get(Request("tensors/big"));
  ASSERT_EQ(Outcome(plain.status), "OK");
  EXPECT_EQ(plain.data, data);
  constexpr std::size_t kChunk = 1U << 20;
  EXPECT_EQ(plain.chunks,
            (std::vector<std::size_t>{kChunk, kChunk, kChunk, 4}));
  // Converted on the way.
  v1::DownloadTensorRequest request = Request("tensors/big");
  request.mutable_options()->set_dtype(v1::DTYPE_INT16);
  const Download wide = Get(request);
  ASSERT_EQ(Outcome(wide.status), "OK");
  EXPECT_EQ(wide.data.size(), 2 * data.size());
  EXPECT_GT(wide.chunks.size(), 1U);
  for (const std::size_t size : wide.chunks) EXPECT_LE(size, kChunk);
}

TEST_F(DownloadStreamTest, SendsChecksumsOnRequest) {
  const std::string data((3 << 20) + 4, 'x');
  const auto count = static_cast<std::int64_t>(data.size());
  ASSERT_EQ(Outcome(Create("big", v1::DTYPE_UINT8, {count}, data)), "OK");
  for (const v1::Dtype dtype : {v1::DTYPE_UINT8, v1::DTYPE_INT16}) {
    v1::DownloadTensorRequest request = Request("tensors/big");
    request.set_send_checksums(true);
    request.mutable_options()->set_dtype(dtype);
    const Download download = Get(request);
    ASSERT_EQ(Outcome(download.status), "OK");
    EXPECT_FALSE(download.chunks.empty());
  }
}

TEST_F(DownloadStreamTest, SendsAnyRange) {
  const std::vector<std::int16_t> values = {1, 2, 3, 4, 5};
  ASSERT_EQ(Outcome(Create("r", v1::DTYPE_INT16, {5}, Bytes(values))), "OK");
  for (const auto encoding : {v1::ENCODING_RAW, v1::ENCODING_NPY}) {
    v1::DownloadTensorRequest request = Request("tensors/r");
    request.mutable_options()->set_dtype(v1::DTYPE_FLOAT64);
    request.mutable_options()->set_encoding(encoding);
    const std::string whole = Get(request).data;
    for (std::size_t begin = 0; begin <= whole.size(); begin += 7) {
      for (std::size_t limit = 1; limit < 40; limit += 13) {
        request.set_read_offset(static_cast<std::int64_t>(begin));
        request.set_read_limit(static_cast<std::int64_t>(limit));
        const Download download = Get(request);
        ASSERT_EQ(Outcome(download.status), "OK");
        EXPECT_EQ(download.data, whole.substr(begin, limit));
        EXPECT_EQ(download.header.total_bytes(),
                  static_cast<std::int64_t>(whole.size()));
      }
    }
  }
}

TEST_F(DownloadStreamTest, EndsAtTheEnd) {
  v1::DownloadTensorRequest request = Request("tensors/sentinel");
  request.set_read_offset(12);
  const Download download = Get(request);
  EXPECT_EQ(Outcome(download.status), "OK");
  EXPECT_TRUE(download.chunks.empty());
  EXPECT_EQ(download.header.total_bytes(), 12);
}

TEST_F(DownloadStreamTest, SendsFilesThatParse) {
  v1::DownloadTensorRequest request = Request("tensors/sentinel");
  request.mutable_options()->set_encoding(v1::ENCODING_NPY);
  const Download download = Get(request);
  ASSERT_EQ(Outcome(download.status), "OK");
  const auto header = ParseNpyFile(
      download.data, static_cast<std::int64_t>(download.data.size()), 1000);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->shape, Dims{3});
  EXPECT_EQ(download.data.substr(header->header_bytes),
            Bytes<std::int32_t>({1, 2, 3}));
}

TEST_F(DownloadStreamTest, RefusesBadRequests) {
  const auto refuse = [&](auto change) {
    v1::DownloadTensorRequest request = Request("tensors/sentinel");
    change(request);
    return Outcome(Get(request).status);
  };
  EXPECT_EQ(refuse([](auto& r) { r.set_read_offset(13); }), "11 READ_PAST_END");
  EXPECT_EQ(refuse([](auto& r) { r.set_read_offset(-1); }), "3 OFFSET_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.set_read_limit(-1); }), "3 OFFSET_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.set_name("tensors/none"); }),
            "5 TENSOR_NOT_FOUND");
  EXPECT_EQ(refuse([](auto& r) { r.set_name("none"); }), "3 NAME_INVALID");
  EXPECT_EQ(refuse([](auto& r) {
              r.mutable_options()->set_dtype(static_cast<v1::Dtype>(99));
            }),
            "3 DTYPE_UNKNOWN");
  EXPECT_EQ(
      refuse([](auto& r) { r.mutable_options()->add_index()->set_index(3); }),
      "11 SLICE_OUT_OF_RANGE");
  ExpectNothingLeft();
}

TEST_F(DownloadStreamTest, GivesTheVerdictAfterTheElements) {
  const std::vector<float> values = {1, 2, 1000, -1000};
  ASSERT_EQ(Outcome(Create("v", v1::DTYPE_FLOAT32, {4}, Bytes(values))), "OK");
  v1::DownloadTensorRequest request = Request("tensors/v");
  request.mutable_options()->set_dtype(v1::DTYPE_INT8);
  request.mutable_options()->set_overflow(v1::OVERFLOW_POLICY_ERROR);
  Download download = Get(request);
  EXPECT_EQ(Outcome(download.status), "11 CAST_VALUE_OUT_OF_RANGE");
  EXPECT_EQ(ErrorInfoOf(download.status).metadata().at("firstIndex"), "2");
  EXPECT_EQ(download.data.size(), 4U);
  // What is not asked for is not judged.
  request.set_read_limit(2);
  EXPECT_EQ(Outcome(Get(request).status), "OK");
}

TEST_F(DownloadStreamTest, ReadersKeepADeletedTensor) {
  const std::string data(4 << 20, 'k');
  const std::int64_t size = 4 << 20;
  v1::CreateTensorRequest create;
  create.set_tensor_id("gone");
  *create.mutable_raw()->mutable_spec() =
      MakeSpec(v1::DTYPE_UINT8, {size - 100});
  create.mutable_raw()->set_data(data.substr(100));
  ASSERT_EQ(Outcome(Create(create)), "OK");
  grpc::ClientContext context;
  auto reader = stub_->DownloadTensor(&context, Request("tensors/gone"));
  v1::DownloadTensorResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_TRUE(test_.store.Delete("gone", "").ok());
  std::string read;
  while (reader->Read(&response)) read += response.chunk().data();
  EXPECT_EQ(Outcome(reader->Finish()), "OK");
  EXPECT_EQ(read, data.substr(100));
  ExpectNothingLeft();
}

TEST_F(DownloadStreamTest, CancelledDownloadsLeaveNothing) {
  const std::int64_t size = 3 << 20;
  for (int chunks = 0; chunks < 6; ++chunks) {
    ASSERT_EQ(Outcome(Create("c", v1::DTYPE_UINT8, {size},
                             std::string(static_cast<std::size_t>(size), 'c'))),
              "OK");
    v1::DownloadTensorRequest request = Request("tensors/c");
    request.mutable_options()->set_dtype(v1::DTYPE_INT64);
    grpc::ClientContext context;
    auto reader = stub_->DownloadTensor(&context, request);
    v1::DownloadTensorResponse response;
    for (int i = 0; i < chunks; ++i) ASSERT_TRUE(reader->Read(&response));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    ASSERT_TRUE(test_.store.Delete("c", "").ok());
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace tensord
