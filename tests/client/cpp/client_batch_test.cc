#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/error.h"
#include "tests/client/cpp/real_server.h"
#include "tests/client/cpp/test_arrays.h"

namespace tensord {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Handles = std::vector<absl::StatusOr<RemoteTensor>>;

std::vector<const RemoteTensor*> Pointers(const Handles& handles) {
  std::vector<const RemoteTensor*> pointers;
  for (const auto& handle : handles) {
    pointers.push_back(handle.ok() ? &*handle : nullptr);
  }
  return pointers;
}

std::vector<RemoteTensor*> Pointers(Handles& handles) {
  std::vector<RemoteTensor*> pointers;
  for (auto& handle : handles) {
    pointers.push_back(handle.ok() ? &*handle : nullptr);
  }
  return pointers;
}

std::vector<ArrayView> Views(const std::vector<TestArray>& arrays) {
  std::vector<ArrayView> views;
  for (const TestArray& array : arrays) views.push_back(array.view);
  return views;
}

class ClientBatchTest : public RealServerTest {
 protected:
  // `count` arrays of one kilobyte.
  static std::vector<TestArray> SmallArrays(std::size_t count) {
    Random random(1);
    std::vector<TestArray> arrays;
    for (std::size_t i = 0; i < count; ++i) {
      arrays.push_back(MakeArray(random, DType::kInt16, {512}, Lie::kC));
    }
    return arrays;
  }

  Handles Create(const std::vector<TestArray>& arrays,
                 const CreateOptions& options = {},
                 const std::vector<std::string>& ids = {}) const {
    auto made = client().CreateBatch(Views(arrays), options, ids);
    EXPECT_TRUE(made.ok()) << made.status();
    if (!made.ok()) return {};
    EXPECT_EQ(made->size(), arrays.size());
    return *std::move(made);
  }

  std::size_t StoredTensors() const { return client().List()->tensors.size(); }
};

TEST_F(ClientBatchTest, ThousandsOfArraysComeBackAsTheyWent) {
  const std::vector<TestArray> arrays = SmallArrays(3000);
  Handles made = Create(arrays);
  const auto read = client().ReadBatch(Pointers(std::as_const(made)));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_TRUE(made[i].ok() && (*read)[i].ok());
    EXPECT_TRUE(made[i]->owned());
    const HostArray& array = *(*read)[i];
    EXPECT_EQ(Packed(array.layout, array.data.get()), arrays[i].Packed());
  }
  EXPECT_TRUE(client().DeleteBatch(Pointers(made)).ok());
  EXPECT_EQ(StoredTensors(), 0U);
}

TEST_F(ClientBatchTest, EveryLayoutAndSizeKeepsItsPlace) {
  // Some are too large for a message, some have no elements.
  Random random(2);
  std::vector<TestArray> arrays;
  for (const Lie lie : kAllLies) {
    for (const std::int64_t most : {100, 100'000}) {
      arrays.push_back(
          MakeArray(random, DType::kFloat32, {Between(random, 1, most), 2}, lie,
                    most == 100 ? ByteOrder::kBig : ByteOrder::kLittle));
      arrays.push_back(MakeArray(random, DType::kInt8, {0, 3}, lie));
    }
  }
  Handles made = Create(arrays);
  const auto read = client().ReadBatch(Pointers(std::as_const(made)));
  ASSERT_TRUE(read.ok()) << read.status();
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_TRUE(made[i].ok()) << made[i].status();
    ASSERT_TRUE((*read)[i].ok()) << (*read)[i].status();
    const auto alone = client().Create(arrays[i].view);
    ASSERT_TRUE(alone.ok());
    EXPECT_EQ(made[i]->info().dtype, alone->info().dtype);
    EXPECT_EQ(made[i]->info().shape, alone->info().shape);
    EXPECT_EQ(made[i]->info().strides, alone->info().strides);
    const HostArray& array = *(*read)[i];
    EXPECT_EQ(array.layout.byte_strides, made[i]->ReadLayout()->byte_strides);
    EXPECT_EQ(Packed(array.layout, array.data.get()), arrays[i].Packed());
  }
}

TEST_F(ClientBatchTest, OptionsAreThoseOfAll) {
  const std::vector<TestArray> arrays = SmallArrays(3);
  const Handles made = Create(arrays,
                              {.dtype = DType::kFloat32,
                               .requires_grad = true,
                               .report_conversion = true},
                              {"a", "b", "c"});
  for (const auto& tensor : made) {
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->info().dtype, DType::kFloat32);
    EXPECT_TRUE(tensor->info().requires_grad);
    EXPECT_TRUE(tensor->conversion_report().has_value());
    EXPECT_FALSE(tensor->owned());
  }
  EXPECT_EQ(made[1]->info().id, "b");
  // Those that require grad are refused one by one.
  const auto refused = client().ReadBatch(Pointers(made));
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(GetErrorReason((*refused)[2].status()), reason::kNeedsDetach);
  const auto read =
      client().ReadBatch(Pointers(made), {.index = {Slice{0, 2, std::nullopt}},
                                          .dtype = DType::kInt16,
                                          .force = true});
  ASSERT_TRUE(read.ok() && (*read)[2].ok());
  EXPECT_EQ((*read)[2]->layout.size_bytes, 4U);
  EXPECT_EQ(std::memcmp((*read)[2]->data.get(), arrays[2].memory.data(), 4), 0);
}

TEST_F(ClientBatchTest, ARefusalIsItsOwnCalls) {
  std::vector<TestArray> arrays = SmallArrays(4);
  arrays[1].view.data = nullptr;
  const Handles made = Create(arrays, {}, {"a", "b", "a", "/"});
  EXPECT_TRUE(made[0].ok());
  EXPECT_EQ(GetErrorReason(made[1].status()), reason::kArrayMissing);
  EXPECT_EQ(GetErrorReason(made[2].status()), reason::kTensorExists);
  EXPECT_EQ(GetErrorReason(made[3].status()), reason::kNameInvalid);
  EXPECT_THAT(
      GetErrorDetails(made[3].status()).violations,
      ElementsAre(::testing::Field(&FieldViolation::field, "tensor_id")));
  const auto found = client().GetBatch({"a", "none"});
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE((*found)[0].ok());
  EXPECT_FALSE((*found)[0]->owned());
  EXPECT_EQ(GetErrorReason((*found)[1].status()), reason::kTensorNotFound);
}

TEST_F(ClientBatchTest, TransformsEach) {
  const std::vector<TestArray> arrays = SmallArrays(100);
  const Handles made = Create(arrays);
  const std::vector<Operation> operations = {
      IndexOperation{{Slice{std::nullopt, std::nullopt, 2}}},
      ToOperation{.dtype = DType::kFloat64, .report_conversion = true}};
  const auto transformed = client().TransformBatch(Pointers(made), operations);
  ASSERT_TRUE(transformed.ok()) << transformed.status();
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_TRUE((*transformed)[i].ok());
    const RemoteTensor& result = *(*transformed)[i];
    EXPECT_TRUE(result.owned());
    EXPECT_TRUE(result.conversion_report().has_value());
    const auto alone = made[i]->Transform(operations);
    const auto read = result.Read();
    const auto want = alone->Read();
    ASSERT_TRUE(read.ok() && want.ok());
    ASSERT_EQ(read->layout.size_bytes, 256U * 8);
    EXPECT_EQ(std::memcmp(read->data.get(), want->data.get(), 256 * 8), 0);
  }
  std::vector<std::string> ids(100);
  for (std::size_t i = 0; i < 100; ++i) ids[i] = std::to_string(i);
  const auto named = client().TransformBatch(Pointers(made), {CloneOperation{}},
                                             ids, absl::Hours(1));
  ASSERT_TRUE(named.ok());
  EXPECT_FALSE((*named)[99]->owned());
  EXPECT_EQ((*named)[99]->info().id, "99");
  EXPECT_LT((*named)[99]->info().expire_time, absl::InfiniteFuture());
}

TEST_F(ClientBatchTest, ReadsIntoTheCallersMemory) {
  const std::vector<TestArray> arrays = SmallArrays(3);
  const Handles made = Create(arrays);
  std::vector<Bytes> memory(3, Bytes(1024));
  std::vector<ReadDestination> reads;
  for (std::size_t i = 0; i < 3; ++i) {
    reads.push_back({&*made[i], memory[i].data(), memory[i].size()});
  }
  reads[1].size_bytes = 1023;
  const auto outcomes = client().ReadBatchInto(reads);
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  EXPECT_TRUE((*outcomes)[0].ok());
  EXPECT_EQ(GetErrorReason((*outcomes)[1]), reason::kSizeMismatch);
  EXPECT_TRUE((*outcomes)[2].ok());
  EXPECT_EQ(memory[0], arrays[0].memory);
  EXPECT_EQ(memory[1], Bytes(1024));
  EXPECT_EQ(memory[2], arrays[2].memory);
}

TEST_F(ClientBatchTest, EmptyBatchesAreEmpty) {
  EXPECT_THAT(*client().CreateBatch({}), IsEmpty());
  EXPECT_THAT(*client().TransformBatch({}, {CloneOperation{}}), IsEmpty());
  EXPECT_THAT(*client().GetBatch({}), IsEmpty());
  EXPECT_THAT(*client().ReadBatch({}), IsEmpty());
  EXPECT_THAT(*client().ReadBatchInto({}), IsEmpty());
  EXPECT_TRUE(client().DeleteBatch({}).ok());
}

TEST_F(ClientBatchTest, ArgumentsThatAreWrongForAllSendNothing) {
  const std::vector<TestArray> arrays = SmallArrays(2);
  const std::vector<ArrayView> views = Views(arrays);
  const auto reason = [](const auto& result) {
    return GetErrorReason(result.status());
  };
  EXPECT_EQ(reason(client().CreateBatch(views, {}, {"a"})),
            reason::kNameInvalid);
  EXPECT_EQ(reason(client().CreateBatch(views, {.id = "a"})),
            reason::kNameInvalid);
  EXPECT_EQ(reason(client().CreateBatch(views, {}, {"a", "\xff"})),
            reason::kNameInvalid);
  EXPECT_EQ(reason(client().CreateBatch(views, {.device = "\xff"})),
            reason::kDeviceInvalid);
  EXPECT_EQ(reason(client().GetBatch({"\xff"})), reason::kNameInvalid);
  const Handles made = Create(arrays);
  EXPECT_EQ(
      reason(client().TransformBatch(
          Pointers(made), {PermuteOperation{{std::int64_t{1} << 40, 0}}})),
      reason::kDimsInvalid);
  EXPECT_EQ(reason(client().TransformBatch(Pointers(made), {CloneOperation{}},
                                           {"a"})),
            reason::kNameInvalid);
  EXPECT_EQ(StoredTensors(), 2U);
}

TEST_F(ClientBatchTest, RefusesWhatIsNoTensorOfTheConnection) {
  const auto other = Client::Connect(target());
  ASSERT_TRUE(other.ok());
  const std::vector<TestArray> arrays = SmallArrays(3);
  Handles made = Create(arrays);
  auto stranger = other->Create(arrays[0].view);
  ASSERT_TRUE(stranger.ok());
  const RemoteTensor kept(*std::move(made[1]));
  const std::vector<RemoteTensor*> all = {&*made[0], &*made[1], nullptr,
                                          &*stranger, &*made[2]};
  const std::vector<const RemoteTensor*> tensors(all.begin(), all.end());
  const auto read = client().ReadBatch(tensors);
  const auto transformed = client().TransformBatch(tensors, {CloneOperation{}});
  ASSERT_TRUE(read.ok() && transformed.ok());
  for (const std::size_t i : {0U, 4U}) {
    EXPECT_TRUE((*read)[i].ok());
    EXPECT_TRUE((*transformed)[i].ok());
  }
  for (const std::size_t i : {1U, 2U, 3U}) {
    EXPECT_EQ(GetErrorReason((*read)[i].status()), reason::kNameInvalid);
    EXPECT_EQ(GetErrorReason((*transformed)[i].status()), reason::kNameInvalid);
  }
  EXPECT_EQ(GetErrorReason(client().DeleteBatch(all)), reason::kNameInvalid);
  EXPECT_FALSE(made[0]->owned());
  EXPECT_FALSE(made[2]->owned());
  EXPECT_FALSE(Exists(made[2]->info().id));
  EXPECT_TRUE(Exists(stranger->info().id));
}

TEST_F(ClientBatchTest, DeletesWhatIsGoneAlready) {
  Handles made = Create(SmallArrays(3));
  ASSERT_TRUE(client().Delete(made[1]->info().id).ok());
  EXPECT_TRUE(client().DeleteBatch(Pointers(made)).ok());
  for (const auto& tensor : made) EXPECT_FALSE(tensor->owned());
  EXPECT_EQ(StoredTensors(), 0U);
}

TEST_F(ClientBatchTest, SaysThatTheServerIsGone) {
  Handles made = Create(SmallArrays(2));
  Stop();
  const auto read = client().ReadBatch(Pointers(std::as_const(made)));
  EXPECT_EQ(read.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client().DeleteBatch(Pointers(made)).code(),
            absl::StatusCode::kUnavailable);
  for (auto& tensor : made) {
    EXPECT_TRUE(tensor->owned());
    tensor->Release();
  }
}

}  // namespace
}  // namespace tensord
