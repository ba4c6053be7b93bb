#include "server/rpc/tensor_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;

class TensorServiceTest : public ServiceFixture {
 protected:
  grpc::Status Get(const std::string& name, v1::Tensor* tensor) {
    grpc::ClientContext context;
    v1::GetTensorRequest request;
    request.set_name(name);
    return stub_->GetTensor(&context, request, tensor);
  }

  grpc::Status Transform(const v1::TransformTensorRequest& request,
                         v1::Tensor* tensor = nullptr) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    return stub_->TransformTensor(&context, request,
                                  tensor != nullptr ? tensor : &ignored);
  }

  grpc::Status Update(const v1::UpdateTensorRequest& request,
                      v1::Tensor* tensor = nullptr) {
    grpc::ClientContext context;
    v1::Tensor ignored;
    return stub_->UpdateTensor(&context, request,
                               tensor != nullptr ? tensor : &ignored);
  }

  grpc::Status Delete(const v1::DeleteTensorRequest& request) {
    grpc::ClientContext context;
    google::protobuf::Empty ignored;
    return stub_->DeleteTensor(&context, request, &ignored);
  }

  grpc::Status List(int page_size, const std::string& token,
                    v1::ListTensorsResponse* response) {
    grpc::ClientContext context;
    v1::ListTensorsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    return stub_->ListTensors(&context, request, response);
  }

  static v1::TransformTensorRequest FromSentinel(const std::string& id) {
    v1::TransformTensorRequest request;
    request.set_name(std::string(kSentinel));
    request.set_tensor_id(id);
    return request;
  }
};

TEST_F(TensorServiceTest, CreatesAndReads) {
  v1::Tensor tensor;
  v1::TensorOptions options;
  options.set_dtype(v1::DTYPE_FLOAT16);
  ASSERT_EQ(Outcome(Create("x", v1::DTYPE_FLOAT32, {2}, Bytes<float>({1, -2}),
                           options, &tensor)),
            "OK");
  EXPECT_EQ(tensor.name(), "tensors/x");
  EXPECT_EQ(tensor.dtype(), v1::DTYPE_FLOAT16);
  EXPECT_EQ(tensor.device(), "cpu");
  EXPECT_EQ(tensor.size_bytes(), 4);
  EXPECT_TRUE(tensor.is_leaf());
  EXPECT_FALSE(tensor.has_expire_time());
  EXPECT_EQ(ReadBytes("tensors/x"), Bytes<std::uint16_t>({0x3c00, 0xc000}));
  v1::Tensor again;
  ASSERT_EQ(Outcome(Get("tensors/x", &again)), "OK");
  EXPECT_EQ(again.SerializeAsString(), tensor.SerializeAsString());
}

TEST_F(TensorServiceTest, CreatesFromFiles) {
  v1::CreateTensorRequest request;
  request.set_npy(NpyFile(5));
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Create(request, &tensor)), "OK");
  EXPECT_EQ(tensor.dtype(), v1::DTYPE_UINT8);
  EXPECT_EQ(ReadBytes(tensor.name()), std::string("\0\1\2\3\4", 5));
}

TEST_F(TensorServiceTest, RefusesBadArraysAndLeavesNothing) {
  const auto refuse =
      [&](const std::function<void(v1::CreateTensorRequest&)>& change) {
        v1::CreateTensorRequest request;
        request.set_tensor_id("bad");
        *request.mutable_raw()->mutable_spec() = MakeSpec(v1::DTYPE_INT8, {3});
        request.mutable_raw()->set_data("abc");
        change(request);
        std::string outcome = Outcome(Create(request));
        ExpectNothingLeft();
        return outcome;
      };
  EXPECT_EQ(refuse([](auto& r) { r.mutable_raw()->set_data("ab"); }),
            "3 SIZE_MISMATCH");
  EXPECT_EQ(refuse([](auto& r) { r.clear_raw(); }), "3 ARRAY_MISSING");
  EXPECT_EQ(refuse([](auto& r) { r.set_npy(""); }), "3 NPY_TRUNCATED");
  EXPECT_EQ(refuse([](auto& r) { r.set_npy(NpyFile(5) + "x"); }),
            "3 TRAILING_BYTES");
  EXPECT_EQ(refuse([](auto& r) { r.set_npy("\x80\x04..."); }),
            "3 PICKLE_FORBIDDEN");
  EXPECT_EQ(refuse([](auto& r) { r.set_tensor_id("a\nb"); }), "3 NAME_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.set_tensor_id("sentinel"); }),
            "6 TENSOR_EXISTS");
  EXPECT_EQ(refuse([](auto& r) { r.mutable_options()->set_device("gpu"); }),
            "3 DEVICE_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.mutable_options()->set_device("cuda:7"); }),
            "12 CUDA_NOT_BUILT");
  EXPECT_EQ(
      refuse([](auto& r) { r.mutable_options()->set_requires_grad(true); }),
      "3 GRAD_DTYPE");
  EXPECT_EQ(refuse([](auto& r) {
              r.mutable_options()->mutable_ttl()->set_seconds(-1);
            }),
            "3 TTL_INVALID");
}

TEST_F(TensorServiceTest, RefusesResultsThatDoNotFitInAMessage) {
  const std::int64_t count = 1 << 20;
  ASSERT_EQ(Outcome(Create("big", v1::DTYPE_UINT8, {count},
                           std::string(static_cast<std::size_t>(count), 'b'))),
            "OK");
  v1::ReadOptions options;
  options.set_dtype(v1::DTYPE_FLOAT64);
  v1::ReadTensorResponse response;
  EXPECT_EQ(Outcome(Read("tensors/big", options, &response)),
            "9 RESULT_TOO_LARGE");
  options.set_dtype(v1::DTYPE_FLOAT32);
  EXPECT_EQ(Outcome(Read("tensors/big", options, &response)), "OK");
  EXPECT_EQ(response.data().size(), 4U << 20);
}

TEST_F(TensorServiceTest, ReadsWhatIsAskedFor) {
  ASSERT_EQ(Outcome(Create("m", v1::DTYPE_INT16, {2, 3},
                           Bytes<std::int16_t>({1, 2, 3, 4, 5, 6}))),
            "OK");
  v1::ReadOptions options;
  options.add_index()->mutable_ellipsis();
  options.add_index()->mutable_slice()->set_step(-2);
  options.set_byte_order(v1::BYTE_ORDER_BIG_ENDIAN);
  options.set_order(v1::ORDER_F);
  v1::ReadTensorResponse response;
  ASSERT_EQ(Outcome(Read("tensors/m", options, &response)), "OK");
  EXPECT_EQ(response.data(), std::string("\0\3\0\6\0\1\0\4", 8));
  EXPECT_THAT(response.spec().shape(), ElementsAre(2, 2));
  EXPECT_EQ(response.spec().order(), v1::ORDER_F);
}

TEST_F(TensorServiceTest, RefusesToReadWhatNeedsDetach) {
  v1::TensorOptions grad;
  grad.set_requires_grad(true);
  ASSERT_EQ(
      Outcome(Create("g", v1::DTYPE_FLOAT32, {1}, Bytes<float>({1}), grad)),
      "OK");
  v1::ReadTensorResponse response;
  EXPECT_EQ(Outcome(Read("tensors/g", {}, &response)), "9 NEEDS_DETACH");
  v1::ReadOptions force;
  force.set_force(true);
  EXPECT_EQ(Outcome(Read("tensors/g", force, &response)), "OK");
}

TEST_F(TensorServiceTest, TransformsInOrder) {
  v1::TransformTensorRequest request = FromSentinel("t");
  request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_FLOAT32);
  request.add_operations()
      ->mutable_index()
      ->add_terms()
      ->mutable_slice()
      ->set_start(1);
  request.add_operations()->mutable_reshape()->add_shape(-1);
  request.mutable_operations(2)->mutable_reshape()->add_shape(1);
  request.add_operations()->mutable_permute()->add_dims(1);
  request.mutable_operations(3)->mutable_permute()->add_dims(0);
  request.add_operations()->mutable_contiguous();
  request.add_operations()->mutable_clone();
  request.add_operations()->mutable_detach();
  request.mutable_ttl()->set_seconds(100);
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Transform(request, &tensor)), "OK");
  EXPECT_THAT(tensor.shape(), ElementsAre(1, 2));
  EXPECT_TRUE(tensor.has_expire_time());
  EXPECT_EQ(ReadBytes("tensors/t"), Bytes<float>({2, 3}));
}

// Counts and error, as they are written.
std::string Text(const v1::ConversionReport& report) {
  return absl::StrCat(report.rounded(), " ", report.overflowed(), " ",
                      report.nan_to_integer(), " ",
                      report.max_absolute_error());
}

TEST_F(TensorServiceTest, ReportsConversionsToWhoAsks) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string data = Bytes<float>({1, 2.5, 300, nan});
  v1::TensorOptions options;
  options.set_dtype(v1::DTYPE_UINT8);
  v1::Tensor tensor;
  ASSERT_EQ(
      Outcome(Create("quiet", v1::DTYPE_FLOAT32, {4}, data, options, &tensor)),
      "OK");
  EXPECT_FALSE(tensor.has_conversion_report());
  options.set_report_conversion(true);
  ASSERT_EQ(
      Outcome(Create("told", v1::DTYPE_FLOAT32, {4}, data, options, &tensor)),
      "OK");
  ASSERT_TRUE(tensor.has_conversion_report());
  EXPECT_EQ(Text(tensor.conversion_report()), "1 1 1 256");
  // Nobody else hears of it.
  ASSERT_EQ(Outcome(Get("tensors/told", &tensor)), "OK");
  EXPECT_FALSE(tensor.has_conversion_report());
  v1::ListTensorsResponse page;
  ASSERT_EQ(Outcome(List(0, "", &page)), "OK");
  for (const v1::Tensor& listed : page.tensors()) {
    EXPECT_FALSE(listed.has_conversion_report());
  }
  // With a refusal comes none.
  options.set_overflow(v1::OVERFLOW_POLICY_ERROR);
  EXPECT_EQ(Outcome(Create("no", v1::DTYPE_FLOAT32, {4}, data, options)),
            "11 CAST_VALUE_OUT_OF_RANGE");
}

TEST_F(TensorServiceTest, ReportsOnAllOperations) {
  ASSERT_EQ(
      Outcome(Create("f", v1::DTYPE_FLOAT32, {3}, Bytes<float>({1.5, 300, 7}))),
      "OK");
  v1::TransformTensorRequest request;
  request.set_name("tensors/f");
  request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_INT32);
  request.add_operations()->mutable_clone();
  request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_INT8);
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Transform(request, &tensor)), "OK");
  EXPECT_FALSE(tensor.has_conversion_report());
  request.set_report_conversion(true);
  ASSERT_EQ(Outcome(Transform(request, &tensor)), "OK");
  ASSERT_TRUE(tensor.has_conversion_report());
  EXPECT_EQ(Text(tensor.conversion_report()), "1 1 0 256");
  // A view converts nothing.
  request.clear_operations();
  request.add_operations()->mutable_detach();
  ASSERT_EQ(Outcome(Transform(request, &tensor)), "OK");
  ASSERT_TRUE(tensor.has_conversion_report());
  EXPECT_EQ(Text(tensor.conversion_report()), "0 0 0 0");
}

TEST_F(TensorServiceTest, ViewsShareStorage) {
  v1::Tensor sentinel;
  ASSERT_EQ(Outcome(Get(std::string(kSentinel), &sentinel)), "OK");
  v1::TransformTensorRequest request = FromSentinel("");
  request.add_operations()->mutable_index()->add_terms()->set_index(-1);
  v1::Tensor view;
  ASSERT_EQ(Outcome(Transform(request, &view)), "OK");
  EXPECT_EQ(view.storage_id(), sentinel.storage_id());
  EXPECT_EQ(view.storage_offset(), 2);
  EXPECT_EQ(test_.used_bytes(), used_before_);
}

TEST_F(TensorServiceTest, TransformsLargeTensors) {
  const std::int64_t count = 3 << 20;
  ASSERT_EQ(Outcome(Create("big", v1::DTYPE_UINT8, {count},
                           std::string(static_cast<std::size_t>(count), '\3'))),
            "OK");
  v1::TransformTensorRequest request;
  request.set_name("tensors/big");
  request.set_tensor_id("wide");
  request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_INT32);
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Transform(request, &tensor)), "OK");
  EXPECT_EQ(tensor.size_bytes(), 4 * count);
  // Larger than any tensor may be.
  request.set_tensor_id("wider");
  request.mutable_operations(0)->mutable_to()->set_dtype(v1::DTYPE_INT64);
  EXPECT_EQ(Outcome(Transform(request)), "3 TENSOR_TOO_LARGE");
  EXPECT_TRUE(test_.store.ClaimId("wider").ok());
}

TEST_F(TensorServiceTest, RefusesBadTransformationsAndLeavesNothing) {
  const auto refuse =
      [&](const std::function<void(v1::TransformTensorRequest&)>& change) {
        v1::TransformTensorRequest request = FromSentinel("bad");
        request.add_operations()->mutable_clone();
        change(request);
        std::string outcome = Outcome(Transform(request));
        ExpectNothingLeft();
        return outcome;
      };
  EXPECT_EQ(refuse([](auto& r) { r.clear_operations(); }),
            "3 OPERATION_INVALID");
  EXPECT_EQ(refuse([](auto& r) {
              for (int i = 0; i < 64; ++i) {
                r.add_operations()->mutable_detach();
              }
            }),
            "3 OPERATION_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.add_operations(); }), "3 OPERATION_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.set_name("tensors/none"); }),
            "5 TENSOR_NOT_FOUND");
  EXPECT_EQ(refuse([](auto& r) { r.set_tensor_id("sentinel"); }),
            "6 TENSOR_EXISTS");
  EXPECT_EQ(refuse([](auto& r) { r.mutable_ttl(); }), "3 TTL_INVALID");
  EXPECT_EQ(refuse([](auto& r) {
              r.add_operations()->mutable_reshape()->add_shape(4);
            }),
            "3 SIZE_MISMATCH");
  EXPECT_EQ(refuse([](auto& r) {
              r.add_operations()->mutable_permute()->add_dims(1);
            }),
            "3 DIMS_INVALID");
  EXPECT_EQ(refuse([](auto& r) {
              r.add_operations()->mutable_index()->add_terms()->set_index(3);
            }),
            "11 SLICE_OUT_OF_RANGE");
  EXPECT_EQ(refuse([](auto& r) {
              r.add_operations()->mutable_to()->set_device("cuda");
            }),
            "12 CUDA_NOT_BUILT");
  EXPECT_EQ(
      refuse([](auto& r) {
        r.mutable_operations(0)->mutable_to()->set_dtype(v1::DTYPE_FLOAT32);
        r.add_operations()->mutable_to()->set_dtype(static_cast<v1::Dtype>(40));
      }),
      "3 DTYPE_UNKNOWN");
}

TEST_F(TensorServiceTest, ListsInPages) {
  for (const char* id : {"b", "a", "d", "c"}) {
    ASSERT_EQ(Outcome(Create(id, v1::DTYPE_INT8, {1}, "x")), "OK");
  }
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    v1::ListTensorsResponse response;
    ASSERT_EQ(Outcome(List(2, token, &response)), "OK");
    for (const v1::Tensor& tensor : response.tensors()) {
      names.push_back(tensor.name());
    }
    token = response.next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ElementsAre("tensors/a", "tensors/b", "tensors/c",
                                 "tensors/d", "tensors/sentinel"));
  v1::ListTensorsResponse response;
  // Exactly as many as there are: no page after it.
  ASSERT_EQ(Outcome(List(5, "", &response)), "OK");
  EXPECT_EQ(response.next_page_token(), "");
  EXPECT_EQ(Outcome(List(1'000'000, "", &response)), "OK");
  EXPECT_EQ(Outcome(List(-1, "", &response)), "3 PAGE_SIZE_INVALID");
  EXPECT_EQ(Outcome(List(0, "YQ==", &response)), "3 PAGE_TOKEN_INVALID");
}

TEST_F(TensorServiceTest, UpdatesWhatTheMaskNames) {
  ASSERT_EQ(Outcome(Create("u", v1::DTYPE_FLOAT32, {1}, "abcd")), "OK");
  v1::UpdateTensorRequest request;
  request.mutable_tensor()->set_name("tensors/u");
  request.mutable_tensor()->set_requires_grad(true);
  request.mutable_tensor()->mutable_ttl()->set_seconds(60);
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Update(request, &tensor)), "OK");
  EXPECT_TRUE(tensor.requires_grad());
  EXPECT_TRUE(tensor.has_expire_time());
  // A path without a value: for ever.
  request.mutable_tensor()->clear_expiration();
  request.mutable_tensor()->set_requires_grad(false);
  request.mutable_update_mask()->add_paths("expire_time");
  ASSERT_EQ(Outcome(Update(request, &tensor)), "OK");
  EXPECT_TRUE(tensor.requires_grad());
  EXPECT_FALSE(tensor.has_expire_time());
  request.mutable_tensor()->set_etag(tensor.etag());
  request.mutable_update_mask()->set_paths(0, "requires_grad");
  ASSERT_EQ(Outcome(Update(request, &tensor)), "OK");
  EXPECT_FALSE(tensor.requires_grad());
  EXPECT_EQ(Outcome(Update(request, &tensor)), "10 ETAG_MISMATCH");
}

TEST_F(TensorServiceTest, RefusesBadUpdates) {
  const auto refuse =
      [&](const std::function<void(v1::UpdateTensorRequest&)>& change) {
        v1::UpdateTensorRequest request;
        request.mutable_tensor()->set_name(std::string(kSentinel));
        change(request);
        return Outcome(Update(request));
      };
  const auto path = [](const char* name) {
    return [name](auto& r) { r.mutable_update_mask()->add_paths(name); };
  };
  EXPECT_EQ(refuse(path("dtype")), "3 FIELD_MASK_INVALID");
  EXPECT_EQ(refuse(path("nonsense")), "3 FIELD_MASK_INVALID");
  EXPECT_EQ(refuse([](auto& r) {
              r.mutable_update_mask()->add_paths("ttl");
              r.mutable_tensor()->mutable_expire_time();
            }),
            "3 FIELD_MASK_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.mutable_tensor()->mutable_ttl(); }),
            "3 TTL_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.mutable_tensor()->mutable_expire_time(); }),
            "3 TTL_INVALID");
  EXPECT_EQ(refuse([](auto& r) { r.clear_tensor(); }), "3 NAME_INVALID");
  EXPECT_EQ(
      refuse([](auto& r) { r.mutable_tensor()->set_name("tensors/none"); }),
      "5 TENSOR_NOT_FOUND");
  EXPECT_EQ(
      refuse([](auto& r) { r.mutable_tensor()->set_requires_grad(true); }),
      "3 GRAD_DTYPE");
}

TEST_F(TensorServiceTest, Deletes) {
  v1::Tensor tensor;
  ASSERT_EQ(Outcome(Create("d", v1::DTYPE_INT8, {1}, "x", {}, &tensor)), "OK");
  v1::DeleteTensorRequest request;
  request.set_name("tensors/d");
  request.set_etag("other");
  EXPECT_EQ(Outcome(Delete(request)), "10 ETAG_MISMATCH");
  request.set_etag(tensor.etag());
  EXPECT_EQ(Outcome(Delete(request)), "OK");
  EXPECT_EQ(Outcome(Delete(request)), "5 TENSOR_NOT_FOUND");
  request.set_allow_missing(true);
  EXPECT_EQ(Outcome(Delete(request)), "OK");
  request.set_name("d");
  EXPECT_EQ(Outcome(Delete(request)), "3 NAME_INVALID");
  ExpectNothingLeft();
}

TEST_F(TensorServiceTest, DescribesItself) {
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.dtypes_size(), static_cast<int>(kDTypeCount));
  EXPECT_EQ(info.limits().max_tensor_bytes(), TestContext::kMaxTensorBytes);
  EXPECT_EQ(info.limits().memory_limit_bytes(), TestContext::kQuotaBytes);
  grpc::ClientContext other;
  v1::ListDevicesResponse devices;
  ASSERT_TRUE(stub_->ListDevices(&other, {}, &devices).ok());
  ASSERT_EQ(devices.devices_size(), 1);
  EXPECT_EQ(devices.devices(0).name(), "cpu");
  EXPECT_EQ(devices.devices(0).memory_used_bytes(), 12);
}

// A service whose large casts stand still after their first part.
class GivenUpTest : public ServiceFixture {
 protected:
  GivenUpTest()
      : ServiceFixture({},
                       [this](std::size_t count,
                              const std::function<void(std::size_t)>& cast) {
                         cast(0);
                         begun_.Notify();
                         go_on_.WaitForNotification();
                         for (std::size_t i = 1; i < count; ++i) cast(i);
                       }) {}

  void SetUp() override {
    ServiceFixture::SetUp();
    constexpr std::int64_t kCount = 4 << 20;
    ASSERT_EQ(Outcome(Create("large", v1::DTYPE_UINT8, {kCount},
                             std::string(kCount, 'a'))),
              "OK");
    test_.events.conversions = 0;
    used_ = test_.used_bytes();
  }

  // A cast in two parts.
  static void WriteCast(v1::TransformTensorRequest& request) {
    request.set_name("tensors/large");
    request.set_tensor_id("t");
    request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_FLOAT32);
  }

  // Waits until the call, which is cancelled, has ended.
  void ExpectNothingIsLeft() {
    // The server learns of things over a connection in their order.
    grpc::ClientContext context;
    v1::ServerInfo info;
    ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
    go_on_.Notify();
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (test_.used_bytes() != used_ && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(test_.used_bytes(), used_);
    EXPECT_FALSE(test_.store.Get("t").ok());
    EXPECT_EQ(test_.events.conversions, 0);
  }

  std::int64_t used_ = 0;
  absl::Notification begun_;
  absl::Notification go_on_;
};

TEST_F(GivenUpTest, TransformTensorEndsWithinAPart) {
  v1::TransformTensorRequest request;
  WriteCast(request);
  grpc::ClientContext context;
  std::thread caller([&] {
    v1::Tensor tensor;
    EXPECT_EQ(stub_->TransformTensor(&context, request, &tensor).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  begun_.WaitForNotification();
  context.TryCancel();
  caller.join();
  ExpectNothingIsLeft();
}

TEST_F(GivenUpTest, BatchEndsWithinAPart) {
  v1::BatchRequest request;
  WriteCast(*request.add_calls()->mutable_transform_tensor());
  grpc::ClientContext context;
  const auto stream = stub_->Batch(&context);
  ASSERT_TRUE(stream->Write(request));
  begun_.WaitForNotification();
  context.TryCancel();
  v1::BatchResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  ExpectNothingIsLeft();
}

}  // namespace
}  // namespace tensord
