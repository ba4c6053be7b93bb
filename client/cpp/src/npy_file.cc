#include "client/cpp/src/npy_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/request_id.h"
#include "client/cpp/src/task.h"
#include "core/error.h"
#include "core/npy.h"

namespace tensord::client {
namespace {

// Enough for the header of any file.
constexpr std::size_t kHeaderBytes = kMaxNpyHeaderBytes + 12;

absl::Status FileError(int error, std::string_view what,
                       std::string_view path) {
  return MakeError(absl::ErrnoToStatusCode(error), reason::kFileError,
                   absl::StrCat(std::string(what), " ", std::string(path), ": ",
                                std::generic_category().message(error)));
}

// Reads as much of a file as there is, up to `size_bytes`; nothing, and errno,
// if that fails.
std::optional<std::size_t> ReadAt(int file, std::int64_t offset,
                                  std::size_t size_bytes, void* destination) {
  std::size_t done = 0;
  while (done < size_bytes) {
    const ssize_t count =
        pread(file, static_cast<std::byte*>(destination) + done,
              size_bytes - done, offset + static_cast<std::int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

// The error of an allocation; 0 for none.
int Allocate(int file, std::int64_t size_bytes) {
  for (;;) {
    const int error = posix_fallocate(file, 0, size_bytes);
    if (error != EINTR) return error;
  }
}

// A name beside `path` that no other file has.
std::string TemporaryPath(const std::filesystem::path& path) {
  return path.parent_path() / absl::StrCat(".", NewRequestId(), ".npy.tmp");
}

bool IsNamedInNpy(DType dtype) {
  const auto type = ParseNumpyDescr(NumpyDescr(dtype, ByteOrder::kLittle));
  return type.ok() && type->dtype == dtype;
}

}  // namespace

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) close(descriptor_);
}

NpyReader::NpyReader(std::string path, FileHandle file)
    : path_(std::move(path)), file_(std::move(file)) {}

absl::StatusOr<NpyReader> NpyReader::Open(const std::string& path,
                                          std::optional<DType> said) {
  // Opening a pipe does not wait for its other end.
  FileHandle file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    return FileError(errno, "can not open", path);
  }
  if (!S_ISREG(status.st_mode)) {
    return InvalidArgument(
        reason::kFileError,
        absl::StrCat(path,
                     " is no regular file; read what it gives into "
                     "memory, and pass that to CreateFromNpy"),
        "path");
  }
  NpyReader reader(path, std::move(file));
  std::string start(kHeaderBytes, '\0');
  const std::optional<std::size_t> start_bytes =
      ReadAt(reader.file_.get(), 0, start.size(), start.data());
  if (!start_bytes) return FileError(errno, "can not read", path);
  start.resize(*start_bytes);
  absl::StatusOr<NpyHeader> header = ParseNpyFile(
      start, status.st_size, std::numeric_limits<std::int64_t>::max());
  if (!header.ok()) return header.status();
  const absl::StatusOr<DType> dtype = ResolveNpyDType(header->type, said);
  if (!dtype.ok()) return dtype.status();
  reader.dtype_ = *dtype;
  reader.byte_order_ = header->type.order;
  reader.layout_ = DenseLayout(std::move(header->shape), header->order);
  reader.header_bytes_ = static_cast<std::int64_t>(header->header_bytes);
  reader.size_bytes_ = header->data_bytes;
  return reader;
}

void NpyReader::Read(std::int64_t offset, std::size_t size_bytes,
                     std::byte* destination) const {
  const std::optional<std::size_t> count =
      ReadAt(file_.get(), header_bytes_ + offset, size_bytes, destination);
  if (!count) throw StatusException{FileError(errno, "can not read", path_)};
  if (*count == size_bytes) return;
  throw StatusException{InvalidArgument(
      reason::kNpyTruncated,
      absl::StrCat(path_, " was cut short while it was read"), "path")};
}

NpyWriter::NpyWriter(std::string path, std::string temporary_path,
                     FileHandle file)
    : path_(std::move(path)),
      temporary_path_(std::move(temporary_path)),
      file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Create(
    const std::string& path, DType dtype, Order order, const Dims& shape) {
  if (absl::Status status = CheckNpyDType(dtype); !status.ok()) return status;
  const absl::StatusOr<std::int64_t> count =
      CheckedElementCount(shape, ItemSize(dtype));
  if (!count.ok()) return count.status();
  std::string temporary_path = TemporaryPath(path);
  FileHandle file(open(temporary_path.c_str(),
                       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) return FileError(errno, "can not create", temporary_path);
  std::unique_ptr<NpyWriter> writer(
      new NpyWriter(path, std::move(temporary_path), std::move(file)));
  absl::Status status =
      writer->Map(WriteNpyHeader(dtype, ByteOrder::kLittle, order, shape),
                  static_cast<std::size_t>(*count) * ItemSize(dtype));
  if (!status.ok()) return status;
  return writer;
}

absl::Status NpyWriter::Map(const std::string& header, std::size_t size_bytes) {
  const std::size_t file_bytes = header.size() + size_bytes;
  // Writing to mapped memory that the disk then has no room for is a SIGBUS.
  const int error =
      Allocate(file_.get(), static_cast<std::int64_t>(file_bytes));
  if (error != 0) {
    return FileError(error,
                     absl::StrCat("no room for ", file_bytes, " bytes as"),
                     temporary_path_);
  }
  void* const memory = mmap(nullptr, file_bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED, file_.get(), 0);
  if (memory == MAP_FAILED) {
    return FileError(errno, "can not map", temporary_path_);
  }
  memory_ = memory;
  memory_bytes_ = file_bytes;
  std::memcpy(memory, header.data(), header.size());
  elements_ = static_cast<std::byte*>(memory) + header.size();
  return absl::OkStatus();
}

void NpyWriter::Unmap() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
  memory_ = nullptr;
  elements_ = nullptr;
}

NpyWriter::~NpyWriter() {
  Unmap();
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

absl::Status NpyWriter::Commit() {
  Unmap();
  if (fsync(file_.get()) != 0) {
    return FileError(errno, "can not write", temporary_path_);
  }
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return FileError(errno, "can not create", path_);
  }
  temporary_path_.clear();
  return absl::OkStatus();
}

absl::Status CheckNpyDType(DType dtype) {
  if (IsNamedInNpy(dtype)) return absl::OkStatus();
  std::string advice;
  for (const DType wider : AllDTypes()) {
    if (!IsNamedInNpy(wider) || !HoldsEveryValue(wider, dtype)) continue;
    advice = absl::StrCat("; save it as ", std::string(Name(wider)),
                          ", which holds each of its values");
    break;
  }
  return InvalidArgument(
      reason::kDtypeUnsupported,
      absl::StrCat("a .npy file can not say that its elements are ",
                   std::string(Name(dtype)), advice),
      "options.dtype");
}

}  // namespace tensord::client
