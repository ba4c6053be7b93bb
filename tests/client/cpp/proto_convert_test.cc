#include "client/cpp/src/proto_convert.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"

namespace tensord::client {
namespace {

v1::Tensor SoundTensor() {
  v1::Tensor tensor;
  tensor.set_name("tensors/a/b");
  tensor.set_dtype(v1::DTYPE_FLOAT32);
  for (const int size : {2, 3}) tensor.add_shape(size);
  for (const int stride : {3, 1}) tensor.add_strides(stride);
  return tensor;
}

TEST(ProtoConvertTest, DtypesKeepTheirNames) {
  for (const DType dtype : AllDTypes()) {
    EXPECT_EQ(FromProto(ToProto(dtype)), dtype);
    std::string name(Name(dtype));
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(v1::Dtype_Name(ToProto(dtype)), "DTYPE_" + name);
  }
  for (const int unknown : {-1, 0, 18, 1000}) {
    EXPECT_FALSE(FromProto(static_cast<v1::Dtype>(unknown)).has_value());
  }
}

TEST(ProtoConvertTest, DurationsAreClamped) {
  EXPECT_EQ(ToProto(absl::Milliseconds(-1500)).seconds(), -1);
  EXPECT_EQ(ToProto(absl::Milliseconds(-1500)).nanos(), -500'000'000);
  EXPECT_EQ(ToProto(absl::InfiniteDuration()).seconds(), 315'576'000'000);
  EXPECT_EQ(ToProto(-absl::InfiniteDuration()).seconds(), -315'576'000'000);
}

TEST(ProtoConvertTest, IndexTermsArriveInOrder) {
  const auto terms = ToProto(
      {std::int64_t{-1}, Slice{1, std::nullopt, -2}, Ellipsis{}, NewAxis{}});
  ASSERT_EQ(terms.size(), 4);
  EXPECT_EQ(terms[0].index(), -1);
  EXPECT_EQ(terms[1].slice().start(), 1);
  EXPECT_FALSE(terms[1].slice().has_stop());
  EXPECT_EQ(terms[1].slice().step(), -2);
  EXPECT_TRUE(terms[2].has_ellipsis());
  EXPECT_TRUE(terms[3].has_new_axis());
}

TEST(ProtoConvertTest, OperationsArriveWhole) {
  const auto to = ToProto(Operation(
      ToOperation{DType::kBFloat16, "cuda:1", true, Overflow::kSaturate}));
  ASSERT_TRUE(to.ok());
  EXPECT_EQ(to->to().dtype(), v1::DTYPE_BFLOAT16);
  EXPECT_EQ(to->to().device(), "cuda:1");
  EXPECT_TRUE(to->to().copy());
  EXPECT_EQ(to->to().overflow(), v1::OVERFLOW_POLICY_SATURATE);
  EXPECT_TRUE(ToProto(Operation(DetachOperation{}))->has_detach());
  EXPECT_TRUE(ToProto(Operation(CloneOperation{}))->has_clone());
  EXPECT_TRUE(ToProto(Operation(ContiguousOperation{}))->has_contiguous());
  EXPECT_TRUE(ToProto(Operation(IndexOperation{}))->has_index());
  const auto reshape = ToProto(Operation(ReshapeOperation{{2, -1}, true}));
  EXPECT_EQ(reshape->reshape().shape(1), -1);
  EXPECT_TRUE(reshape->reshape().view_only());
  const auto permute = ToProto(Operation(PermuteOperation{{1, -2}}));
  EXPECT_EQ(permute->permute().dims(1), -2);
}

TEST(ProtoConvertTest, RefusesWhatMessagesCanNotHold) {
  EXPECT_EQ(GetErrorReason(
                ToProto(Operation(PermuteOperation{{std::int64_t{1} << 32}}))
                    .status()),
            reason::kDimsInvalid);
  EXPECT_EQ(GetErrorReason(
                ToProto(Operation(ToOperation{.dtype = {}, .device = "\xff"}))
                    .status()),
            reason::kDeviceInvalid);
  CreateOptions options;
  options.device = std::string(1, '\0');
  EXPECT_EQ(GetErrorReason(ToProto(options).status()), reason::kDeviceInvalid);
}

TEST(ProtoConvertTest, ReadsTensors) {
  v1::Tensor tensor = SoundTensor();
  tensor.mutable_create_time()->set_seconds(5);
  const absl::StatusOr<TensorInfo> info = FromProto(tensor);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->id, "a/b");
  EXPECT_EQ(info->dtype, DType::kFloat32);
  EXPECT_EQ(info->shape, (Dims{2, 3}));
  EXPECT_EQ(info->strides, (Dims{3, 1}));
  EXPECT_EQ(info->create_time, absl::FromUnixSeconds(5));
  EXPECT_EQ(info->expire_time, absl::InfiniteFuture());
  tensor.mutable_expire_time()->set_seconds(7);
  EXPECT_EQ(FromProto(tensor)->expire_time, absl::FromUnixSeconds(7));
  EXPECT_EQ(FromProto(tensor)->conversion_report, std::nullopt);
  tensor.mutable_conversion_report()->set_rounded(1);
  tensor.mutable_conversion_report()->set_overflowed(2);
  tensor.mutable_conversion_report()->set_nan_to_integer(3);
  tensor.mutable_conversion_report()->set_max_absolute_error(0.5);
  EXPECT_EQ(FromProto(tensor)->conversion_report,
            (ConversionReport{1, 2, 3, 0.5}));
}

TEST(ProtoConvertTest, RefusesUnsoundTensors) {
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
  const auto refused = [](auto spoil) {
    v1::Tensor tensor = SoundTensor();
    spoil(tensor);
    return GetErrorReason(FromProto(tensor).status()) ==
           reason::kMessageMalformed;
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& t) { t.set_name("a/b"); }));
  EXPECT_TRUE(refused([](auto& t) { t.set_name("tensors/"); }));
  EXPECT_TRUE(refused([](auto& t) { t.clear_dtype(); }));
  EXPECT_TRUE(
      refused([](auto& t) { t.set_dtype(static_cast<v1::Dtype>(18)); }));
  EXPECT_TRUE(refused([](auto& t) { t.clear_strides(); }));
  EXPECT_TRUE(refused([](auto& t) { t.set_shape(0, -1); }));
  EXPECT_TRUE(refused([](auto& t) { t.set_shape(0, kHuge); }));
  EXPECT_TRUE(refused([](auto& t) { t.set_strides(0, kHuge); }));
  EXPECT_TRUE(refused([](auto& t) { t.set_strides(0, -kHuge - 1); }));
}

TEST(ProtoConvertTest, LeavesOutUnknownDtypesOfServers) {
  v1::ServerInfo info;
  info.add_dtypes(v1::DTYPE_INT8);
  info.add_dtypes(static_cast<v1::Dtype>(77));
  info.mutable_limits()->set_max_chunk_bytes(9);
  const ServerInfo result = FromProto(info);
  EXPECT_EQ(result.dtypes, std::vector<DType>{DType::kInt8});
  EXPECT_EQ(result.max_chunk_bytes, 9);
}

TEST(ProtoConvertTest, TellsOfDevices) {
  v1::ServerInfo info;
  info.add_devices("cpu");
  info.add_devices("cuda:0");
  info.set_cuda_unavailable("No CUDA GPUs are available");
  const ServerInfo result = FromProto(info);
  EXPECT_EQ(result.devices, (std::vector<std::string>{"cpu", "cuda:0"}));
  EXPECT_EQ(result.cuda_unavailable, "No CUDA GPUs are available");
  v1::Device device;
  device.set_name("cuda:0");
  device.set_out_of_service("an uncorrectable ECC error");
  EXPECT_EQ(FromProto(device).out_of_service, "an uncorrectable ECC error");
}

TEST(ProtoConvertTest, SurvivesAnyTimestamp) {
  v1::Tensor tensor = SoundTensor();
  tensor.mutable_create_time()->set_seconds(
      std::numeric_limits<std::int64_t>::min());
  tensor.mutable_create_time()->set_nanos(
      std::numeric_limits<std::int32_t>::min());
  tensor.mutable_update_time()->set_seconds(
      std::numeric_limits<std::int64_t>::max());
  tensor.mutable_update_time()->set_nanos(
      std::numeric_limits<std::int32_t>::max());
  const absl::StatusOr<TensorInfo> info = FromProto(tensor);
  ASSERT_TRUE(info.ok());
  EXPECT_LT(info->create_time, info->update_time);
}

}  // namespace
}  // namespace tensord::client
