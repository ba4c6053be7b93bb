#include "server/wire/proto_convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "core/error.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;

v1::ArraySpec Spec(v1::Dtype dtype, const Dims& shape) {
  v1::ArraySpec spec;
  spec.set_dtype(dtype);
  for (const std::int64_t size : shape) spec.add_shape(size);
  return spec;
}

// The reason of the first violation of a spec, or nothing.
std::string SpecReason(const v1::ArraySpec& spec) {
  Violations violations;
  ParseArraySpec(spec, "spec", violations);
  return GetErrorReason(violations.status());
}

std::vector<std::string> Fields(const absl::Status& status) {
  std::vector<std::string> fields;
  for (const FieldViolation& violation : GetErrorDetails(status).violations) {
    fields.push_back(violation.field);
  }
  return fields;
}

TEST(ProtoConvertTest, DtypesGoBothWays) {
  for (const DType dtype : AllDTypes()) {
    EXPECT_EQ(*ParseDType(ToProto(dtype)), dtype);
    const std::string name = v1::Dtype_Name(ToProto(dtype));
    EXPECT_EQ(absl::AsciiStrToLower(name.substr(6)), Name(dtype));
  }
}

TEST(ProtoConvertTest, RefusesNumbersThatNoEnumHas) {
  for (const int number : {-1, 18, 1000, std::numeric_limits<int>::max()}) {
    EXPECT_EQ(
        GetErrorReason(ParseDType(static_cast<v1::Dtype>(number)).status()),
        reason::kDtypeUnknown);
    EXPECT_EQ(GetErrorReason(
                  ParseOptionalDType(static_cast<v1::Dtype>(number)).status()),
              reason::kDtypeUnknown);
    EXPECT_EQ(
        GetErrorReason(ParseOrder(static_cast<v1::Order>(number)).status()),
        reason::kOrderInvalid);
    EXPECT_EQ(GetErrorReason(
                  ParseByteOrder(static_cast<v1::ByteOrder>(number)).status()),
              reason::kByteOrderInvalid);
    EXPECT_EQ(
        GetErrorReason(
            ParseOverflow(static_cast<v1::OverflowPolicy>(number)).status()),
        reason::kOverflowInvalid);
    EXPECT_EQ(GetErrorReason(
                  ParseEncoding(static_cast<v1::Encoding>(number)).status()),
              reason::kEncodingInvalid);
  }
  EXPECT_EQ(GetErrorReason(ParseDType(v1::DTYPE_UNSPECIFIED).status()),
            reason::kDtypeUnknown);
  EXPECT_EQ(*ParseOptionalDType(v1::DTYPE_UNSPECIFIED), std::nullopt);
}

TEST(ProtoConvertTest, SpecsGoBothWays) {
  v1::ArraySpec c = Spec(v1::DTYPE_FLOAT32, {2, 3, 4});
  v1::ArraySpec f = c;
  f.set_order(v1::ORDER_F);
  v1::ArraySpec other = c;
  for (const std::int64_t stride : {3, 1, 6}) other.add_strides(stride);
  for (const v1::ArraySpec& spec : {c, f, other}) {
    Violations violations;
    const ArrayFormat format = ParseArraySpec(spec, "", violations);
    ASSERT_TRUE(violations.empty());
    EXPECT_EQ(format.data_bytes(), 96);
    const v1::ArraySpec written = WriteArraySpec(format);
    Violations again;
    EXPECT_EQ(ParseArraySpec(written, "", again).layout, format.layout);
    EXPECT_EQ(written.strides_size(), spec.strides_size());
  }
}

TEST(ProtoConvertTest, RefusesBadSpecs) {
  EXPECT_EQ(SpecReason(Spec(v1::DTYPE_UNSPECIFIED, {2})),
            reason::kDtypeUnknown);
  EXPECT_EQ(SpecReason(Spec(v1::DTYPE_INT8, {-1})), reason::kShapeInvalid);
  EXPECT_EQ(SpecReason(Spec(v1::DTYPE_INT8, Dims(65, 1))),
            reason::kShapeInvalid);
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_EQ(SpecReason(Spec(v1::DTYPE_INT8, {0, huge, huge})),
            reason::kShapeOverflow);
  EXPECT_EQ(SpecReason(Spec(v1::DTYPE_FLOAT64, {huge})),
            reason::kShapeOverflow);
  v1::ArraySpec both = Spec(v1::DTYPE_INT8, {2});
  both.set_order(v1::ORDER_C);
  both.add_strides(1);
  EXPECT_EQ(SpecReason(both), reason::kOrderInvalid);
  for (const Dims& strides : {Dims{1}, Dims{-3, 1}, Dims{1, 1}, Dims{4, 1}}) {
    v1::ArraySpec spec = Spec(v1::DTYPE_INT8, {2, 3});
    for (const std::int64_t stride : strides) spec.add_strides(stride);
    EXPECT_EQ(SpecReason(spec), reason::kStridesInvalid);
  }
}

TEST(ProtoConvertTest, NamesEveryFieldAtFault) {
  v1::ArraySpec spec = Spec(v1::DTYPE_UNSPECIFIED, {-1});
  spec.set_order(static_cast<v1::Order>(9));
  spec.set_byte_order(static_cast<v1::ByteOrder>(9));
  Violations violations;
  ParseArraySpec(spec, "raw.spec", violations);
  EXPECT_EQ(GetErrorReason(violations.status()), reason::kDtypeUnknown);
  EXPECT_THAT(Fields(violations.status()),
              ElementsAre("raw.spec.dtype", "raw.spec.byte_order",
                          "raw.spec.order", "raw.spec.shape"));
}

TEST(ProtoConvertTest, ParsesOptions) {
  v1::TensorOptions options;
  Violations violations;
  const NewTensorOptions defaults =
      ParseTensorOptions(options, "options", violations);
  EXPECT_TRUE(violations.empty());
  EXPECT_EQ(defaults.device, kCpuDevice);
  EXPECT_FALSE(defaults.dtype.has_value() ||
               defaults.lifetime.ttl.has_value() ||
               defaults.lifetime.lease.has_value());
  options.set_dtype(static_cast<v1::Dtype>(77));
  options.set_device("gpu");
  options.set_overflow(static_cast<v1::OverflowPolicy>(7));
  options.mutable_ttl();
  ParseTensorOptions(options, "options", violations);
  EXPECT_THAT(Fields(violations.status()),
              ElementsAre("options.dtype", "options.device", "options.overflow",
                          "options.ttl"));
}

TEST(ProtoConvertTest, BoundsLifetimes) {
  const auto parse = [](std::int64_t seconds, std::int32_t nanos) {
    google::protobuf::Duration duration;
    duration.set_seconds(seconds);
    duration.set_nanos(nanos);
    return ParseTtl(duration);
  };
  const std::int64_t years = 10LL * 365 * 24 * 3600;
  EXPECT_EQ(*parse(0, 1), absl::Nanoseconds(1));
  EXPECT_EQ(*parse(years, 0), kMaxTtl);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const auto& [seconds, nanos] :
       std::vector<std::pair<std::int64_t, std::int32_t>>{{0, 0},
                                                          {-1, 0},
                                                          {0, -1},
                                                          {years, 1},
                                                          {1, -1},
                                                          {1, 1'000'000'000},
                                                          {most, 0},
                                                          {-most - 1, 0}}) {
    EXPECT_EQ(GetErrorReason(parse(seconds, nanos).status()),
              reason::kTtlInvalid)
        << seconds << " " << nanos;
  }
}

TEST(ProtoConvertTest, BoundsExpireTimes) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  const auto parse = [&](std::int64_t seconds, std::int32_t nanos) {
    google::protobuf::Timestamp timestamp;
    timestamp.set_seconds(seconds);
    timestamp.set_nanos(nanos);
    return ParseExpireTime(timestamp, now);
  };
  EXPECT_EQ(*parse(1'000'001, 5),
            now + absl::Seconds(1) + absl::Nanoseconds(5));
  for (const std::int64_t seconds :
       {std::int64_t{1'000'000}, std::int64_t{0}, std::int64_t{1} << 40,
        std::numeric_limits<std::int64_t>::max(),
        std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_EQ(GetErrorReason(parse(seconds, 0).status()), reason::kTtlInvalid);
  }
  EXPECT_EQ(GetErrorReason(parse(1'000'001, -1).status()), reason::kTtlInvalid);
}

TEST(ProtoConvertTest, TimestampsKeepNanoseconds) {
  const absl::Time time =
      absl::FromUnixSeconds(-5) + absl::Nanoseconds(123456789);
  const google::protobuf::Timestamp timestamp = WriteTimestamp(time);
  EXPECT_EQ(timestamp.seconds(), -5);
  EXPECT_EQ(timestamp.nanos(), 123456789);
}

TEST(ProtoConvertTest, ParsesNames) {
  EXPECT_EQ(*ParseTensorName("tensors/w/0"), "w/0");
  for (const std::string_view name :
       {"", "w", "tensors", "tensors/", "Tensors/w", "/tensors/w", "tensors//w",
        "tensors/../w", "tensors/w/"}) {
    const absl::Status status = ParseTensorName(name).status();
    EXPECT_EQ(GetErrorReason(status), reason::kNameInvalid) << name;
    EXPECT_THAT(Fields(status), ElementsAre("name"));
  }
  EXPECT_TRUE(CheckNewTensorId("", {}).ok());
  EXPECT_FALSE(CheckNewTensorId("..", {}).ok());
  EXPECT_TRUE(CheckNewTensorId("a", {.replace = true}).ok());
  EXPECT_FALSE(CheckNewTensorId("", {.replace = true}).ok());
  EXPECT_FALSE(CheckNewTensorId("", {.if_match = "0"}).ok());
}

TEST(ProtoConvertTest, ParsesIndexTerms) {
  v1::ReadOptions options;
  options.add_index()->set_index(-1);
  options.add_index()->mutable_slice()->set_start(2);
  options.add_index()->mutable_ellipsis();
  options.add_index()->mutable_new_axis();
  Violations violations;
  EXPECT_THAT(ParseReadOptions(options, "options", violations).index,
              ElementsAre(IndexTerm(std::int64_t{-1}),
                          IndexTerm(Slice{2, std::nullopt, std::nullopt}),
                          IndexTerm(Ellipsis{}), IndexTerm(NewAxis{})));
  EXPECT_TRUE(violations.empty());
  options.add_index();
  ParseReadOptions(options, "options", violations);
  EXPECT_EQ(GetErrorReason(violations.status()), reason::kSliceInvalid);
  EXPECT_THAT(Fields(violations.status()), ElementsAre("options.index[4]"));
}

}  // namespace
}  // namespace tensord
