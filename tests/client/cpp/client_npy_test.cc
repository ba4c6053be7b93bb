// .npy files to tensors and back.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/npy.h"
#include "core/shape.h"
#include "tensord/client.h"
#include "tests/client/cpp/real_server.h"
#include "tests/client/cpp/test_arrays.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

// Beyond what travels in one message, and what takes several connections.
constexpr std::int64_t kStreamed = 300'000;
constexpr std::int64_t kInParts = 9 << 20;

class ClientNpyTest : public RealServerTest {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }

  // What numpy.save writes of an array.
  std::string Save(const TestArray& array, Order order) const {
    std::string path = Path("input.npy");
    std::ofstream file(path, std::ios::binary);
    file << WriteNpyHeader(array.view.dtype, array.view.byte_order, order,
                           array.view.shape);
    const std::size_t size_bytes =
        static_cast<std::size_t>(ElementCount(array.view.shape)) *
        ItemSize(array.view.dtype);
    file.write(reinterpret_cast<const char*>(array.memory.data()),
               static_cast<std::streamsize>(size_bytes));
    return path;
  }

  static Bytes Elements(const RemoteTensor& tensor) {
    const auto read = tensor.Read();
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return {};
    return Packed(read->layout, read->data.get());
  }

  std::ptrdiff_t FileCount() const {
    return std::distance(std::filesystem::directory_iterator(folder_ / ""), {});
  }

  TempFolder folder_;
  Random random_{1};
};

TEST_F(ClientNpyTest, LoadsFilesOfEverySizeAndOrder) {
  for (const std::int64_t rows :
       {std::int64_t{0}, std::int64_t{10}, kStreamed / 6, kInParts / 6}) {
    for (const Lie lie : {Lie::kC, Lie::kF}) {
      for (const ByteOrder byte_order : {ByteOrder::kLittle, ByteOrder::kBig}) {
        const TestArray array =
            MakeArray(random_, DType::kInt16, {rows, 3}, lie, byte_order);
        const auto tensor = client().LoadNpy(
            Save(array, lie == Lie::kC ? Order::kC : Order::kF));
        ASSERT_TRUE(tensor.ok()) << tensor.status();
        EXPECT_EQ(tensor->info().shape, array.view.shape);
        EXPECT_EQ(tensor->info().dtype, DType::kInt16);
        EXPECT_TRUE(Elements(*tensor) == array.Packed())
            << rows << " rows, " << lie;
      }
    }
  }
}

TEST_F(ClientNpyTest, LoadsWithEveryOption) {
  const TestArray array =
      MakeArray(random_, DType::kUInt8, {kStreamed}, Lie::kC);
  auto tensor = client().LoadNpy(Save(array, Order::kC),
                                 {.id = "a", .dtype = DType::kFloat16});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->info().id, "a");
  EXPECT_FALSE(tensor->owned());
  EXPECT_EQ(tensor->info().dtype, DType::kFloat16);
  const TestArray raw = MakeArray(random_, DType::kBFloat16, {5}, Lie::kC);
  const std::string path = Save(raw, Order::kC);
  EXPECT_EQ(GetErrorReason(client().LoadNpy(path).status()),
            reason::kDtypeAmbiguous);
  tensor = client().LoadNpy(path, {.dtype = DType::kBFloat16});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(Elements(*tensor), raw.Packed());
}

TEST_F(ClientNpyTest, LoadsNothingOfWhatIsWrong) {
  EXPECT_EQ(client().LoadNpy(Path("none.npy")).status().code(),
            absl::StatusCode::kNotFound);
  const TestArray array =
      MakeArray(random_, DType::kUInt8, {kStreamed}, Lie::kC);
  const std::string path = Save(array, Order::kC);
  std::filesystem::resize_file(path, kStreamed);
  EXPECT_EQ(GetErrorReason(client().LoadNpy(path, {.id = "a"}).status()),
            reason::kNpyTruncated);
  EXPECT_FALSE(Exists("a"));
}

TEST_F(ClientNpyTest, SavesWhatItLoads) {
  for (const DType dtype : AllDTypes()) {
    for (const Lie lie : kAllLies) {
      const TestArray array =
          MakeArray(random_, dtype, RandomShape(random_, 4, 2000), lie);
      const auto tensor = client().Create(array.view);
      ASSERT_TRUE(tensor.ok()) << tensor.status();
      const absl::Status status = tensor->SaveNpy(Path("a.npy"));
      if (dtype == DType::kBFloat16 || dtype == DType::kFloat8E4M3FN ||
          dtype == DType::kFloat8E5M2) {
        EXPECT_EQ(GetErrorReason(status), reason::kDtypeUnsupported);
        continue;
      }
      ASSERT_TRUE(status.ok()) << status;
      const auto again = client().LoadNpy(Path("a.npy"));
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(again->info().dtype, dtype);
      EXPECT_EQ(again->info().shape, array.view.shape);
      EXPECT_EQ(Elements(*again), array.Packed()) << Name(dtype) << lie;
    }
  }
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(ClientNpyTest, SavesLargeTensorsInAnyOrder) {
  for (const Lie lie : {Lie::kC, Lie::kF, Lie::kPermuted}) {
    const TestArray array =
        MakeArray(random_, DType::kFloat32, {100, 50, 500}, lie);
    const auto tensor = client().Create(array.view);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    ASSERT_TRUE(tensor->SaveNpy(Path("a.npy")).ok());
    const auto again = client().LoadNpy(Path("a.npy"));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(Elements(*again) == array.Packed()) << lie;
  }
}

TEST_F(ClientNpyTest, SavesWithEveryOption) {
  const TestArray array = MakeArray(random_, DType::kBFloat16, {20}, Lie::kC);
  const auto tensor = client().Create(array.view);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  const ReadOptions options = {.index = {Slice{.start = 5}},
                               .dtype = DType::kFloat32};
  ASSERT_TRUE(tensor->SaveNpy(Path("a.npy"), options).ok());
  const auto saved = client().LoadNpy(Path("a.npy"));
  ASSERT_TRUE(saved.ok()) << saved.status();
  const auto expected = tensor->Read(options);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(saved->info().dtype, DType::kFloat32);
  EXPECT_EQ(Elements(*saved), Packed(expected->layout, expected->data.get()));
}

TEST_F(ClientNpyTest, LeavesFilesAloneWhereATensorCanNotBeSaved) {
  const TestArray array =
      MakeArray(random_, DType::kFloat32, {kStreamed}, Lie::kC);
  auto tensor = client().Create(array.view, {.requires_grad = true});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  std::ofstream(Path("a.npy")) << "before";
  EXPECT_EQ(GetErrorReason(tensor->SaveNpy(Path("a.npy"))),
            reason::kNeedsDetach);
  EXPECT_TRUE(tensor->Delete().ok());
  EXPECT_EQ(tensor->SaveNpy(Path("a.npy")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(tensor->SaveNpy(Path("none/a.npy")).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(std::filesystem::file_size(Path("a.npy")), 6U);
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(ClientNpyTest, LoadsAndSavesInTheBackground) {
  const TestArray array =
      MakeArray(random_, DType::kFloat32, {kStreamed}, Lie::kC);
  const std::string path = Save(array, Order::kC);
  auto tensor = client().LoadNpyAsync(path, {.id = "a"}).Get();
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  std::vector<Future<absl::Status>> saved;
  saved.reserve(8);
  for (int i = 0; i < 8; ++i) {
    saved.push_back(tensor->SaveNpyAsync(Path(std::to_string(i))));
  }
  for (Future<absl::Status>& future : saved) {
    EXPECT_TRUE(std::move(future).Get().ok());
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Elements(*client().LoadNpy(Path(std::to_string(i)))),
              array.Packed());
  }
  EXPECT_EQ(FileCount(), 9);
}

}  // namespace
}  // namespace tensord
