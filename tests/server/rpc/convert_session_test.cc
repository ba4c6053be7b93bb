#include "server/rpc/convert_session.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cast/cast.h"
#include "core/error.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

// What a session answered.
struct Result {
  absl::Status status;
  std::optional<v1::ArrayHeader> header;
  std::string data;
  std::vector<std::size_t> chunks;
};

class ConvertSessionTest : public testing::Test {
 protected:
  static v1::ConvertDeclaration Declaration(v1::Dtype from, v1::Dtype to,
                                            std::int64_t count) {
    v1::ConvertDeclaration declaration;
    v1::ArrayDeclaration& array = *declaration.mutable_array();
    *array.mutable_raw() = MakeSpec(from, {count});
    array.set_total_bytes(
        count * static_cast<std::int64_t>(ItemSize(*ParseDType(from))));
    declaration.set_dtype(to);
    return declaration;
  }

  // Sends `data` in chunks of `step` bytes, the last with finish.
  Result Convert(const v1::ConvertDeclaration& declaration,
                 std::string_view data, std::size_t step) {
    ConvertSession session(test_.context);
    Result result;
    Envelope envelope;
    envelope.payload = Envelope::Payload::kDeclaration;
    result.status = Step(session, envelope, declaration, result);
    envelope.payload = Envelope::Payload::kChunk;
    while (result.status.ok() && !data.empty()) {
      envelope.chunk.data = {data.substr(0, step)};
      envelope.chunk.data_bytes = envelope.chunk.data[0].size();
      data.remove_prefix(envelope.chunk.data_bytes);
      result.status = Step(session, envelope, {}, result);
      envelope.chunk.offset +=
          static_cast<std::int64_t>(envelope.chunk.data_bytes);
    }
    envelope = {};
    envelope.finish = true;
    if (result.status.ok()) result.status = Step(session, envelope, {}, result);
    if (result.status.ok()) result.status = session.End();
    return result;
  }

  TestContext test_;

 private:
  static absl::Status Step(ConvertSession& session, const Envelope& envelope,
                           const v1::ConvertDeclaration& declaration,
                           Result& result) {
    absl::Status status = session.Take(envelope, declaration);
    while (status.ok()) {
      const auto output = session.Next();
      if (!output.ok()) return output.status();
      if (std::holds_alternative<std::monostate>(*output)) break;
      Keep(*output, result);
    }
    return status;
  }

  static void Keep(const ConvertOutput& output, Result& result) {
    if (const auto* header = std::get_if<v1::ArrayHeader>(&output)) {
      EXPECT_FALSE(result.header.has_value());
      result.header = *header;
      return;
    }
    EXPECT_TRUE(result.header.has_value());
    const auto& chunk = std::get<ConvertedChunk>(output);
    EXPECT_EQ(chunk.offset, static_cast<std::int64_t>(result.data.size()));
    EXPECT_GT(chunk.size_bytes, 0U);
    result.data.append(reinterpret_cast<const char*>(chunk.data.get()),
                       chunk.size_bytes);
    result.chunks.push_back(chunk.size_bytes);
  }
};

TEST_F(ConvertSessionTest, ConvertsAsCastsDoWhateverTheChunks) {
  const std::string data =
      Bytes<double>({0.5, -1e300, 3, 1e-40, -0.0, 7, 8, 9, 10, 11});
  for (const DType to : AllDTypes()) {
    std::string expected(10 * ItemSize(to), '\0');
    CastPacked(DType::kFloat64, reinterpret_cast<const std::byte*>(data.data()),
               to, reinterpret_cast<std::byte*>(expected.data()), 10,
               Overflow::kTorch, nullptr);
    for (std::size_t step = 1; step <= data.size(); step += 3) {
      const Result result =
          Convert(Declaration(v1::DTYPE_FLOAT64, ToProto(to), 10), data, step);
      ASSERT_TRUE(result.status.ok()) << result.status;
      EXPECT_EQ(result.data, expected);
      EXPECT_EQ(result.header->total_bytes(),
                static_cast<std::int64_t>(expected.size()));
      EXPECT_EQ(result.header->spec().dtype(), ToProto(to));
    }
  }
}

TEST_F(ConvertSessionTest, BoundsChunksHoweverMuchTheyGrow) {
  test_.context.limits.max_chunk_bytes = 1000;
  const std::string data(5000, '\1');
  const Result result = Convert(
      Declaration(v1::DTYPE_BOOL, v1::DTYPE_COMPLEX128, 5000), data, 1000);
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.data.size(), 80000U);
  for (const std::size_t size : result.chunks) EXPECT_LE(size, 1000U);
  EXPECT_LE(test_.chunk_arena.stats().used_bytes, 1000U);
}

TEST_F(ConvertSessionTest, ReadsAndWritesFiles) {
  const std::string file = NpyFile(100);
  v1::ConvertDeclaration declaration;
  declaration.mutable_array()->mutable_npy();
  declaration.mutable_array()->set_total_bytes(
      static_cast<std::int64_t>(file.size()));
  declaration.set_encoding(v1::ENCODING_NPY);
  for (std::size_t step = 1; step <= file.size(); step += 11) {
    const Result result = Convert(declaration, file, step);
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.data, file);
    EXPECT_EQ(result.header->encoding(), v1::ENCODING_NPY);
    EXPECT_EQ(result.header->total_bytes(),
              static_cast<std::int64_t>(file.size()));
  }
}

TEST_F(ConvertSessionTest, SwapsBytesAndKeepsTheOrder) {
  v1::ConvertDeclaration declaration =
      Declaration(v1::DTYPE_INT16, v1::DTYPE_UNSPECIFIED, 6);
  v1::ArraySpec& spec = *declaration.mutable_array()->mutable_raw();
  spec = MakeSpec(v1::DTYPE_INT16, {2, 3});
  spec.set_order(v1::ORDER_F);
  declaration.set_byte_order(v1::BYTE_ORDER_BIG_ENDIAN);
  const Result result =
      Convert(declaration, Bytes<std::int16_t>({1, 2, 3, 4, 5, 6}), 5);
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.data, std::string("\0\1\0\2\0\3\0\4\0\5\0\6", 12));
  EXPECT_EQ(result.header->spec().order(), v1::ORDER_F);
  EXPECT_EQ(result.header->spec().byte_order(), v1::BYTE_ORDER_BIG_ENDIAN);
}

TEST_F(ConvertSessionTest, RefusesFilesThatCanNotSayTheOrder) {
  v1::ConvertDeclaration declaration;
  v1::ArraySpec& spec = *declaration.mutable_array()->mutable_raw();
  spec = MakeSpec(v1::DTYPE_INT8, {2, 3, 4});
  for (const std::int64_t stride : {3, 1, 6}) spec.add_strides(stride);
  declaration.mutable_array()->set_total_bytes(24);
  EXPECT_TRUE(Convert(declaration, std::string(24, 'x'), 24).status.ok());
  declaration.set_encoding(v1::ENCODING_NPY);
  EXPECT_EQ(
      GetErrorReason(Convert(declaration, std::string(24, 'x'), 24).status),
      reason::kOrderInvalid);
}

TEST_F(ConvertSessionTest, GivesTheVerdictAtTheEnd) {
  v1::ConvertDeclaration declaration =
      Declaration(v1::DTYPE_INT16, v1::DTYPE_INT8, 4);
  declaration.set_overflow(v1::OVERFLOW_POLICY_ERROR);
  const Result result =
      Convert(declaration, Bytes<std::int16_t>({1, 2, 300, 400}), 2);
  EXPECT_EQ(result.data.size(), 4U);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(GetErrorDetails(result.status).metadata.at("firstIndex"), "2");
}

TEST_F(ConvertSessionTest, RefusesBadDeclarations) {
  v1::ConvertDeclaration declaration =
      Declaration(v1::DTYPE_INT16, v1::DTYPE_INT8, 4);
  declaration.mutable_array()->set_total_bytes(9);
  EXPECT_EQ(GetErrorReason(Convert(declaration, "", 1).status),
            reason::kSizeMismatch);
  declaration.set_dtype(static_cast<v1::Dtype>(50));
  EXPECT_EQ(GetErrorReason(Convert(declaration, "", 1).status),
            reason::kDtypeUnknown);
  EXPECT_EQ(GetErrorReason(Convert({}, "", 1).status), reason::kArrayMissing);
  EXPECT_EQ(
      GetErrorReason(
          Convert(Declaration(v1::DTYPE_INT16, v1::DTYPE_INT8, 4), "abc", 1)
              .status),
      reason::kUploadIncomplete);
}

}  // namespace
}  // namespace tensord
