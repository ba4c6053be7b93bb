#include "core/npy.h"

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
const std::string kMagic = "\x93NUMPY";

// The bytes before the text of a header.
std::string Preamble(int version, std::size_t text_bytes) {
  std::string bytes = kMagic;
  bytes.push_back(static_cast<char>(version));
  bytes.push_back('\0');
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
    bytes.push_back(static_cast<char>(text_bytes >> (8 * i) & 0xff));
  }
  return bytes;
}

std::string WithPreamble(std::string text, int version = 1) {
  return Preamble(version, text.size()) + text;
}

// A header whose values stand as given.
std::string Text(std::string_view descr = "'<f4'",
                 std::string_view fortran_order = "False",
                 std::string_view shape = "(3,)") {
  return "{'descr': " + std::string(descr) +
         ", 'fortran_order': " + std::string(fortran_order) +
         ", 'shape': " + std::string(shape) + ", }\n";
}

std::string ReasonOf(const absl::Status& status) {
  return status.ok() ? "accepted" : GetErrorReason(status);
}

// The reason for which a header is refused, with or without data after it.
std::string HeaderReason(const std::string& bytes) {
  const absl::StatusOr<std::optional<NpyHeader>> header =
      ParseNpyHeader(bytes + std::string(64, '\0'));
  if (header.ok() && !*header) return "incomplete";
  if (!header.ok()) {
    EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(GetErrorDetails(header.status()).violations,
                ElementsAre(FieldViolation{
                    "data", std::string(header.status().message())}));
  }
  return ReasonOf(header.status());
}

std::string TextReason(const std::string& text, int version = 1) {
  return HeaderReason(WithPreamble(text, version));
}

std::string FileReason(const std::string& bytes,
                       std::int64_t limit = kNoLimit) {
  return ReasonOf(
      ParseNpyFile(bytes, static_cast<std::int64_t>(bytes.size()), limit)
          .status());
}

NpyHeader Accepted(const std::string& bytes) {
  const absl::StatusOr<std::optional<NpyHeader>> header = ParseNpyHeader(bytes);
  EXPECT_TRUE(header.ok()) << header.status() << bytes;
  if (!header.ok() || !*header) return {};
  EXPECT_LE((*header)->header_bytes, bytes.size());
  return **header;
}

TEST(NpyTest, RefusesOtherFiles) {
  EXPECT_EQ(HeaderReason("\x93NUMPZ"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("x"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("\x1f\x8b\x08"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("\x89HDF\r\n\x1a\n"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason(std::string(100, '\0')), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("PK\x05\x06"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("\x80\xff"), reason::kNpyBadMagic);
  EXPECT_EQ(HeaderReason("PK\x03\x04"), reason::kNpzNotSupported);
  EXPECT_EQ(HeaderReason("\x80\x04\x95"), reason::kPickleForbidden);
  EXPECT_EQ(HeaderReason("\x80\x02"), reason::kPickleForbidden);
  EXPECT_THAT(std::string(ParseNpyHeader("PK\x03\x04").status().message()),
              HasSubstr("np.load(file)['name']"));
}

TEST(NpyTest, RefusesOtherVersions) {
  for (const auto& [major, minor] : std::vector<std::pair<int, int>>{
           {0, 0}, {1, 1}, {2, 1}, {3, 255}, {4, 0}, {255, 255}}) {
    std::string bytes = WithPreamble(Text());
    bytes[6] = static_cast<char>(major);
    bytes[7] = static_cast<char>(minor);
    EXPECT_EQ(HeaderReason(bytes), reason::kNpyBadVersion) << major << minor;
    EXPECT_EQ(ReasonOf(ParseNpyHeader(bytes.substr(0, 8)).status()),
              reason::kNpyBadVersion);
  }
}

TEST(NpyTest, RefusesLengthsFromTheirBytesAlone) {
  const auto reason = [](int version, std::size_t size) {
    return ReasonOf(ParseNpyHeader(Preamble(version, size)).status());
  };
  for (int version : {1, 2, 3}) {
    EXPECT_EQ(reason(version, 10'001), reason::kNpyHeaderTooLarge);
    EXPECT_EQ(reason(version, 0), reason::kNpyHeaderSyntax);
    EXPECT_EQ(reason(version, 10'000), "accepted");
  }
  EXPECT_EQ(reason(2, 0xffffffff), reason::kNpyHeaderTooLarge);
}

TEST(NpyTest, HeaderOfTheGreatestLengthIsAccepted) {
  std::string text = Text();
  text.insert(text.size() - 1, kMaxNpyHeaderBytes - text.size(), ' ');
  for (int version : {1, 2, 3}) {
    EXPECT_THAT(Accepted(WithPreamble(text, version)).shape, ElementsAre(3));
  }
}

TEST(NpyTest, CutFilesAreTruncated) {
  for (int version : {1, 2, 3}) {
    const std::string file =
        WithPreamble(Text(), version) + std::string(12, '\0');
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_EQ(FileReason(file.substr(0, size)), reason::kNpyTruncated)
          << size;
    }
    EXPECT_EQ(FileReason(file), "accepted");
    EXPECT_EQ(FileReason(file + '\0'), reason::kTrailingBytes);
  }
  EXPECT_EQ(FileReason("P"), reason::kNpyBadMagic);
  EXPECT_EQ(FileReason("\x80"), reason::kNpyBadMagic);
}

TEST(NpyTest, HeaderIsIncompleteUntilItsLastByte) {
  for (int version : {1, 2, 3}) {
    const std::string file = WithPreamble(Text(), version);
    for (std::size_t size = 0; size < file.size(); ++size) {
      const auto header = ParseNpyHeader(file.substr(0, size));
      ASSERT_TRUE(header.ok()) << size;
      EXPECT_FALSE(header->has_value()) << size;
    }
    const NpyHeader header = Accepted(file);
    EXPECT_EQ(header.header_bytes, file.size());
    EXPECT_EQ(header.data_bytes, 12);
  }
}

TEST(NpyTest, RefusesTextsThatAreNoSuchDict) {
  const std::string open = "{'descr': '<f4', 'fortran_order': False, ";
  const std::vector<std::string> texts = {
      "\n", " \n", "1\n", "None\n", "['descr']\n", "()\n", "{}\n", "{\n",
      "{,}\n", "{'descr', 'shape'}\n", "'<f4'\n",
      // Keys that are missing, unknown or there twice.
      open + "}\n", open + "'shape': (3,), 'x': 1}\n",
      open + "'Shape': (3,)}\n", open + "'shape': (3,), 'shape': (3,)}\n",
      open + "'shape': (3,), 'descr': '<f4'}\n", open + "b'shape': (3,)}\n",
      // What stands around the dict, and how it ends.
      open + "'shape': (3,)}", open + "'shape': (3,)} ",
      open + "'shape': (3,)} x\n", open + "'shape': (3,)},\n",
      open + "'shape': (3,)}}\n", open + "'shape': (3,)} # x\n",
      open + "'shape': (3,)\n", open + "'shape': (3,\n", open + "'shape\n",
      "x" + Text(), Text() + Text(), "(" + Text() + ")\n",
      // Punctuation.
      open + "'shape' (3,)}\n", open + "'shape': : (3,)}\n",
      open + "'shape': (3,),, }\n", open + "'shape': }\n",
      open + "'shape': (3,]}\n", open + "'shape': (,)}\n",
      open + "'shape': (3,,)}\n", open + "'shape': (3 3)}\n"};
  for (const std::string& text : texts) {
    EXPECT_EQ(TextReason(text), reason::kNpyHeaderSyntax) << text;
  }
}

TEST(NpyTest, RefusesExpressions) {
  for (std::string_view descr : {"__import__('os')",
                                 "1+1",
                                 "f'<f4'",
                                 "b'<f4'",
                                 "u'<f4'",
                                 "r'<f4'",
                                 "'<f'+'4'",
                                 "'<' 'f4'",
                                 "'''<f4'''",
                                 "\"\"\"<f4\"\"\"",
                                 R"('\x3cf4')",
                                 R"('\074f4')",
                                 "'<f\\\n4'",
                                 "'<f\n4'",
                                 "('<f4')",
                                 "{}",
                                 "lambda: 0",
                                 "'<f4' if 1 else 0",
                                 "*'f4'",
                                 "a.b()",
                                 "-",
                                 "'<f4\"",
                                 "5",
                                 "None"}) {
    EXPECT_EQ(TextReason(Text(descr)), reason::kNpyHeaderSyntax) << descr;
  }
  EXPECT_EQ(TextReason(Text("'<f4'", "not True")), reason::kNpyHeaderSyntax);
  EXPECT_EQ(TextReason(Text("'<f4'", "False", "(1+1,)")),
            reason::kNpyHeaderSyntax);
}

TEST(NpyTest, RefusesBracketsWithoutEndOrNumber) {
  for (std::string_view bracket : {"(", "[", "{", "(((1,", "[("}) {
    std::string many;
    while (many.size() < 9000) many += bracket;
    EXPECT_EQ(TextReason(many + "\n"), reason::kNpyHeaderSyntax);
    EXPECT_EQ(TextReason(Text(many)), reason::kNpyHeaderSyntax);
    EXPECT_EQ(TextReason(Text("'<f4'", "False", many)),
              reason::kNpyHeaderSyntax);
  }
  const std::string nest = std::string(4000, '(') + std::string(4000, ')');
  EXPECT_EQ(TextReason(Text("'<f4'", "False", nest)), reason::kNpyHeaderSyntax);
}

TEST(NpyTest, RefusesCharactersThatNumpyDoesNotWrite) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string c(1, static_cast<char>(byte));
    const bool control =
        (byte < 0x20 && c != "\t" && c != "\r" && c != "\n") || byte == 0x7f;
    if (!control && byte < 0x80) continue;
    for (const std::string& text :
         {Text("'<f4" + c + "'"), c + Text(), Text("[('" + c + "', '<f4')]"),
          Text("'<f4'", "False", "(3" + c + ",)"), Text().insert(2, c)}) {
      for (int version : {1, 2, 3}) {
        EXPECT_EQ(TextReason(text, version), reason::kNpyHeaderSyntax) << byte;
      }
    }
  }
}

TEST(NpyTest, VersionThreeIsUtf8) {
  for (std::string_view valid :
       {"\xc3\xa9", "\xe2\x98\x83", "\xf0\x9f\x98\x80", "\xc2\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    const std::string field = "[('" + std::string(valid) + "', '<f4')]";
    EXPECT_EQ(TextReason(Text(field), 3), reason::kDtypeStructuredUnsupported);
    EXPECT_EQ(TextReason(Text(field), 2), reason::kNpyHeaderSyntax);
    EXPECT_EQ(TextReason(Text("'" + std::string(valid) + "'"), 3),
              reason::kDtypeUnknown);
  }
  for (std::string_view invalid :
       {"\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
        "\xe2\x98", "\xc3\xc3", "\xff"}) {
    const std::string field = "[('" + std::string(invalid) + "', '<f4')]";
    EXPECT_EQ(TextReason(Text(field), 3), reason::kNpyHeaderSyntax);
  }
}

TEST(NpyTest, RefusesOrdersThatAreNoBool) {
  for (std::string_view order :
       {"0", "1", "'False'", "'True'", "None", "true", "(True,)", "-True"}) {
    EXPECT_EQ(TextReason(Text("'<f4'", order)), reason::kNpyBadOrder) << order;
  }
}

TEST(NpyTest, RefusesShapesThatAreNoTupleOfDecimals) {
  for (std::string_view shape : {"[3]",
                                 "3",
                                 "(3)",
                                 "'3'",
                                 "'(3,)'",
                                 "None",
                                 "('3',)",
                                 "('3,4',)",
                                 "((3,),)",
                                 "([3],)",
                                 "(-1,)",
                                 "(-3, -1)",
                                 "(3.0,)",
                                 "(True,)",
                                 "(None,)",
                                 "(0x10,)",
                                 "(0o7,)",
                                 "(1_000,)",
                                 "(1e3,)",
                                 "(-0,)",
                                 "(+3,)",
                                 "(007,)",
                                 "(00,)",
                                 "(3j,)",
                                 "(3LL,)",
                                 "(L,)",
                                 "(3l,)",
                                 "(3.,)",
                                 "(-99999999999999999999,)"}) {
    EXPECT_EQ(TextReason(Text("'<f4'", "False", shape)), reason::kShapeInvalid)
        << shape;
  }
}

TEST(NpyTest, RefusesMoreThan64Dimensions) {
  const auto reason = [](std::size_t count) {
    std::string shape = "(";
    for (std::size_t i = 0; i < count; ++i) shape += "1,";
    return TextReason(Text("'<f4'", "False", shape + ")"));
  };
  EXPECT_EQ(reason(64), "accepted");
  EXPECT_EQ(reason(65), reason::kShapeInvalid);
  EXPECT_EQ(reason(4500), reason::kShapeInvalid);
}

TEST(NpyTest, RefusesSizesBeyond63Bits) {
  for (std::string_view shape :
       {"(9223372036854775808,)", "(18446744073709551616,)",
        "(18446744073709551619,)", "(999999999999999999999999999999,)",
        "(4294967296, 4294967296)", "(8589934592, 2147483648)",
        "(1152921504606846976,)",
        "(0, 4611686018427387904, "
        "4611686018427387904)",
        "(9223372036854775808L, 0)"}) {
    EXPECT_EQ(TextReason(Text("'<f8'", "False", shape)), reason::kShapeOverflow)
        << shape;
  }
  const NpyHeader header =
      Accepted(WithPreamble(Text("'|u1'", "False", "(9223372036854775807,)")));
  EXPECT_EQ(header.data_bytes, kNoLimit);
}

TEST(NpyTest, RefusesDtypesThatTensorsLack) {
  const std::map<std::string, std::string_view> reasons = {
      {"'<z9'", reason::kDtypeUnknown},
      {"''", reason::kDtypeUnknown},
      {"'!f4'", reason::kDtypeUnknown},
      {"'|O'", reason::kDtypeObjectForbidden},
      {"'|S3'", reason::kDtypeUnsupported},
      {"'<M8[s]'", reason::kDtypeUnsupported},
      {"'<f16'", reason::kDtypeUnsupported},
      {"[('a', '<f4')]", reason::kDtypeStructuredUnsupported},
      {"[('a', [('b', '|O')], (2,))]", reason::kDtypeStructuredUnsupported},
      {"('<f4', (2,))", reason::kDtypeStructuredUnsupported},
      {"[]", reason::kDtypeStructuredUnsupported},
      {"()", reason::kDtypeStructuredUnsupported}};
  for (const auto& [descr, reason] : reasons) {
    EXPECT_EQ(TextReason(Text(descr)), reason) << descr;
  }
  std::string fields = "[";
  for (int i = 0; i < 400; ++i) {
    fields += "('f" + std::to_string(i) + "', '<f4'), ";
  }
  EXPECT_EQ(TextReason(Text(fields + "]")),
            reason::kDtypeStructuredUnsupported);
}

TEST(NpyTest, FirstMistakeIsTheOneThatCounts) {
  EXPECT_EQ(TextReason(Text("'|O'", "0", "(-1,)x")), reason::kNpyHeaderSyntax);
  EXPECT_EQ(TextReason(Text("'|O'", "0", "(-1,)")), reason::kNpyBadOrder);
  EXPECT_EQ(TextReason(Text("'|O'", "True", "(-1,)")),
            reason::kDtypeObjectForbidden);
  EXPECT_EQ(
      FileReason(WithPreamble(Text("'<f8'", "False", "(2305843009213693952,)")),
                 8),
      reason::kShapeOverflow);
  const std::string declared = WithPreamble(Text("'<f8'", "False", "(2,)"));
  EXPECT_EQ(FileReason(declared, 15), reason::kTensorTooLarge);
  EXPECT_EQ(FileReason(declared, 16), reason::kNpyTruncated);
  EXPECT_EQ(FileReason(declared + std::string(16, '\0'), 16), "accepted");
  EXPECT_EQ(FileReason(declared + std::string(99, '\0'), 15),
            reason::kTensorTooLarge);
}

TEST(NpyTest, SizeBeyondTheLimitIsTold) {
  const std::string file = WithPreamble(Text("'<f8'", "False", "(2,)"));
  const ErrorDetails details =
      GetErrorDetails(ParseNpyFile(file, kNoLimit, 15).status());
  EXPECT_EQ(details.metadata.at("requestedBytes"), "16");
  EXPECT_EQ(details.metadata.at("limitBytes"), "15");
}

TEST(NpyTest, FileNeedsNoElementsToBeJudged) {
  const std::string header =
      WithPreamble(Text("'<f8'", "False", "(65536, 65536)"));
  const auto size = static_cast<std::int64_t>(header.size());
  const std::int64_t data_bytes = std::int64_t{1} << 35;
  const auto reason = [&](std::int64_t file_bytes) {
    return ReasonOf(ParseNpyFile(header, file_bytes, kNoLimit).status());
  };
  EXPECT_EQ(reason(80), reason::kNpyTruncated);
  EXPECT_EQ(reason(size + data_bytes - 1), reason::kNpyTruncated);
  EXPECT_EQ(reason(size + data_bytes), "accepted");
  EXPECT_EQ(reason(size + data_bytes + 1), reason::kTrailingBytes);
  EXPECT_EQ(reason(kNoLimit), reason::kTrailingBytes);
}

TEST(NpyTest, SpellingsOfTheDictDoNotMatter) {
  const std::vector<std::string> texts = {
      "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 0, 2), }\n",
      "{'shape': (3, 0, 2), 'fortran_order': True, 'descr': '>f4'}\n",
      "{\"fortran_order\":True,\"descr\":\">f4\",\"shape\":(3,0,2)}\n",
      " \t\n{ 'shape' : ( 3 ,0, 2 , ) ,'descr':\n'>f4','fortran_order':\tTrue "
      "}\r\n \n",
      "{'descr':'>f4','fortran_order':True,'shape':(3L,0L,2)}\n"};
  for (const std::string& text : texts) {
    for (int version : {1, 2}) {
      const NpyHeader header = Accepted(WithPreamble(text, version));
      EXPECT_EQ(header.type.dtype, DType::kFloat32);
      EXPECT_EQ(header.type.order, ByteOrder::kBig);
      EXPECT_EQ(header.order, Order::kF);
      EXPECT_THAT(header.shape, ElementsAre(3, 0, 2));
      EXPECT_EQ(header.data_bytes, 0);
    }
  }
}

TEST(NpyTest, LongIntegersEndWithVersionTwo) {
  const std::string text = Text("'<f4'", "False", "(3L, 10L)");
  EXPECT_EQ(TextReason(text, 1), "accepted");
  EXPECT_EQ(TextReason(text, 2), "accepted");
  EXPECT_EQ(TextReason(text, 3), reason::kShapeInvalid);
}

TEST(NpyTest, AlignmentOfElementsDoesNotMatter) {
  for (std::size_t padding = 0; padding < 130; ++padding) {
    std::string text = Text();
    text.insert(text.size() - 1, padding, ' ');
    const std::string header = WithPreamble(text);
    EXPECT_EQ(Accepted(header).header_bytes, header.size());
  }
}

TEST(NpyTest, ClientNamesRawBytes) {
  const auto resolve = [](std::string_view descr, std::optional<DType> said) {
    return ResolveNpyDType(*ParseNumpyDescr(descr), said);
  };
  EXPECT_EQ(*resolve("<V2", DType::kBFloat16), DType::kBFloat16);
  EXPECT_EQ(*resolve("|V1", DType::kFloat8E5M2), DType::kFloat8E5M2);
  EXPECT_EQ(*resolve("<f1", DType::kFloat8E4M3FN), DType::kFloat8E4M3FN);
  EXPECT_EQ(*resolve("<f4", DType::kInt8), DType::kFloat32);
  EXPECT_EQ(*resolve("<f4", std::nullopt), DType::kFloat32);
  EXPECT_EQ(GetErrorReason(resolve("|V2", std::nullopt).status()),
            reason::kDtypeAmbiguous);
  EXPECT_THAT(std::string(resolve("|V2", std::nullopt).status().message()),
              HasSubstr("pass dtype=bfloat16"));
  for (DType dtype : AllDTypes()) {
    for (std::string_view descr : {"|V1", "|V2"}) {
      const bool fits = ItemSize(dtype) == (descr == "|V1" ? 1 : 2);
      const absl::StatusOr<DType> resolved = resolve(descr, dtype);
      EXPECT_EQ(ReasonOf(resolved.status()),
                fits ? "accepted" : reason::kDtypeSizeMismatch);
    }
  }
}

TEST(NpyTest, WrittenHeadersReadBack) {
  const std::vector<Dims> shapes = {
      {},         {0},       {5},         {1, 5},
      {3, 0, 2},  {2, 3, 4}, Dims(64, 1), {std::int64_t{1} << 58},
      Dims(58, 2)};
  for (DType dtype : AllDTypes()) {
    for (ByteOrder byte_order : {ByteOrder::kLittle, ByteOrder::kBig}) {
      for (Order order : {Order::kC, Order::kF}) {
        for (const Dims& shape : shapes) {
          const std::string bytes =
              WriteNpyHeader(dtype, byte_order, order, shape);
          EXPECT_EQ(bytes.size() % 64, 0u);
          const NpyHeader header = Accepted(bytes);
          EXPECT_EQ(header.header_bytes, bytes.size());
          EXPECT_EQ(header.shape, shape);
          if (header.order != order) {
            EXPECT_TRUE(IsContiguous(DenseLayout(shape, order)));
          }
          EXPECT_EQ(*ResolveNpyDType(header.type, dtype), dtype);
          if (ItemSize(dtype) > 1) {
            EXPECT_EQ(header.type.order, byte_order);
          }
        }
      }
    }
  }
}

// The lines of a table of tests/data, cut at tabs.
std::vector<std::vector<std::string>> ReadTable(const std::string& name) {
  std::ifstream file(std::string(TENSORD_TEST_DATA) + "/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    rows.push_back(absl::StrSplit(line, '\t'));
  }
  return rows;
}

std::string Unescaped(const std::string& text) {
  std::string bytes;
  EXPECT_TRUE(absl::CUnescape(text, &bytes)) << text;
  return bytes;
}

std::string ShapeText(const Dims& shape) { return absl::StrJoin(shape, ","); }

TEST(NpyTest, ReadsAndWritesWhatNumpySaves) {
  int rows = 0;
  for (const std::vector<std::string>& row : ReadTable("npy_saved.tsv")) {
    ASSERT_EQ(row.size(), 6u);
    const std::string file = Unescaped(row[5]);
    const absl::StatusOr<NpyHeader> header =
        ParseNpyFile(file, static_cast<std::int64_t>(file.size()), kNoLimit);
    ASSERT_TRUE(header.ok()) << header.status();
    ASSERT_TRUE(header->type.dtype.has_value());
    EXPECT_EQ(Name(*header->type.dtype), row[0]);
    EXPECT_EQ(header->type.order == ByteOrder::kBig, row[1] == "big");
    EXPECT_EQ(header->order == Order::kF, row[2] == "F");
    EXPECT_EQ(ShapeText(header->shape), row[4]);
    if (row[3] == "1") {
      EXPECT_EQ(WriteNpyHeader(*header->type.dtype, header->type.order,
                               header->order, header->shape),
                file.substr(0, header->header_bytes));
    }
    ++rows;
  }
  EXPECT_GT(rows, 40);
}

// What NumPy reads and tensord refuses on purpose, with the reasons it gives.
const std::map<std::string, std::set<std::string_view>>& StricterRules() {
  static const auto* const kRules =
      new std::map<std::string, std::set<std::string_view>>{
          // Dtypes that tensors do not have.
          {"unsupported",
           {reason::kDtypeUnsupported, reason::kDtypeObjectForbidden,
            reason::kDtypeStructuredUnsupported}},
          // Names of types, and sizes spelled as no descr is.
          {"spelled", {reason::kDtypeUnknown}},
          // Strings with prefixes or escapes, or made of several.
          {"string", {reason::kNpyHeaderSyntax}},
          // Dimensions that are no plain decimal numbers.
          {"integer", {reason::kShapeInvalid, reason::kNpyHeaderSyntax}},
          // Dimensions that no array has.
          {"big", {reason::kShapeOverflow, reason::kShapeInvalid}},
          {"parenthesised", {reason::kNpyBadOrder}},
          {"dict", {reason::kNpyHeaderSyntax}},
          {"comment", {reason::kNpyHeaderSyntax}},
          {"continuation", {reason::kNpyHeaderSyntax}},
          {"control", {reason::kNpyHeaderSyntax}},
          {"duplicate", {reason::kNpyHeaderSyntax}},
          // No line feed at the end.
          {"unended", {reason::kNpyHeaderSyntax}}};
  return *kRules;
}

void ExpectSameReading(const NpyHeader& header,
                       const std::vector<std::string>& row) {
  const NumpyType numpy = *ParseNumpyDescr(row[2]);
  EXPECT_EQ(header.type.dtype, numpy.dtype) << row[5];
  EXPECT_EQ(header.type.item_size, numpy.item_size) << row[5];
  if (numpy.dtype && numpy.item_size > 1) {
    EXPECT_EQ(header.type.order, numpy.order) << row[5];
  }
  EXPECT_EQ(header.order == Order::kF, row[3] == "F") << row[5];
  EXPECT_EQ(ShapeText(header.shape), row[4]) << row[5];
}

TEST(NpyTest, ReadsHeadersAsNumpyDoesOrRefusesThemOnPurpose) {
  std::map<std::string, int> outcomes;
  for (const std::vector<std::string>& row : ReadTable("npy_verdicts.tsv")) {
    ASSERT_EQ(row.size(), 6u);
    const std::string bytes =
        WithPreamble(Unescaped(row[5]), std::stoi(row[0]));
    const absl::StatusOr<std::optional<NpyHeader>> header =
        ParseNpyHeader(bytes);
    const bool numpy_accepts = row[2] != "refused";
    if (header.ok()) {
      ASSERT_TRUE(header->has_value()) << row[5];
      ASSERT_TRUE(numpy_accepts) << row[5];
      EXPECT_EQ(row[1], "") << row[5];
      ExpectSameReading(**header, row);
      ++outcomes["accepted"];
      continue;
    }
    ++outcomes[numpy_accepts ? "stricter" : "refused"];
    if (!numpy_accepts) continue;
    const std::string reason = GetErrorReason(header.status());
    bool on_purpose = false;
    for (const std::string& rule : std::vector<std::string>(
             absl::StrSplit(row[1], ',', absl::SkipEmpty()))) {
      on_purpose |= StricterRules().at(rule).contains(reason);
    }
    EXPECT_TRUE(on_purpose) << row[5] << " " << header.status();
  }
  EXPECT_GT(outcomes["accepted"], 100);
  EXPECT_GT(outcomes["stricter"], 100);
  EXPECT_GT(outcomes["refused"], 100);
}

}  // namespace
}  // namespace tensord
