#include "core/dtype.h"

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/scalar_types.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

template <class... T>
std::vector<std::size_t> SizesOf(TypeList<T...>) {
  return {sizeof(T)...};
}

TEST(DTypeTest, SizesAreThoseOfTheScalarTypes) {
  const std::vector<std::size_t> sizes = SizesOf(ScalarTypes());
  for (DType dtype : AllDTypes()) {
    EXPECT_EQ(ItemSize(dtype), sizes[static_cast<std::size_t>(dtype)])
        << Name(dtype);
  }
}

TEST(DTypeTest, SwapUnitIsAPartOfAComplexNumber) {
  for (DType dtype : AllDTypes()) {
    const bool complex = Kind(dtype) == DTypeKind::kComplex;
    EXPECT_EQ(SwapUnit(dtype), ItemSize(dtype) / (complex ? 2 : 1));
  }
}

TEST(DTypeTest, NamesAreTorchs) {
  const std::vector<std::string> names = {
      "bool",          "uint8",      "uint16",  "uint32",    "uint64",
      "int8",          "int16",      "int32",   "int64",     "float16",
      "bfloat16",      "float32",    "float64", "complex64", "complex128",
      "float8_e4m3fn", "float8_e5m2"};
  for (DType dtype : AllDTypes()) {
    EXPECT_EQ(Name(dtype), names[static_cast<std::size_t>(dtype)]);
    EXPECT_EQ(DTypeFromName(Name(dtype)), dtype);
  }
}

TEST(DTypeTest, AliasesAreTorchs) {
  const std::map<std::string_view, DType> aliases = {
      {"half", DType::kFloat16},     {"float", DType::kFloat32},
      {"double", DType::kFloat64},   {"short", DType::kInt16},
      {"int", DType::kInt32},        {"long", DType::kInt64},
      {"cfloat", DType::kComplex64}, {"cdouble", DType::kComplex128}};
  for (const auto& [alias, dtype] : aliases) {
    EXPECT_EQ(DTypeFromName(alias), dtype) << alias;
  }
  for (std::string_view other : {"", "Float32", "float3", "float33", " float32",
                                 "torch.float32", "f4", "byte", "float8"}) {
    EXPECT_EQ(DTypeFromName(other), std::nullopt) << other;
  }
}

TEST(DTypeTest, KindsFollowTheNames) {
  for (DType dtype : AllDTypes()) {
    const std::string_view name = Name(dtype);
    DTypeKind kind = DTypeKind::kSigned;
    if (name == "bool") kind = DTypeKind::kBool;
    if (name.starts_with("uint")) kind = DTypeKind::kUnsigned;
    if (name.find("float") != name.npos) kind = DTypeKind::kFloating;
    if (name.starts_with("complex")) kind = DTypeKind::kComplex;
    EXPECT_EQ(Kind(dtype), kind) << name;
    EXPECT_EQ(IsDifferentiable(dtype),
              kind == DTypeKind::kFloating || kind == DTypeKind::kComplex);
  }
}

TEST(DTypeTest, DescrsReadBack) {
  for (DType dtype : AllDTypes()) {
    for (ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
      const std::string_view descr = NumpyDescr(dtype, order);
      const absl::StatusOr<NumpyType> type = ParseNumpyDescr(descr);
      ASSERT_TRUE(type.ok()) << descr;
      EXPECT_EQ(type->item_size, ItemSize(dtype));
      EXPECT_EQ(type->dtype.has_value(), descr[1] != 'V') << descr;
      if (type->dtype) {
        EXPECT_EQ(*type->dtype, dtype);
      }
      if (ItemSize(dtype) > 1) {
        EXPECT_EQ(type->order, order);
      }
    }
  }
}

// Every descr that names a dtype or raw bytes, without its byte order mark.
std::map<std::string, std::optional<DType>> AcceptedTails() {
  std::map<std::string, std::optional<DType>> tails = {{"?", DType::kBool},
                                                       {"V1", std::nullopt},
                                                       {"V2", std::nullopt},
                                                       {"f1", std::nullopt}};
  for (DType dtype : AllDTypes()) {
    const std::string_view descr = NumpyDescr(dtype, ByteOrder::kLittle);
    if (descr[1] != 'V') tails[std::string(descr.substr(1))] = dtype;
  }
  return tails;
}

void CheckAgainst(const std::map<std::string, std::optional<DType>>& tails,
                  const std::string& descr) {
  const bool marked =
      !descr.empty() && std::string("<>=|").find(descr[0]) != descr.npos;
  const auto found = tails.find(marked ? descr.substr(1) : descr);
  const absl::StatusOr<NumpyType> type = ParseNumpyDescr(descr);
  ASSERT_EQ(type.ok(), found != tails.end()) << descr;
  if (type.ok()) {
    ASSERT_EQ(type->dtype, found->second) << descr;
    ASSERT_EQ(type->order == ByteOrder::kBig, descr[0] == '>') << descr;
  } else {
    const std::string reason = GetErrorReason(type.status());
    ASSERT_TRUE(reason == reason::kDtypeUnknown ||
                reason == reason::kDtypeUnsupported ||
                reason == reason::kDtypeObjectForbidden)
        << descr << " " << reason;
  }
}

TEST(DTypeTest, AcceptsExactlyTheDescrsOfItsDtypes) {
  const std::string alphabet = "<>=|!?biufcVOSUMaegdq012468 x[]";
  const auto tails = AcceptedTails();
  std::vector<std::string> level = {""};
  for (int length = 0; length <= 4; ++length) {
    std::vector<std::string> longer;
    for (const std::string& descr : level) {
      CheckAgainst(tails, descr);
      // A byte order mark and two more characters decide; after that a sample.
      if (length == 4 || (length == 3 && descr[0] != '<')) continue;
      for (char c : alphabet) longer.push_back(descr + c);
    }
    level = longer;
  }
}

std::string ReasonOf(std::string_view descr) {
  const absl::StatusOr<NumpyType> type = ParseNumpyDescr(descr);
  return type.ok() ? "accepted" : GetErrorReason(type.status());
}

TEST(DTypeTest, UnknownDescrsAreRefused) {
  for (std::string_view descr : {"",
                                 "<z9",
                                 "float33",
                                 "float32",
                                 "<i0",
                                 "<f3",
                                 "<f99999999999",
                                 "!f4",
                                 "<f04",
                                 "<f+4",
                                 "<f 4",
                                 " f4",
                                 "f4 ",
                                 "<<f4",
                                 "f4,f4",
                                 "(2,)f4",
                                 "2f4",
                                 "<",
                                 "|",
                                 "f",
                                 "b",
                                 "?1",
                                 "u16",
                                 "i16",
                                 "B1",
                                 "Sx",
                                 "U-1",
                                 "M8[s",
                                 "O4x",
                                 "<V2x",
                                 "<f18446744073709551620",
                                 "f\xd9\xa4"}) {
    EXPECT_EQ(ReasonOf(descr), reason::kDtypeUnknown) << descr;
  }
  EXPECT_EQ(ReasonOf(std::string_view("<f4\0", 4)), reason::kDtypeUnknown);
}

TEST(DTypeTest, ObjectsAreForbidden) {
  for (std::string_view descr : {"O", "|O", "|O8", "<O", "O4"}) {
    EXPECT_EQ(ReasonOf(descr), reason::kDtypeObjectForbidden) << descr;
  }
}

TEST(DTypeTest, KindsThatTensorsLackAreUnsupported) {
  for (std::string_view descr :
       {"<U3", "|S3", "S",       "|S0",  "a",    "|a3",  "<M8[s]", "<M8[25s]",
        "<m8", "M8",  "<m8[ns]", "<f16", ">f16", "<c32", "g",      "<G",
        "V",   "|V0", "|V3",     "|V16", "|T16", "T"}) {
    EXPECT_EQ(ReasonOf(descr), reason::kDtypeUnsupported) << descr;
  }
}

TEST(DTypeTest, MessagesQuoteTheDescr) {
  EXPECT_EQ(std::string(ParseNumpyDescr("<z9").status().message()),
            "unknown NumPy dtype '<z9'");
  const std::string hostile = "\n" + std::string(5000, '\xff');
  const absl::Status status = ParseNumpyDescr(hostile).status();
  EXPECT_LT(status.message().size(), 300u);
  EXPECT_EQ(status.message().find('\n'), status.message().npos);
}

}  // namespace
}  // namespace tensord
