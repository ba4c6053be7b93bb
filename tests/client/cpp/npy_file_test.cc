#include "client/cpp/src/npy_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/task.h"
#include "core/error.h"
#include "core/npy.h"
#include "tests/client/cpp/test_arrays.h"
#include "tests/temp_folder.h"

namespace tensord::client {
namespace {

using ::testing::HasSubstr;

class NpyFileTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }

  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return Path(name);
  }

  std::string Contents(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::ptrdiff_t FileCount() const {
    return std::distance(std::filesystem::directory_iterator(folder_ / ""), {});
  }

  TempFolder folder_;
  Random random_{1};
};

TEST_F(NpyFileTest, ReadsAnyHeader) {
  for (const DType dtype : AllDTypes()) {
    for (const Order order : {Order::kC, Order::kF}) {
      for (const ByteOrder byte_order : {ByteOrder::kLittle, ByteOrder::kBig}) {
        const Dims shape = RandomShape(random_, 4, 1000);
        const auto count = static_cast<std::size_t>(ElementCount(shape));
        const Bytes elements = RandomBytes(random_, count * ItemSize(dtype));
        const std::string path = Write(
            "a.npy",
            WriteNpyHeader(dtype, byte_order, order, shape) +
                std::string(reinterpret_cast<const char*>(elements.data()),
                            elements.size()));
        const auto file = NpyReader::Open(path, dtype);
        ASSERT_TRUE(file.ok()) << file.status();
        EXPECT_EQ(file->dtype(), dtype);
        EXPECT_EQ(file->layout().shape, shape);
        EXPECT_EQ(file->size_bytes(),
                  static_cast<std::int64_t>(elements.size()));
        if (SwapUnit(dtype) > 1 && CheckNpyDType(dtype).ok()) {
          EXPECT_EQ(file->byte_order(), byte_order);
        }
        const Dims strides = DenseStrides(shape, order);
        if (!IsContiguous(DenseLayout(shape, Order::kF))) {
          EXPECT_EQ(file->layout().strides, strides);
        }
        const std::size_t begin = elements.size() / 3;
        Bytes read(elements.size() - begin);
        file->Read(static_cast<std::int64_t>(begin), read.size(), read.data());
        EXPECT_TRUE(std::equal(read.begin(), read.end(),
                               elements.begin() + std::ptrdiff_t(begin)));
      }
    }
  }
}

TEST_F(NpyFileTest, RefusesWhatIsNoFile) {
  const auto missing = NpyReader::Open(Path("none.npy"), {});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetErrorReason(missing.status()), reason::kFileError);
  EXPECT_THAT(missing.status().message(), HasSubstr("none.npy"));

  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  for (const std::string& path : {Path(""), Path("pipe")}) {
    const absl::Status status = NpyReader::Open(path, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorReason(status), reason::kFileError);
    EXPECT_THAT(status.message(), HasSubstr("CreateFromNpy"));
  }
}

TEST_F(NpyFileTest, RefusesWhatIsWrongWithAFile) {
  const auto reason_of = [&](const std::string& bytes,
                             std::optional<DType> said = {}) {
    return GetErrorReason(NpyReader::Open(Write("a", bytes), said).status());
  };
  const std::string header =
      WriteNpyHeader(DType::kInt16, ByteOrder::kLittle, Order::kC, {3});
  EXPECT_EQ(reason_of(""), reason::kNpyTruncated);
  EXPECT_EQ(reason_of("text"), reason::kNpyBadMagic);
  EXPECT_EQ(reason_of(header.substr(0, 40)), reason::kNpyTruncated);
  EXPECT_EQ(reason_of(header + "12345"), reason::kNpyTruncated);
  EXPECT_EQ(reason_of(header + "1234567"), reason::kTrailingBytes);
  const std::string raw =
      WriteNpyHeader(DType::kBFloat16, ByteOrder::kLittle, Order::kC, {1});
  EXPECT_EQ(reason_of(raw + "12"), reason::kDtypeAmbiguous);
  EXPECT_EQ(reason_of(raw + "12", DType::kFloat32), reason::kDtypeSizeMismatch);
  EXPECT_EQ(reason_of(raw + "12", DType::kBFloat16), "");
}

TEST_F(NpyFileTest, TellsThatAFileWasCutShortWhileItWasRead) {
  const std::string path = Write(
      "a.npy",
      WriteNpyHeader(DType::kUInt8, ByteOrder::kLittle, Order::kC, {100'000}) +
          std::string(100'000, 'x'));
  const auto file = NpyReader::Open(path, {});
  ASSERT_TRUE(file.ok()) << file.status();
  std::filesystem::resize_file(path, 50'000);
  Bytes read(100'000);
  try {
    file->Read(0, read.size(), read.data());
    ADD_FAILURE() << "read what is not there";
  } catch (const StatusException& thrown) {
    EXPECT_EQ(GetErrorReason(thrown.status), reason::kNpyTruncated);
  }
}

TEST_F(NpyFileTest, WritesUnderItsNameOnlyWhatIsComplete) {
  Write("a.npy", "before");
  const auto file =
      NpyWriter::Create(Path("a.npy"), DType::kInt16, Order::kF, {2, 3});
  ASSERT_TRUE(file.ok()) << file.status();
  std::memcpy((*file)->elements(), "aabbccddeeff", 12);
  EXPECT_EQ(Contents("a.npy"), "before");
  EXPECT_EQ(FileCount(), 2);
  EXPECT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(Contents("a.npy"), WriteNpyHeader(DType::kInt16, ByteOrder::kLittle,
                                              Order::kF, {2, 3}) +
                                   "aabbccddeeff");
  EXPECT_EQ(FileCount(), 1);
  struct stat status = {};
  ASSERT_EQ(stat(Path("a.npy").c_str(), &status), 0);
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask);
}

TEST_F(NpyFileTest, LeavesNothingOfWhatWasNotCommitted) {
  {
    const auto file =
        NpyWriter::Create(Path("a.npy"), DType::kInt16, Order::kC, {2});
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(FileCount(), 1);
  }
  EXPECT_EQ(FileCount(), 0);
  std::filesystem::create_directory(Path("folder"));
  const auto file =
      NpyWriter::Create(Path("folder"), DType::kInt16, Order::kC, {2});
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = (*file)->Commit();
  EXPECT_EQ(GetErrorReason(status), reason::kFileError);
  EXPECT_THAT(status.message(), HasSubstr("folder"));
}

TEST_F(NpyFileTest, WritesArraysWithoutElements) {
  for (const Dims& shape : {Dims{0}, Dims{3, 0, 2}}) {
    const auto file =
        NpyWriter::Create(Path("a.npy"), DType::kInt16, Order::kC, shape);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->Commit().ok());
    EXPECT_EQ(NpyReader::Open(Path("a.npy"), {})->layout().shape, shape);
  }
}

TEST_F(NpyFileTest, RefusesWhereAFileCanNotBe) {
  EXPECT_EQ(NpyWriter::Create(Path("none/a.npy"), DType::kInt16, Order::kC, {2})
                .status()
                .code(),
            absl::StatusCode::kNotFound);
  // A file system whose size is known: memory. Nothing as large fits there.
  const std::string path =
      absl::StrCat("/dev/shm/tensord-npy-test-", getpid(), ".npy");
  const absl::Status full =
      NpyWriter::Create(path, DType::kUInt8, Order::kC, {std::int64_t{1} << 50})
          .status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_EQ(GetErrorReason(full), reason::kFileError);
  EXPECT_THAT(full.message(), HasSubstr("No space left on device"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(NpyFileTest, RefusesDtypesThatFilesCanNotName) {
  for (const DType dtype : AllDTypes()) {
    const absl::Status status = CheckNpyDType(dtype);
    const bool is_named = dtype != DType::kBFloat16 &&
                          dtype != DType::kFloat8E4M3FN &&
                          dtype != DType::kFloat8E5M2;
    EXPECT_EQ(status.ok(), is_named) << status;
    if (is_named) continue;
    EXPECT_EQ(GetErrorReason(status), reason::kDtypeUnsupported);
    EXPECT_THAT(
        status.message(),
        HasSubstr(dtype == DType::kBFloat16 ? "as float32" : "as float16"));
    EXPECT_EQ(
        GetErrorReason(
            NpyWriter::Create(Path("a.npy"), dtype, Order::kC, {2}).status()),
        reason::kDtypeUnsupported);
  }
  EXPECT_EQ(FileCount(), 0);
}

}  // namespace
}  // namespace tensord::client
