#include "server/rpc/batch_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "google/protobuf/unknown_field_set.h"
#include "server/rpc/batch_session.h"
#include "tests/core/store/list_stored.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

v1::BatchCall CreateCall(const std::string& id, const std::string& data) {
  v1::BatchCall call;
  v1::CreateTensorRequest& request = *call.mutable_create_tensor();
  request.set_tensor_id(id);
  *request.mutable_raw()->mutable_spec() =
      MakeSpec(v1::DTYPE_UINT8, Dims{static_cast<std::int64_t>(data.size())});
  request.mutable_raw()->set_data(data);
  return call;
}

v1::BatchCall TransformCall(const std::string& name, const std::string& id,
                            v1::Dtype dtype) {
  v1::BatchCall call;
  v1::TransformTensorRequest& request = *call.mutable_transform_tensor();
  request.set_name(name);
  request.set_tensor_id(id);
  request.add_operations()->mutable_to()->set_dtype(dtype);
  return call;
}

v1::BatchCall ReadCall(const std::string& name) {
  v1::BatchCall call;
  call.mutable_read_tensor()->set_name(name);
  return call;
}

v1::BatchCall GetCall(const std::string& name) {
  v1::BatchCall call;
  call.mutable_get_tensor()->set_name(name);
  return call;
}

v1::BatchCall DeleteCall(const std::string& name) {
  v1::BatchCall call;
  call.mutable_delete_tensor()->set_name(name);
  return call;
}

v1::BatchRequest Request(const std::vector<v1::BatchCall>& calls) {
  v1::BatchRequest request;
  for (const v1::BatchCall& call : calls) *request.add_calls() = call;
  return request;
}

// Written after the fields that are known.
google::protobuf::UnknownFieldSet& UnknownFields(v1::BatchRequest& request) {
  return *request.GetReflection()->MutableUnknownFields(&request);
}

// A refusal as the status of a call of its own.
grpc::Status StatusOf(const v1::BatchResult& result) {
  if (!result.has_error()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(result.error().code()),
                      result.error().message(),
                      result.error().SerializeAsString());
}

// A result as text, without what differs between two runs of the same calls:
// etags, storage and times, and the order of maps in details.
std::string Comparable(v1::BatchResult result) {
  if (result.has_error()) {
    const bool shows_etag = result.error().code() == grpc::StatusCode::ABORTED;
    std::string text = absl::StrCat(Outcome(StatusOf(result)), " ",
                                    shows_etag ? "" : result.error().message());
    for (const auto& detail : result.error().details()) {
      absl::StrAppend(&text, " ", detail.type_url(), " of ",
                      detail.value().size(), " bytes");
    }
    return text;
  }
  if (result.has_tensor()) {
    v1::Tensor& tensor = *result.mutable_tensor();
    tensor.clear_etag();
    tensor.clear_storage_id();
    tensor.clear_create_time();
    tensor.clear_update_time();
  }
  return result.DebugString();
}

class BatchStreamTest : public ServiceFixture {
 protected:
  // Sends all while reading the results.
  grpc::Status Batch(const std::vector<v1::BatchRequest>& requests,
                     std::vector<v1::BatchResult>* results) {
    grpc::ClientContext context;
    auto stream = stub_->Batch(&context);
    std::thread writer([&] {
      for (const v1::BatchRequest& request : requests) {
        if (!stream->Write(request)) break;
      }
      stream->WritesDone();
    });
    v1::BatchResponse response;
    responses_ = 0;
    while (stream->Read(&response)) {
      ++responses_;
      EXPECT_GT(response.results_size(), 0);
      EXPECT_LE(static_cast<std::int64_t>(response.ByteSizeLong()),
                kMaxBatchResponseBytes);
      for (const v1::BatchResult& result : response.results()) {
        results->push_back(result);
      }
    }
    writer.join();
    return stream->Finish();
  }

  std::vector<v1::BatchResult> Run(const std::vector<v1::BatchCall>& calls) {
    std::vector<v1::BatchResult> results;
    EXPECT_EQ(Outcome(Batch({Request(calls)}, &results)), "OK");
    return results;
  }

  // The same call on its own.
  v1::BatchResult RunAlone(const v1::BatchCall& call) {
    v1::BatchResult result;
    const auto run = [&](auto method, const auto& request, auto* response) {
      grpc::ClientContext context;
      const grpc::Status status =
          (stub_.get()->*method)(&context, request, response);
      if (!status.ok()) {
        result.mutable_error()->ParseFromString(status.error_details());
      }
    };
    using Stub = v1::TensorService::Stub;
    switch (call.call_case()) {
      case v1::BatchCall::kCreateTensor:
        run(&Stub::CreateTensor, call.create_tensor(), result.mutable_tensor());
        break;
      case v1::BatchCall::kTransformTensor:
        run(&Stub::TransformTensor, call.transform_tensor(),
            result.mutable_tensor());
        break;
      case v1::BatchCall::kReadTensor:
        run(&Stub::ReadTensor, call.read_tensor(), result.mutable_array());
        break;
      case v1::BatchCall::kGetTensor:
        run(&Stub::GetTensor, call.get_tensor(), result.mutable_tensor());
        break;
      case v1::BatchCall::kDeleteTensor:
        run(&Stub::DeleteTensor, call.delete_tensor(),
            result.mutable_deleted());
        break;
      case v1::BatchCall::CALL_NOT_SET:
        ADD_FAILURE() << "no call of its own";
    }
    return result;
  }

  // Stores `count` bytes as tensors/`id`.
  void Store(const std::string& id, std::int64_t count) {
    ASSERT_EQ(
        Outcome(Create(id, v1::DTYPE_UINT8, {count},
                       std::string(static_cast<std::size_t>(count), 'a'))),
        "OK");
  }

  int responses_ = 0;
};

TEST_F(BatchStreamTest, LaterCallsSeeWhatEarlierOnesDid) {
  const auto results =
      Run({CreateCall("a", "\1\2"),
           TransformCall("tensors/a", "b", v1::DTYPE_INT16),
           ReadCall("tensors/b"), GetCall("tensors/b"), DeleteCall("tensors/a"),
           GetCall("tensors/a"), DeleteCall("tensors/b")});
  ASSERT_EQ(results.size(), 7U);
  EXPECT_EQ(results[0].tensor().name(), "tensors/a");
  EXPECT_EQ(results[1].tensor().dtype(), v1::DTYPE_INT16);
  EXPECT_EQ(results[2].array().data(), Bytes<std::int16_t>({1, 2}));
  EXPECT_EQ(results[2].array().spec().dtype(), v1::DTYPE_INT16);
  EXPECT_EQ(results[3].tensor().SerializeAsString(),
            results[1].tensor().SerializeAsString());
  EXPECT_TRUE(results[4].has_deleted());
  EXPECT_EQ(Outcome(StatusOf(results[5])), "5 TENSOR_NOT_FOUND");
  EXPECT_TRUE(results[6].has_deleted());
  ExpectNothingLeft();
}

TEST_F(BatchStreamTest, AnswersEachRequestBeforeTheNext) {
  grpc::ClientContext context;
  auto stream = stub_->Batch(&context);
  v1::BatchResponse response;
  for (int i = 0; i < 3; ++i) {
    // A request without calls has no response.
    stream->Write(v1::BatchRequest());
    stream->Write(Request({GetCall(std::string(kSentinel))}));
    ASSERT_TRUE(stream->Read(&response));
    ASSERT_EQ(response.results_size(), 1);
    EXPECT_EQ(response.results(0).tensor().name(), kSentinel);
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(Outcome(stream->Finish()), "OK");
}

TEST_F(BatchStreamTest, EndsWellWithoutCalls) {
  std::vector<v1::BatchResult> results;
  EXPECT_EQ(Outcome(Batch({}, &results)), "OK");
  EXPECT_EQ(Outcome(Batch({v1::BatchRequest()}, &results)), "OK");
  EXPECT_TRUE(results.empty());
}

TEST_F(BatchStreamTest, RefusalsAreThoseOfCallsOfTheirOwn) {
  v1::BatchCall bad = CreateCall("a\nb", "xyz");
  bad.mutable_create_tensor()->mutable_options()->set_device("gpu");
  v1::BatchCall overflow =
      TransformCall(std::string(kSentinel), "", v1::DTYPE_BOOL);
  overflow.mutable_transform_tensor()->clear_operations();
  v1::BatchCall too_many = CreateCall("", "");
  *too_many.mutable_create_tensor()->mutable_raw()->mutable_spec() =
      MakeSpec(v1::DTYPE_FLOAT64, {std::int64_t{1} << 40});
  const std::vector<v1::BatchCall> calls = {
      bad,
      overflow,
      too_many,
      CreateCall("sentinel", "1"),
      GetCall("tensors/none"),
      ReadCall("nonsense"),
      DeleteCall("tensors/none"),
      TransformCall("tensors/none", "x", v1::DTYPE_INT8),
      TransformCall(std::string(kSentinel), "sentinel", v1::DTYPE_INT8)};
  const std::int64_t refusals_before = test_.events.refusals;
  const auto results = Run(calls);
  EXPECT_EQ(test_.events.refusals - refusals_before,
            static_cast<std::int64_t>(calls.size()));
  ASSERT_EQ(results.size(), calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const v1::BatchResult alone = RunAlone(calls[i]);
    EXPECT_NE(alone.error().code(), 0) << i;
    EXPECT_EQ(Comparable(results[i]), Comparable(alone)) << i;
  }
  EXPECT_EQ(Outcome(StatusOf(results[0])), "3 NAME_INVALID");
  ExpectNothingLeft();
}

TEST_F(BatchStreamTest, AnEmptyCallIsRefusedAndTheNextOneRuns) {
  const auto results = Run({v1::BatchCall(), GetCall(std::string(kSentinel))});
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(Outcome(StatusOf(results[0])), "3 MESSAGE_EMPTY");
  EXPECT_TRUE(results[1].has_tensor());
}

TEST_F(BatchStreamTest, CountsArraysAsCallsOfTheirOwn) {
  Run({CreateCall("a", "12345"), ReadCall("tensors/a"),
       TransformCall("tensors/a", "b", v1::DTYPE_FLOAT32)});
  const std::int64_t received = test_.events.received;
  const std::int64_t sent = test_.events.sent;
  const std::int64_t conversions = test_.events.conversions;
  Run({CreateCall("c", "12345"), ReadCall("tensors/c"),
       TransformCall("tensors/c", "d", v1::DTYPE_FLOAT32)});
  EXPECT_EQ(test_.events.received - received, 5);
  EXPECT_EQ(test_.events.sent - sent, 5);
  EXPECT_EQ(test_.events.conversions - conversions, 3);
}

TEST_F(BatchStreamTest, SpreadsResultsOverResponses) {
  // Nearly half a response each, so that two fit and three do not; the last one
  // fits in no response.
  Store("half", 2'000'000);
  Store("all", kMaxBatchResponseBytes - 64);
  Store("more", kMaxBatchResponseBytes);
  std::vector<v1::BatchCall> calls(4, ReadCall("tensors/half"));
  calls.push_back(ReadCall("tensors/all"));
  calls.push_back(ReadCall("tensors/more"));
  calls.push_back(GetCall("tensors/half"));
  calls.push_back(ReadCall("tensors/all"));
  const auto results = Run(calls);
  ASSERT_EQ(results.size(), calls.size());
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(results[i].array().data(), std::string(2'000'000, 'a'));
  }
  for (const std::size_t i : {4U, 7U}) {
    EXPECT_EQ(results[i].array().data().size(),
              static_cast<std::size_t>(kMaxBatchResponseBytes - 64));
  }
  EXPECT_EQ(Outcome(StatusOf(results[5])), "9 RESULT_TOO_LARGE");
  EXPECT_TRUE(results[6].has_tensor());
}

TEST_F(BatchStreamTest, SendsResultsBeforeAllAreMade) {
  Store("x", 1024);
  const auto results =
      Run(std::vector<v1::BatchCall>(2000, ReadCall("tensors/x")));
  EXPECT_EQ(results.size(), 2000U);
  EXPECT_GE(responses_, 7);
  EXPECT_LE(responses_, 9);
}

TEST_F(BatchStreamTest, TransformsLargeTensorsInOrder) {
  // Large ones run on other threads than small ones.
  Store("large", kMaxInlineBytes + 1);
  Store("small", 3);
  std::vector<v1::BatchCall> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(TransformCall(
        i % 3 == 0 ? "tensors/large" : "tensors/small", "t", v1::DTYPE_INT16));
    calls.push_back(GetCall("tensors/t"));
    calls.push_back(DeleteCall("tensors/t"));
  }
  std::vector<v1::BatchResult> results;
  ASSERT_EQ(Outcome(Batch({Request(calls), Request(calls)}, &results)), "OK");
  ASSERT_EQ(results.size(), 2 * calls.size());
  for (std::size_t i = 0; i < results.size(); i += 3) {
    const std::int64_t want = i / 3 % 3 == 0 ? 2 * (kMaxInlineBytes + 1) : 6;
    EXPECT_EQ(results[i].tensor().size_bytes(), want) << i;
    EXPECT_EQ(results[i + 1].tensor().size_bytes(), want) << i;
    EXPECT_TRUE(results[i + 2].has_deleted()) << i;
  }
}

TEST_F(BatchStreamTest, TakesManyCallsInOneMessage) {
  // As many as a message has room for; an empty call takes two bytes.
  std::vector<v1::BatchCall> calls(50'000);
  calls.push_back(GetCall(std::string(kSentinel)));
  const auto results = Run(calls);
  ASSERT_EQ(results.size(), calls.size());
  EXPECT_TRUE(results.back().has_tensor());
}

TEST_F(BatchStreamTest, RefusesWhatIsNoCallAfterWhatRan) {
  for (const std::string& call :
       {std::string("\x22"), std::string("\x22\x05"), std::string("\x07"),
        std::string("\xff\xff"), std::string(1, '\0'),
        // A name that is not UTF-8.
        std::string("\x22\x03\x0a\x01\xff")}) {
    v1::BatchRequest request =
        Request({CreateCall("made", "1"), DeleteCall("tensors/made")});
    UnknownFields(request).AddLengthDelimited(
        v1::BatchRequest::kCallsFieldNumber, call);
    std::vector<v1::BatchResult> results;
    EXPECT_EQ(Outcome(Batch({request, request}, &results)),
              "3 MESSAGE_MALFORMED");
    EXPECT_EQ(results.size(), 2U);
    ExpectNothingLeft();
  }
}

TEST_F(BatchStreamTest, SkipsFieldsOfTheFuture) {
  v1::BatchRequest request = Request({GetCall(std::string(kSentinel))});
  UnknownFields(request).AddLengthDelimited(100, "abc");
  UnknownFields(request).AddVarint(101, 5);
  UnknownFields(request).AddLengthDelimited(
      v1::BatchRequest::kCallsFieldNumber,
      GetCall(std::string(kSentinel)).SerializeAsString());
  std::vector<v1::BatchResult> results;
  EXPECT_EQ(Outcome(Batch({request}, &results)), "OK");
  EXPECT_EQ(results.size(), 2U);
}

TEST_F(BatchStreamTest, WaitsForAClientThatDoesNotRead) {
  Store("x", 1 << 20);
  std::vector<v1::BatchRequest> requests(
      64, Request({ReadCall("tensors/x"), ReadCall("tensors/x")}));
  grpc::ClientContext context;
  auto stream = stub_->Batch(&context);
  std::thread writer([&] {
    for (const v1::BatchRequest& request : requests) stream->Write(request);
    stream->WritesDone();
  });
  absl::SleepFor(absl::Milliseconds(300));
  const std::int64_t sent = test_.events.sent;
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(test_.events.sent, sent);
  EXPECT_LT(sent, std::int64_t{32} << 20);
  v1::BatchResponse response;
  int results = 0;
  while (stream->Read(&response)) results += response.results_size();
  writer.join();
  EXPECT_EQ(Outcome(stream->Finish()), "OK");
  EXPECT_EQ(results, 128);
}

TEST_F(BatchStreamTest, CancelledBatchesEnd) {
  Store("large", 4 << 20);
  const std::int64_t used = test_.used_bytes();
  for (int i = 0; i < 8; ++i) {
    grpc::ClientContext context;
    auto stream = stub_->Batch(&context);
    std::vector<v1::BatchCall> calls;
    for (int call = 0; call < 100; ++call) {
      calls.push_back(TransformCall("tensors/large", "t", v1::DTYPE_INT8));
      calls.push_back(DeleteCall("tensors/t"));
    }
    stream->Write(Request(calls));
    absl::SleepFor(absl::Milliseconds(i));
    context.TryCancel();
    v1::BatchResponse response;
    while (stream->Read(&response)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // The server goes on to the end of the call at hand.
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  v1::BatchResult gone;
  while (absl::Now() < deadline) {
    gone = Run({DeleteCall("tensors/t")}).at(0);
    if (test_.used_bytes() == used) break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(test_.used_bytes(), used);
}

// Random calls, on few names so that they meet.
class RandomCalls {
 public:
  explicit RandomCalls(unsigned seed) : random_(seed) {}

  v1::BatchCall Next() {
    switch (Pick(6)) {
      case 0:
      case 1: {
        v1::BatchCall call = CreateCall(Id(), std::string(Pick(40), 'c'));
        if (Pick(8) == 0) call.mutable_create_tensor()->clear_raw();
        if (Pick(4) == 0) {
          call.mutable_create_tensor()->mutable_options()->set_dtype(Dtype());
        }
        if (Pick(8) == 0) {
          call.mutable_create_tensor()->set_npy(NpyFile(Pick(20)));
        }
        return call;
      }
      case 2:
        return TransformCall(Name(), Id(), Dtype());
      case 3: {
        v1::BatchCall call = ReadCall(Name());
        v1::ReadOptions& options =
            *call.mutable_read_tensor()->mutable_options();
        if (Pick(2) == 0) options.set_dtype(Dtype());
        if (Pick(3) == 0) options.add_index()->set_index(Pick(30));
        if (Pick(3) == 0) options.set_encoding(v1::ENCODING_NPY);
        return call;
      }
      case 4:
        return GetCall(Name());
      default: {
        v1::BatchCall call = DeleteCall(Name());
        if (Pick(2) == 0) call.mutable_delete_tensor()->set_allow_missing(true);
        if (Pick(8) == 0) call.mutable_delete_tensor()->set_etag("other");
        return call;
      }
    }
  }

  int Pick(int count) {
    return std::uniform_int_distribution<int>(0, count - 1)(random_);
  }

 private:
  std::string Id() {
    static const std::vector<std::string> ids = {"a", "b", "c", "d", "/bad"};
    return ids[static_cast<std::size_t>(Pick(5))];
  }
  std::string Name() {
    return Pick(10) == 0 ? Id() : absl::StrCat("tensors/", Id());
  }
  v1::Dtype Dtype() { return static_cast<v1::Dtype>(Pick(20)); }

  std::mt19937 random_;
};

TEST_F(BatchStreamTest, GivesWhatTheCallsGiveOneByOne) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    RandomCalls random(seed);
    std::vector<v1::BatchCall> calls;
    std::vector<v1::BatchRequest> requests;
    for (int i = 0; i < 200; ++i) {
      if (requests.empty() || random.Pick(20) == 0) requests.emplace_back();
      calls.push_back(random.Next());
      *requests.back().add_calls() = calls.back();
    }
    const auto clear = [&] {
      for (const auto& stored : ListStored(test_.store)) {
        if (stored->id != "sentinel") {
          ASSERT_TRUE(test_.store.Delete(stored->id, "").ok());
        }
      }
    };
    std::vector<v1::BatchResult> results;
    ASSERT_EQ(Outcome(Batch(requests, &results)), "OK");
    ASSERT_EQ(results.size(), calls.size());
    clear();
    for (std::size_t i = 0; i < calls.size(); ++i) {
      ASSERT_EQ(Comparable(results[i]), Comparable(RunAlone(calls[i])))
          << "seed " << seed << ", call " << i << ": "
          << calls[i].ShortDebugString();
    }
    clear();
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace tensord
