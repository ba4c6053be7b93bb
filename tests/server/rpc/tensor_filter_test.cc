#include "server/rpc/tensor_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

StoredTensor MakeStored(std::string id, DType dtype = DType::kFloat32,
                        std::int64_t elements = 1) {
  static std::byte memory[4096];
  StoredTensor stored{
      .id = std::move(id),
      .tensor = Tensor(dtype, DenseLayout({elements}),
                       std::make_shared<const Buffer>(kCpuDevice, memory,
                                                      sizeof memory, nullptr)),
      .etag = {},
      .create_time = absl::FromUnixSeconds(1000),
      .update_time = absl::FromUnixSeconds(2000)};
  return stored;
}

bool Passes(std::string_view filter, const StoredTensor& stored) {
  const auto parsed = TensorFilter::Parse(filter);
  EXPECT_TRUE(parsed.ok()) << filter << ": " << parsed.status();
  return parsed.ok() && parsed->Matches(stored);
}

TEST(TensorFilterTest, EverythingPassesAnEmptyOne) {
  for (const char* text : {"", " ", " \t "}) {
    EXPECT_TRUE(Passes(text, MakeStored("a")));
    EXPECT_TRUE(TensorFilter::Parse(text)->matches_all());
  }
}

TEST(TensorFilterTest, LooksAtNames) {
  const StoredTensor stored = MakeStored("run-1/w");
  EXPECT_TRUE(Passes("name = tensors/run-1/w", stored));
  EXPECT_TRUE(Passes(R"(name="tensors/run-1/w")", stored));
  EXPECT_TRUE(Passes(R"(name = "tensors/run-1/*")", stored));
  EXPECT_TRUE(Passes("name = tensors/*", stored));
  EXPECT_TRUE(Passes("name = tensors/run-1/w*", stored));
  EXPECT_FALSE(Passes("name = tensors/run-1/", stored));
  EXPECT_FALSE(Passes("name = tensors/run-2*", stored));
  EXPECT_FALSE(Passes("name != tensors/run-1*", stored));
  EXPECT_TRUE(Passes("name != tensors/run-1", stored));
}

TEST(TensorFilterTest, KnowsWhatIdsBeginWith) {
  const auto prefix = [](std::string_view text) {
    return TensorFilter::Parse(text)->id_prefix();
  };
  EXPECT_EQ(prefix("dtype = bool"), "");
  EXPECT_EQ(prefix("name = tensors/a/*"), "a/");
  EXPECT_EQ(prefix("name = tensors/a/* AND name = tensors/a/bc"), "a/bc");
  EXPECT_EQ(prefix("name = tensors/a/bc AND name = tensors/a/*"), "a/bc");
  EXPECT_EQ(prefix("name != tensors/a/*"), "");
}

TEST(TensorFilterTest, LooksAtEveryField) {
  StoredTensor stored = MakeStored("a", DType::kBFloat16, 50);
  EXPECT_TRUE(Passes("dtype = bfloat16", stored));
  EXPECT_FALSE(Passes("dtype != \"bfloat16\"", stored));
  EXPECT_TRUE(Passes("device = cpu", stored));
  EXPECT_TRUE(Passes("device != cuda:0", stored));
  EXPECT_TRUE(Passes("requires_grad = false", stored));
  EXPECT_FALSE(Passes("requires_grad = true", stored));
  EXPECT_TRUE(Passes("size_bytes = 100", stored));
  EXPECT_TRUE(Passes("size_bytes < 101 AND size_bytes > 99", stored));
  EXPECT_FALSE(Passes("size_bytes<100", stored));
  EXPECT_TRUE(Passes("size_bytes<=100 AND size_bytes>=100", stored));
  EXPECT_TRUE(Passes("create_time = \"1970-01-01T00:16:40Z\"", stored));
  EXPECT_TRUE(Passes("update_time > \"1970-01-01T00:16:40+00:00\"", stored));
  EXPECT_TRUE(Passes("expire_time > \"9999-01-01T00:00:00Z\"", stored));
  stored.expire_time = absl::FromUnixSeconds(3000);
  EXPECT_TRUE(Passes("expire_time <= \"1970-01-01T00:50:00.000Z\"", stored));
  stored.lease =
      std::make_shared<Lease>(absl::Seconds(1000), absl::FromUnixSeconds(9000));
  EXPECT_TRUE(Passes("expire_time = \"1970-01-01T02:46:40Z\"", stored));
}

TEST(TensorFilterTest, AllTermsHaveToHold) {
  const StoredTensor stored = MakeStored("a");
  EXPECT_TRUE(
      Passes("dtype = float32 AND size_bytes = 4 AND device=cpu", stored));
  for (const char* text :
       {"dtype = bool AND size_bytes = 4", "size_bytes = 4 AND dtype = bool"}) {
    EXPECT_FALSE(Passes(text, stored));
  }
}

TEST(TensorFilterTest, RefusesEverythingElse) {
  using std::string_literals::operator""s;
  for (const std::string& text :
       {"a"s,
        "name"s,
        "name ="s,
        "name = "s,
        "name = \""s,
        "name = \"\""s,
        "name = a"s,
        "name = tensors"s,
        "name = tensors/*a"s,
        "name = tensors/**"s,
        "name < tensors/a"s,
        "name == tensors/a"s,
        "name : tensors/a"s,
        "name = tensors/a name = tensors/b"s,
        "name = tensors/a OR name = tensors/b"s,
        "name = tensors/a and name = tensors/b"s,
        "name = tensors/a AND"s,
        "name = tensors/a AND "s,
        "name = tensors/a ANDname = tensors/b"s,
        "name = \"tensors/a\"AND name = tensors/b"s,
        "AND name = tensors/a"s,
        "NOT name = tensors/a"s,
        "(name = tensors/a)"s,
        "shape = 3"s,
        "Name = tensors/a"s,
        "dtype = float31"s,
        "dtype > float32"s,
        "device = gpu"s,
        "requires_grad = 1"s,
        "requires_grad = TRUE"s,
        "size_bytes = 1.5"s,
        "size_bytes = a"s,
        "size_bytes = 9223372036854775808"s,
        "create_time > 1970-01-01T00:00:00Z"s,
        "create_time > \"1970-01-01\""s,
        "create_time > \"infinite-future\""s,
        "create_time > \" 1970-01-01T00:00:00Z\""s,
        "create_time > \"1970-13-01T00:00:00Z\""s,
        "size_bytes = 1\0"s,
        "\0"s,
        "\xff\xfe"s,
        "size_bytes = 1" + std::string(TensorFilter::kMaxBytes, ' ')}) {
    const absl::Status status = TensorFilter::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(GetErrorReason(status), reason::kFilterInvalid) << text;
  }
}

TEST(TensorFilterTest, SaysWhereAndWhy) {
  EXPECT_EQ(TensorFilter::Parse("dtype = float32 AND size_bytes = x y")
                .status()
                .message(),
            "the filter can not be understood at byte 33, 'x y': expected a "
            "number");
}

// Whatever comes is a filter that can be used, or refused with its reason.
TEST(TensorFilterTest, TakesAnyBytes) {
  std::mt19937 random(1);
  const std::vector<std::string> words = {"name",
                                          "dtype",
                                          "size_bytes",
                                          "create_time",
                                          "=",
                                          "!=",
                                          "<",
                                          "<=",
                                          ">",
                                          "AND",
                                          " ",
                                          "\"",
                                          "\t",
                                          "tensors/a",
                                          "*",
                                          "true",
                                          "float32",
                                          "cpu",
                                          "-5",
                                          "\0",
                                          "\xff",
                                          "7",
                                          "\"1970-01-01T00:00:00Z\"",
                                          "(",
                                          "\\"};
  const StoredTensor stored = MakeStored("a");
  int accepted = 0;
  for (int i = 0; i < 200000; ++i) {
    std::string text;
    const std::size_t count = random() % 12;
    for (std::size_t j = 0; j < count; ++j) {
      text += words[random() % words.size()];
      if (random() % 2 == 0) text += ' ';
    }
    if (!text.empty() && random() % 4 == 0) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const auto parsed = TensorFilter::Parse(text);
    if (parsed.ok()) {
      parsed->Matches(stored);
      ++accepted;
    } else {
      EXPECT_EQ(GetErrorReason(parsed.status()), reason::kFilterInvalid);
    }
  }
  EXPECT_GT(accepted, 100);
}

TEST(TensorOrderTest, OrdersByEveryField) {
  StoredTensor a = MakeStored("a", DType::kUInt8, 3);
  StoredTensor b = MakeStored("b", DType::kUInt8, 1);
  StoredTensor c = MakeStored("c", DType::kUInt8, 2);
  a.create_time = absl::FromUnixSeconds(2);
  b.create_time = absl::FromUnixSeconds(3);
  c.create_time = absl::FromUnixSeconds(1);
  const auto sorted = [&](std::string_view text) {
    const auto order = TensorOrder::Parse(text);
    EXPECT_TRUE(order.ok()) << text;
    std::vector<const StoredTensor*> all = {&c, &a, &b};
    std::sort(all.begin(), all.end(), [&](const auto* x, const auto* y) {
      return order->Before(order->PlaceOf(*x), order->PlaceOf(*y));
    });
    return absl::StrCat(all[0]->id, all[1]->id, all[2]->id);
  };
  EXPECT_EQ(sorted(""), "abc");
  EXPECT_EQ(sorted("name"), "abc");
  EXPECT_EQ(sorted("name desc"), "cba");
  EXPECT_EQ(sorted("create_time"), "cab");
  EXPECT_EQ(sorted("create_time desc"), "bac");
  EXPECT_EQ(sorted("size_bytes"), "bca");
  EXPECT_EQ(sorted("size_bytes desc"), "acb");
  EXPECT_EQ(sorted("update_time"), "abc");
  EXPECT_EQ(sorted("update_time desc"), "abc") << "ties are by name";
}

TEST(TensorOrderTest, RefusesEverythingElse) {
  for (const char* text :
       {"id", "name asc", "name  desc", " name", "name,size_bytes", "desc",
        " desc", "Name", "size_bytes DESC"}) {
    EXPECT_EQ(GetErrorReason(TensorOrder::Parse(text).status()),
              reason::kOrderByInvalid)
        << text;
  }
}

}  // namespace
}  // namespace tensord
