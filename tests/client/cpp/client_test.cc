#include "tensord/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/cast/cast.h"
#include "core/error.h"
#include "tests/client/cpp/fake_server.h"
#include "tests/client/cpp/real_server.h"
#include "tests/client/cpp/test_arrays.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::Ge;

// Fewer bytes than this go in one message, more in a stream (client_impl.h).
constexpr std::int64_t kUnaryBytes = 64 << 10;

// What a cast of all elements gives.
Bytes CastBytes(const Bytes& packed, DType from, DType to, Overflow overflow) {
  const std::size_t count = packed.size() / ItemSize(from);
  Bytes result(count * ItemSize(to));
  CastPacked(from, packed.data(), to, result.data(), count, overflow, nullptr);
  return result;
}

// A shape whose elements take more than one message and less than three.
Dims StreamedShape(Random& random, DType dtype) {
  const std::int64_t elements =
      2 * kUnaryBytes / static_cast<std::int64_t>(ItemSize(dtype));
  return {Between(random, 2, 5), elements / 7 + Between(random, 0, 9), 3};
}

Bytes NpyFile(const std::string& descr, const Dims& shape, const Bytes& data) {
  std::string header = absl::StrCat("{'descr': '", descr,
                                    "', 'fortran_order': False, 'shape': (");
  for (const std::int64_t size : shape) absl::StrAppend(&header, size, ", ");
  header += "), }";
  header.resize((header.size() + 10) / 64 * 64 + 63 - 10, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  Bytes bytes(file.size() + data.size());
  std::memcpy(bytes.data(), file.data(), file.size());
  std::copy(data.begin(), data.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(file.size()));
  return bytes;
}

class ClientTest : public RealServerTest {
 protected:
  // Of target().
  int port() {
    int port = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(target().substr(target().rfind(':') + 1), &port));
    return port;
  }

  // Stores and reads the array, and expects the same elements and strides where
  // they are kept.
  void RoundTrip(const TestArray& array) {
    const auto tensor = client().Create(array.view);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->info().shape, array.view.shape);
    EXPECT_EQ(tensor->info().dtype, array.view.dtype);
    const auto read = tensor->Read();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read->data.get()) % 64, 0u);
    EXPECT_EQ(read->layout.byte_strides,
              ConvertLayout(array.view, array.view.dtype).byte_strides);
    ASSERT_TRUE(Packed(read->layout, read->data.get()) == array.Packed())
        << Name(array.view.dtype) << ShapeString(array.view.shape);
  }
};

class ClientLayoutTest : public ClientTest,
                         public ::testing::WithParamInterface<Lie> {};

TEST_P(ClientLayoutTest, SmallArraysArriveIntact) {
  Random random(1);
  for (const DType dtype : AllDTypes()) {
    for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
      RoundTrip(MakeArray(random, dtype, RandomShape(random, 5, 1000),
                          GetParam(), order));
    }
  }
}

TEST_P(ClientLayoutTest, StreamedArraysArriveIntact) {
  Random random(2);
  for (const DType dtype : AllDTypes()) {
    const ByteOrder order =
        Between(random, 0, 1) == 1 ? ByteOrder::kBig : ByteOrder::kLittle;
    RoundTrip(MakeArray(random, dtype, StreamedShape(random, dtype), GetParam(),
                        order));
  }
}

TEST_P(ClientLayoutTest, ArraysOfManyChunksArriveIntact) {
  Random random(3);
  RoundTrip(MakeArray(random, DType::kInt16, {301, 7, 811}, GetParam()));
}

TEST_P(ClientLayoutTest, ConversionsGiveWhatCastsGive) {
  Random random(4);
  for (int i = 0; i < 40; ++i) {
    const DType from = AllDTypes()[i % kDTypeCount];
    const DType to = AllDTypes()[random() % kDTypeCount];
    const TestArray array = MakeArray(
        random, from,
        i % 4 == 0 ? StreamedShape(random, from) : RandomShape(random, 4, 1000),
        GetParam(), random() % 2 ? ByteOrder::kBig : ByteOrder::kLittle);
    const ArrayLayout layout = ConvertLayout(array.view, to);
    Bytes result(layout.size_bytes);
    const absl::Status status = client().Convert(
        array.view, to, Overflow::kTorch, result.data(), result.size());
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(Packed(layout, result.data()) ==
                CastBytes(array.Packed(), from, to, Overflow::kTorch))
        << Name(from) << " " << Name(to);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ClientLayoutTest, ::testing::ValuesIn(kAllLies),
                         ::testing::PrintToStringParamName());

TEST_F(ClientTest, SizesAroundTheLimitOfOneMessageArriveIntact) {
  Random random(5);
  for (const std::int64_t size :
       {std::int64_t{0}, std::int64_t{1}, kUnaryBytes - 1, kUnaryBytes,
        kUnaryBytes + 1, std::int64_t{1} << 20, (std::int64_t{1} << 20) + 1}) {
    RoundTrip(MakeArray(random, DType::kUInt8, {size}, Lie::kC));
  }
}

TEST_F(ClientTest, ArraysArriveIntactWithChecksums) {
  Random random(15);
  Restart(Options(), {.timeout = absl::Seconds(10), .checksums = true});
  for (const Lie lie : kAllLies) {
    const TestArray array =
        MakeArray(random, DType::kFloat32, {700, 3, 901}, lie);
    RoundTrip(array);
    Bytes result(ConvertLayout(array.view, DType::kInt8).size_bytes);
    const absl::Status status =
        client().Convert(array.view, DType::kInt8, Overflow::kTorch,
                         result.data(), result.size());
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_F(ClientTest, CastsWhileCreatingAndReading) {
  Random random(6);
  for (const std::int64_t elements : {std::int64_t{100}, kUnaryBytes}) {
    const TestArray array =
        MakeArray(random, DType::kInt32, {elements}, Lie::kC);
    const auto tensor =
        client().Create(array.view, {.dtype = DType::kBFloat16});
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const Bytes stored = CastBytes(array.Packed(), DType::kInt32,
                                   DType::kBFloat16, Overflow::kTorch);
    EXPECT_EQ(tensor->info().dtype, DType::kBFloat16);
    const auto read = tensor->Read({.dtype = DType::kFloat64});
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(
        Packed(read->layout, read->data.get()) ==
        CastBytes(stored, DType::kBFloat16, DType::kFloat64, Overflow::kTorch));
  }
}

TEST_F(ClientTest, TheOverflowPolicyIsTheCallers) {
  const std::vector<float> values = {1, 300, -5};
  const ArrayView array = {
      .data = values.data(), .dtype = DType::kFloat32, .shape = {3}};
  std::vector<std::uint8_t> result(3);
  const auto convert = [&](Overflow overflow) {
    return client().Convert(array, DType::kUInt8, overflow, result.data(), 3);
  };
  ASSERT_TRUE(convert(Overflow::kSaturate).ok());
  EXPECT_THAT(result, ElementsAre(1, 255, 0));
  ASSERT_TRUE(convert(Overflow::kTorch).ok());
  EXPECT_THAT(result, ElementsAre(1, 44, 251));
  const absl::Status status = convert(Overflow::kError);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kCastValueOutOfRange);
  EXPECT_EQ(details.metadata.at("firstIndex"), "1");
  EXPECT_EQ(details.metadata.at("count"), "2");
  const auto created = client().Create(
      array, {.dtype = DType::kUInt8, .overflow = Overflow::kError});
  EXPECT_EQ(GetErrorReason(created.status()), reason::kCastValueOutOfRange);
}

TEST_F(ClientTest, ReportsConversionsToWhoAsks) {
  // In one message, and in a stream.
  for (const std::int64_t count : {std::int64_t{8}, kUnaryBytes}) {
    std::vector<float> values(static_cast<std::size_t>(count), 1.5F);
    values[3] = 300;
    values[5] = std::nanf("");
    const ArrayView array = {
        .data = values.data(), .dtype = DType::kFloat32, .shape = {count}};
    const auto quiet = client().Create(array, {.dtype = DType::kUInt8});
    ASSERT_TRUE(quiet.ok()) << quiet.status();
    EXPECT_EQ(quiet->conversion_report(), std::nullopt);
    const auto told = client().Create(
        array, {.dtype = DType::kUInt8, .report_conversion = true});
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(told->conversion_report(),
              (ConversionReport{count - 2, 1, 1, 256.0}));
    const auto again = client().Get(told->info().id);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->conversion_report(), std::nullopt);
  }
}

TEST_F(ClientTest, ConvertChecksTheDestination) {
  const float value = 1;
  const ArrayView array = {
      .data = &value, .dtype = DType::kFloat32, .shape = {1}};
  double result = 0;
  const absl::Status status = client().Convert(
      array, DType::kFloat64, Overflow::kTorch, &result, sizeof(float));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorReason(status), reason::kSizeMismatch);
}

TEST_F(ClientTest, TakesNpyFiles) {
  Random random(7);
  for (const Dims& shape : {Dims{}, Dims{2, 3}, Dims{500, 300}}) {
    const TestArray array = MakeArray(random, DType::kInt16, shape, Lie::kC);
    const Bytes file = NpyFile("<i2", shape, array.memory);
    const auto tensor = client().CreateFromNpy(file);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->info().shape, shape);
    EXPECT_TRUE(tensor->owned());
    const auto read = tensor->Read();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(Packed(read->layout, read->data.get()) == array.memory);
  }
  EXPECT_EQ(GetErrorReason(client().CreateFromNpy({}).status()),
            reason::kNpyTruncated);
}

TEST_F(ClientTest, RefusalsCarryReasons) {
  const std::vector<float> data(6);
  const ArrayView array = {
      .data = data.data(), .dtype = DType::kFloat32, .shape = {6}};
  const auto reason_for = [&](const CreateOptions& options) {
    return GetErrorReason(client().Create(array, options).status());
  };
  ASSERT_TRUE(client().Create(array, {.id = "taken"}).ok());
  EXPECT_EQ(reason_for({.id = "taken"}), reason::kTensorExists);
  EXPECT_EQ(reason_for({.id = "a//b"}), reason::kNameInvalid);
  EXPECT_EQ(reason_for({.id = "\xff\xfe"}), reason::kNameInvalid);
  EXPECT_EQ(reason_for({.device = "gpu"}), reason::kDeviceInvalid);
  EXPECT_EQ(reason_for({.device = "\xff"}), reason::kDeviceInvalid);
  EXPECT_EQ(reason_for({.dtype = DType::kInt8, .requires_grad = true}),
            reason::kGradDtype);
  EXPECT_EQ(reason_for({.ttl = absl::ZeroDuration()}), reason::kTtlInvalid);
  EXPECT_EQ(reason_for({.ttl = absl::InfiniteDuration()}), reason::kTtlInvalid);
  const absl::Status missing = client().Get("nothing").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetErrorReason(missing), reason::kTensorNotFound);
  EXPECT_EQ(GetErrorReason(client().Get("").status()), reason::kNameInvalid);
}

TEST_F(ClientTest, WhatDoesNotFitIsRefusedAtOnce) {
  ServerOptions options = Options();
  options.memory_limit_bytes = 8 << 20;
  options.max_tensor_bytes = 8 << 20;
  Restart(options);
  const Bytes data(64 << 20);
  const auto create = [&](std::int64_t size) {
    return client().Create(
        {.data = data.data(), .dtype = DType::kUInt8, .shape = {size}});
  };
  const auto held = create(5 << 20);
  ASSERT_TRUE(held.ok()) << held.status();
  const absl::Time start = absl::Now();
  const absl::Status never = create(64 << 20).status();
  EXPECT_EQ(never.code(), absl::StatusCode::kInvalidArgument) << never;
  EXPECT_EQ(GetErrorReason(never), reason::kTensorTooLarge);
  const absl::Status full = create(6 << 20).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_EQ(GetErrorReason(full), reason::kMemoryExhausted);
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  EXPECT_TRUE(create(1 << 20).ok());
}

TEST_F(ClientTest, ListsAndDeletes) {
  const std::uint8_t value = 7;
  const ArrayView array = {.data = &value, .dtype = DType::kUInt8, .shape = {}};
  for (const char* id : {"b", "a", "c"}) {
    ASSERT_TRUE(client().Create(array, {.id = id}).ok());
  }
  auto page = client().List(2);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->tensors.size(), 2u);
  EXPECT_EQ(page->tensors[0].id, "a");
  EXPECT_EQ(page->tensors[1].id, "b");
  page = client().List(2, page->next_page_token);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->tensors.size(), 1u);
  EXPECT_EQ(page->tensors[0].id, "c");
  EXPECT_EQ(page->next_page_token, "");

  EXPECT_TRUE(client().Delete("b").ok());
  EXPECT_EQ(client().Delete("b").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(client().Delete("b", /*allow_missing=*/true).ok());
  EXPECT_EQ(GetErrorReason(client().List(-1).status()),
            reason::kPageSizeInvalid);
  EXPECT_EQ(GetErrorReason(client().List(1, "nonsense").status()),
            reason::kPageTokenInvalid);
  EXPECT_EQ(GetErrorReason(client().List(1, "\xff").status()),
            reason::kPageTokenInvalid);
}

TEST_F(ClientTest, ListsWithFilterAndOrder) {
  const std::vector<std::uint8_t> values(3);
  for (const std::int64_t size : {3, 1, 2}) {
    ASSERT_TRUE(client()
                    .Create({.data = values.data(),
                             .dtype = DType::kUInt8,
                             .shape = {size}},
                            {.id = absl::StrCat("x/", size)})
                    .ok());
  }
  const ListOptions options{.filter = "name = tensors/x/* AND size_bytes > 1",
                            .order_by = "size_bytes desc"};
  auto page = client().List(1, {}, options);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->tensors.size(), 1U);
  EXPECT_EQ(page->tensors[0].id, "x/3");
  EXPECT_EQ(GetErrorReason(client().List(1, page->next_page_token).status()),
            reason::kPageTokenInvalid);
  page = client().List(1, page->next_page_token, options);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->tensors.size(), 1U);
  EXPECT_EQ(page->tensors[0].id, "x/2");
  EXPECT_EQ(page->next_page_token, "");
  for (const char* text : {"x", "\xff"}) {
    EXPECT_EQ(GetErrorReason(client().List(1, {}, {.filter = text}).status()),
              reason::kFilterInvalid);
    EXPECT_EQ(GetErrorReason(client().List(1, {}, {.order_by = text}).status()),
              reason::kOrderByInvalid);
  }
}

TEST_F(ClientTest, ReplacesAndLeases) {
  // As one message, and as a stream.
  for (const std::int64_t size : {1, 1 << 20}) {
    const std::vector<std::uint8_t> values(static_cast<std::size_t>(size));
    const ArrayView array = {
        .data = values.data(), .dtype = DType::kUInt8, .shape = {size}};
    const auto first =
        client().Create(array, {.id = "a", .lease = absl::Hours(1)});
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(first->info().lease, absl::Hours(1));
    EXPECT_EQ(client().Create(array, {.id = "a"}).status().code(),
              absl::StatusCode::kAlreadyExists);
    const auto second = client().Create(array, {.id = "a", .replace = true});
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(second->info().lease, std::nullopt);
    const CreateOptions outdated{.id = "a", .if_match = first->info().etag};
    EXPECT_EQ(GetErrorReason(client().Create(array, outdated).status()),
              reason::kEtagMismatch);
    const auto third =
        client().Create(array, {.id = "a", .if_match = second->info().etag});
    ASSERT_TRUE(third.ok()) << third.status();
    EXPECT_EQ(
        GetErrorReason(
            client().Create(array, {.id = "a", .if_match = "\xff"}).status()),
        reason::kEtagMismatch);
    EXPECT_EQ(
        GetErrorReason(client().Create(array, {.replace = true}).status()),
        reason::kNameInvalid);
    EXPECT_EQ(GetErrorReason(client()
                                 .Create(array, {.ttl = absl::Hours(1),
                                                 .lease = absl::Hours(1)})
                                 .status()),
              reason::kLeaseInvalid);
    ASSERT_TRUE(client().Delete("a").ok());
  }
}

TEST_F(ClientTest, DescribesTheServer) {
  const auto info = client().GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->dtypes.size(), kDTypeCount);
  EXPECT_GT(info->max_chunk_bytes, 0);
  EXPECT_GT(info->max_message_bytes, info->max_chunk_bytes);
  EXPECT_EQ(info->max_dimensions, 64);
  EXPECT_LT(info->start_time, absl::Now() + absl::Seconds(1));
  const auto devices = client().Devices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_THAT(devices->size(), Ge(1u));
  EXPECT_EQ(devices->front().name, "cpu");
}

TEST_F(ClientTest, SpeaksOverUnixSockets) {
  const TempFolder folder;
  Restart(Options("unix:" + (folder / "a socket").string()));
  Random random(8);
  RoundTrip(MakeArray(random, DType::kFloat32, {1000, 300}, Lie::kPermuted));
  Stop();
}

// A server that wants certificates of its clients' authority, and what a client
// needs for it.
class ClientTlsTest : public ClientTest {
 protected:
  ClientTlsTest() {
    ServerOptions options = Options();
    options.tls_cert_file = File("server.pem");
    options.tls_key_file = File("server.key");
    options.tls_client_ca_file = File("ca.pem");
    const ClientOptions client_options = {.timeout = absl::Seconds(10),
                                          .tls_ca_file = File("ca.pem"),
                                          .tls_cert_file = File("client.pem"),
                                          .tls_key_file = File("client.key")};
    Restart(options, client_options);
  }

  static std::string File(const std::string& name) {
    return absl::StrCat(TENSORD_TLS_FILES, "/", name);
  }
};

TEST_F(ClientTlsTest, ArraysArriveIntact) {
  Random random(9);
  RoundTrip(MakeArray(random, DType::kFloat32, {600, 700}, Lie::kPermuted));
  RoundTrip(MakeArray(random, DType::kFloat32, {600, 700}, Lie::kStepped));
}

TEST_F(ClientTlsTest, StrangersAreUnavailable) {
  const auto connect = [&](const ClientOptions& options) {
    return Client::Connect(target(), options).status().code();
  };
  ClientOptions options = {.timeout = absl::Seconds(10),
                           .tls_ca_file = File("ca.pem"),
                           .tls_cert_file = File("stranger.pem"),
                           .tls_key_file = File("stranger.key")};
  EXPECT_EQ(connect(options), absl::StatusCode::kUnavailable);
  // The system's authorities do not vouch for the server.
  EXPECT_EQ(connect({.timeout = absl::Seconds(10), .tls = true}),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(connect({.timeout = absl::Seconds(10)}),
            absl::StatusCode::kUnavailable);
}

// A server that knows one token, and a client that has it.
class ClientTokenTest : public ClientTest {
 protected:
  ClientTokenTest() {
    std::ofstream(tokens_)
        << "sha256:"
           "210ec2276e3264f137a74201f0f17292150a6fcc96f6c9cb9f69a4610b50d9ab"
           " alice read,write\n";
    ServerOptions options = Options();
    options.auth_tokens_file = tokens_;
    Restart(options, options_);
  }

  const TempFolder folder_;
  const std::string tokens_ = folder_ / "tokens";
  const ClientOptions options_ = {.timeout = absl::Seconds(30),
                                  .token = "dGVuc29yZA=="};
};

TEST_F(ClientTokenTest, EveryCallSaysWhoCalls) {
  Random random(10);
  RoundTrip(MakeArray(random, DType::kFloat32, {10}, Lie::kC));
  // Over several connections.
  RoundTrip(MakeArray(random, DType::kFloat32, {2100, 1000}, Lie::kC));
  const TestArray small = MakeArray(random, DType::kInt16, {3}, Lie::kC);
  const auto batch = client().CreateBatch({small.view});
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_TRUE(batch->front().ok()) << batch->front().status();
  const TestArray source = MakeArray(random, DType::kInt16, {9}, Lie::kC);
  Bytes converted(9 * sizeof(std::int32_t));
  EXPECT_TRUE(client()
                  .Convert(source.view, DType::kInt32, Overflow::kTorch,
                           converted.data(), converted.size())
                  .ok());
}

TEST_F(ClientTokenTest, OthersAreUnauthenticated) {
  const auto refusal = [&](const std::string& token) {
    const absl::Status status =
        Client::Connect(target(), {.token = token}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    return GetErrorReason(status);
  };
  EXPECT_EQ(refusal(""), reason::kTokenMissing);
  EXPECT_EQ(refusal("dGVuc29yZA"), reason::kTokenInvalid);
}

// The server does not tell such an upload from another tenant's.
TEST_F(ClientTokenTest, UploadsBeginAnewWhereNothingCame) {
  FlakyLine line(port());
  const auto client = Client::Connect(line.target(), options_);
  ASSERT_TRUE(client.ok()) << client.status();
  Random random(11);
  const TestArray array =
      MakeArray(random, DType::kFloat32, {500, 1000}, Lie::kC);
  int cuts = 0;
  for (const std::int64_t bytes : {1, 200, 2000, 500'000}) {
    line.FailAfter(bytes, FlakyLine::Fault::kCutOnce);
    const auto tensor = client->Create(array.view);
    ASSERT_TRUE(tensor.ok()) << bytes << ": " << tensor.status();
    EXPECT_EQ(line.cuts(), ++cuts);
  }
}

TEST_F(ClientTest, SaysThatTheServerIsGone) {
  Stop();
  EXPECT_EQ(client().Get("a").status().code(), absl::StatusCode::kUnavailable);
  const Bytes data(1 << 20);
  EXPECT_EQ(
      client()
          .Create(
              {.data = data.data(), .dtype = DType::kUInt8, .shape = {1 << 20}})
          .status()
          .code(),
      absl::StatusCode::kUnavailable);
}

// Transfers over a line that is cut again and again end as if it were not.
TEST_F(ClientTest, TransfersGoOnAfterCuts) {
  Random random(16);
  FlakyLine line(port());
  const auto flaky = Client::Connect(line.target());
  ASSERT_TRUE(flaky.ok()) << flaky.status();
  for (const Lie lie : {Lie::kC, Lie::kStepped, Lie::kBroadcast}) {
    const TestArray array =
        MakeArray(random, DType::kFloat32, {1200, 3, 1001}, lie);
    // More than a chunk gets through each time.
    line.FailAfter(8 << 20, FlakyLine::Fault::kCutEvery);
    const auto tensor = flaky->Create(array.view, {.id = "cut"});
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const auto read = tensor->Read();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(Packed(read->layout, read->data.get()) == array.Packed());
    // A conversion starts again from nothing.
    line.FailAfter(Between(random, 1 << 20, 16 << 20),
                   FlakyLine::Fault::kCutOnce);
    const ArrayLayout layout = ConvertLayout(array.view, DType::kInt16);
    Bytes converted(layout.size_bytes);
    const absl::Status status =
        flaky->Convert(array.view, DType::kInt16, Overflow::kTorch,
                       converted.data(), converted.size());
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(Packed(layout, converted.data()) ==
                CastBytes(array.Packed(), DType::kFloat32, DType::kInt16,
                          Overflow::kTorch));
    ASSERT_TRUE(flaky->Delete("cut").ok());
  }
  // One at least of each upload, download and conversion.
  EXPECT_GE(line.cuts(), 9);
}

// Large enough for three connections.
const Dims kLargeShape = {2200, 3, 1001};

TEST_F(ClientTest, LargeArraysTravelOverSeveralConnections) {
  Random random(17);
  for (const int max_connections : {0, 3, 100}) {
    const auto several =
        Client::Connect(target(), {.max_connections = max_connections});
    ASSERT_TRUE(several.ok()) << several.status();
    for (const Lie lie : {Lie::kC, Lie::kStepped}) {
      if (lie == Lie::kStepped && max_connections != 3) continue;
      const TestArray array =
          MakeArray(random, DType::kFloat32, kLargeShape, lie);
      const auto tensor = several->Create(
          array.view, {.dtype = DType::kInt8, .report_conversion = true});
      ASSERT_TRUE(tensor.ok()) << tensor.status();
      const auto other = client().Create(
          array.view, {.dtype = DType::kInt8, .report_conversion = true});
      EXPECT_EQ(tensor->info().conversion_report,
                other->info().conversion_report);
      const auto read = tensor->Read({.dtype = DType::kFloat32});
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_TRUE(Packed(read->layout, read->data.get()) ==
                  CastBytes(CastBytes(array.Packed(), DType::kFloat32,
                                      DType::kInt8, Overflow::kTorch),
                            DType::kInt8, DType::kFloat32, Overflow::kTorch));
    }
  }
}

TEST_F(ClientTest, WhatDoesNotFitIsToldOfTheWholeArray) {
  const auto several = Client::Connect(target(), {.max_connections = 3});
  ASSERT_TRUE(several.ok()) << several.status();
  std::vector<float> values(7'000'000, 1);
  // In the second and third part.
  values[3'000'000] = 1000;
  values[6'900'000] = 2000;
  const ArrayView view{.data = values.data(),
                       .shape = {static_cast<std::int64_t>(values.size())}};
  const auto expect_refusal = [](const absl::Status& status) {
    const ErrorDetails details = GetErrorDetails(status);
    EXPECT_EQ(details.reason, reason::kCastValueOutOfRange) << status;
    EXPECT_EQ(details.metadata.at("firstIndex"), "3000000");
    EXPECT_EQ(details.metadata.at("firstValue"), "1000.0");
    EXPECT_EQ(details.metadata.at("count"), "2");
  };
  expect_refusal(
      several
          ->Create(view, {.dtype = DType::kInt8, .overflow = Overflow::kError})
          .status());
  const auto tensor = several->Create(view);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  expect_refusal(
      tensor->Read({.dtype = DType::kInt8, .overflow = Overflow::kError})
          .status());
  EXPECT_EQ(client().List()->tensors.size(), 1U);
}

TEST_F(ClientTest, PartsGoOnAfterCuts) {
  Random random(18);
  FlakyLine line(port());
  const auto flaky = Client::Connect(line.target(), {.max_connections = 3});
  ASSERT_TRUE(flaky.ok()) << flaky.status();
  for (const Lie lie : {Lie::kC, Lie::kStepped}) {
    const TestArray array =
        MakeArray(random, DType::kFloat32, kLargeShape, lie);
    line.FailAfter(16 << 20, FlakyLine::Fault::kCutEvery);
    const auto tensor = flaky->Create(array.view, {.id = "cut"});
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    const auto read = tensor->Read();
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(Packed(read->layout, read->data.get()) == array.Packed());
    ASSERT_TRUE(flaky->Delete("cut").ok());
  }
  EXPECT_GE(line.cuts(), 4);
}

TEST_F(ClientTest, ServesManyThreads) {
  constexpr int kThreads = 8;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, copy = client()] {
      Random random(100 + t);
      for (int i = 0; i < 6; ++i) {
        const Lie lie = kAllLies[random() % std::size(kAllLies)];
        const DType dtype = AllDTypes()[random() % kDTypeCount];
        const Dims shape = i % 2 == 0 ? StreamedShape(random, dtype)
                                      : RandomShape(random, 3, 1000);
        RoundTrip(MakeArray(random, dtype, shape, lie));
        EXPECT_TRUE(copy.List().ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(client().List()->tensors.empty());
}

}  // namespace
}  // namespace tensord
