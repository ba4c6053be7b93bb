// An array that arrives in pieces: raw elements, or a .npy file.
#ifndef TENSORD_SERVER_RPC_ARRAY_SOURCE_H_
#define TENSORD_SERVER_RPC_ARRAY_SOURCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/wire/proto_convert.h"

namespace tensord {

// Finds out what the elements are and where they begin. Not thread-safe.
class ArraySource {
 public:
  // `dtype` is what the client said the array is to become, if anything.
  ArraySource(DeclaredArray declared, std::optional<DType> dtype,
              std::int64_t max_tensor_bytes);

  // What the sizes that were declared allow to refuse before any byte is here.
  // INVALID_ARGUMENT: TENSOR_TOO_LARGE, SIZE_MISMATCH, SHAPE_OVERFLOW,
  // NPY_TRUNCATED.
  absl::Status Check() const;

  // What the elements are; null while the header of a .npy file is incomplete.
  const ArrayFormat* format() const {
    return format_.has_value() ? &*format_ : nullptr;
  }
  // What they are to become. REQUIRES: format() != nullptr.
  DType target_dtype() const { return dtype_.value_or(format_->dtype); }
  std::int64_t total_bytes() const { return declared_.total_bytes; }

  // Takes the next bytes and calls `elements` with those of them that belong to
  // elements, in order, after format() is known. What it is called with lives
  // as long as `piece` and this object. Errors of `elements`, and on a header
  // those of ParseNpyFile, ResolveNpyDType and Check. REQUIRES: no more bytes
  // than total_bytes() in all.
  absl::Status Take(std::string_view piece,
                    absl::FunctionRef<absl::Status(std::string_view)> elements);

  // After the last byte. INVALID_ARGUMENT (NPY_TRUNCATED): the header has not
  // ended.
  absl::Status Finish() const;

 private:
  absl::Status CheckElements() const;
  // Sets format_ once header_ holds all of it; returns its length, else 0.
  absl::StatusOr<std::size_t> ParseHeader();

  DeclaredArray declared_;
  std::optional<DType> dtype_;
  std::int64_t max_tensor_bytes_;
  std::optional<ArrayFormat> format_;
  // The start of a .npy file.
  std::string header_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_ARRAY_SOURCE_H_
