// Arrays in .npy files on this machine's disks.
#ifndef TENSORD_CLIENT_CPP_SRC_NPY_FILE_H_
#define TENSORD_CLIENT_CPP_SRC_NPY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace tensord::client {

// An open file; closes it. Movable.
class FileHandle {
 public:
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle();

  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// The array of a file. It is read, not mapped: whoever cuts a mapped file short
// kills the process that looks at it. Immutable and thread-safe.
class NpyReader {
 public:
  // `said` is what the caller says of the dtype. INVALID_ARGUMENT: errors of
  // ParseNpyFile and ResolveNpyDType; FILE_ERROR (no regular file). With the
  // code that fits errno: FILE_ERROR.
  static absl::StatusOr<NpyReader> Open(const std::string& path,
                                        std::optional<DType> said);

  DType dtype() const { return dtype_; }
  ByteOrder byte_order() const { return byte_order_; }
  // Dense, in C or F order.
  const Layout& layout() const { return layout_; }
  std::int64_t size_bytes() const { return size_bytes_; }

  // Reads bytes [offset, offset + size_bytes) of the elements. Throws
  // StatusException: NPY_TRUNCATED if the file was cut short since, FILE_ERROR.
  void Read(std::int64_t offset, std::size_t size_bytes,
            std::byte* destination) const;

 private:
  NpyReader(std::string path, FileHandle file);

  std::string path_;
  FileHandle file_;
  DType dtype_ = DType::kFloat32;
  ByteOrder byte_order_ = ByteOrder::kLittle;
  Layout layout_;
  std::int64_t header_bytes_ = 0;
  std::int64_t size_bytes_ = 0;
};

// Memory that becomes a file. The file is written under another name in the
// same folder, and has its own once it is complete and on the disk: whoever
// looks finds what was there before, or all of it. Used by one thread at a time
// but for the elements.
class NpyWriter {
 public:
  // For elements in little-endian byte order. Takes all of their room on the
  // disk, so that none is missing later. INVALID_ARGUMENT (DTYPE_UNSUPPORTED):
  // a .npy file can not name the dtype. With the code that fits errno:
  // FILE_ERROR (RESOURCE_EXHAUSTED where the disk is full).
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Create(
      const std::string& path, DType dtype, Order order, const Dims& shape);
  // Deletes what was not committed.
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

  // Where the elements go; until Commit.
  std::byte* elements() const { return elements_; }

  // Gives the file its name. FILE_ERROR.
  absl::Status Commit();

 private:
  NpyWriter(std::string path, std::string temporary_path, FileHandle file);

  absl::Status Map(const std::string& header, std::size_t size_bytes);
  void Unmap();

  const std::string path_;
  // Empty once committed.
  std::string temporary_path_;
  const FileHandle file_;
  void* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::byte* elements_ = nullptr;
};

// OK if a .npy file can name the dtype, else INVALID_ARGUMENT
// (DTYPE_UNSUPPORTED) with one that can instead.
absl::Status CheckNpyDType(DType dtype);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_NPY_FILE_H_
