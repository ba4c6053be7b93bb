#include "server/rpc/array_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/npy.h"

namespace tensord {
namespace {

// More than any header takes, its fixed start included.
constexpr std::int64_t kMaxHeaderFileBytes = kMaxNpyHeaderBytes + 12;

absl::Status TooLarge(std::int64_t size_bytes, std::int64_t limit) {
  return InvalidArgument(
      reason::kTensorTooLarge,
      absl::StrCat("an array of ", size_bytes,
                   " bytes is too large; the largest that is accepted has ",
                   limit));
}

absl::Status SizeMismatch(std::int64_t total_bytes, std::int64_t expected) {
  return InvalidArgument(reason::kSizeMismatch,
                         absl::StrCat("the array's dtype and shape make ",
                                      expected, " bytes, not ", total_bytes));
}

absl::Status HeaderCut(std::int64_t file_bytes) {
  return InvalidArgument(reason::kNpyTruncated,
                         absl::StrCat("the .npy file of ", file_bytes,
                                      " bytes ends before its header does"));
}

}  // namespace

ArraySource::ArraySource(DeclaredArray declared, std::optional<DType> dtype,
                         std::int64_t max_tensor_bytes)
    : declared_(std::move(declared)),
      dtype_(dtype),
      max_tensor_bytes_(max_tensor_bytes),
      format_(declared_.raw) {}

absl::Status ArraySource::Check() const {
  const std::int64_t total = declared_.total_bytes;
  if (!format_.has_value()) {
    if (total < 0) return SizeMismatch(total, 0);
    if (total == 0) return HeaderCut(total);
    return total - kMaxHeaderFileBytes > max_tensor_bytes_
               ? TooLarge(total, max_tensor_bytes_)
               : absl::OkStatus();
  }
  if (total > max_tensor_bytes_) return TooLarge(total, max_tensor_bytes_);
  absl::Status status = CheckElements();
  if (!status.ok()) return status;
  const std::int64_t expected = format_->data_bytes();
  return total == expected ? absl::OkStatus() : SizeMismatch(total, expected);
}

absl::Status ArraySource::CheckElements() const {
  const std::int64_t arriving = format_->data_bytes();
  if (arriving > max_tensor_bytes_) {
    return TooLarge(arriving, max_tensor_bytes_);
  }
  const std::size_t item_size = ItemSize(target_dtype());
  const auto count = CheckedElementCount(format_->layout.shape, item_size);
  if (!count.ok()) return count.status();
  const std::int64_t stored = *count * static_cast<std::int64_t>(item_size);
  return stored > max_tensor_bytes_ ? TooLarge(stored, max_tensor_bytes_)
                                    : absl::OkStatus();
}

absl::StatusOr<std::size_t> ArraySource::ParseHeader() {
  const auto started = ParseNpyHeader(header_);
  if (!started.ok()) return started.status();
  if (!started->has_value()) return 0;
  const auto header =
      ParseNpyFile(header_, declared_.total_bytes, max_tensor_bytes_);
  if (!header.ok()) return header.status();
  const auto dtype = ResolveNpyDType(header->type, dtype_);
  if (!dtype.ok()) return dtype.status();
  format_ = ArrayFormat{*dtype, DenseLayout(header->shape, header->order),
                        header->type.order};
  absl::Status status = CheckElements();
  if (!status.ok()) return status;
  return header->header_bytes;
}

absl::Status ArraySource::Take(
    std::string_view piece,
    absl::FunctionRef<absl::Status(std::string_view)> elements) {
  if (format_.has_value()) {
    return piece.empty() ? absl::OkStatus() : elements(piece);
  }
  // As much as is missing at most: the parser refuses longer headers by their
  // length fields.
  const std::string_view start =
      piece.substr(0, kMaxHeaderFileBytes - header_.size());
  header_.append(start);
  const absl::StatusOr<std::size_t> header_bytes = ParseHeader();
  if (!header_bytes.ok()) return header_bytes.status();
  if (*header_bytes == 0) return absl::OkStatus();
  const std::string_view kept = std::string_view(header_).substr(*header_bytes);
  absl::Status status = kept.empty() ? absl::OkStatus() : elements(kept);
  const std::string_view rest = piece.substr(start.size());
  return !status.ok() || rest.empty() ? status : elements(rest);
}

absl::Status ArraySource::Finish() const {
  return format_.has_value() ? absl::OkStatus()
                             : HeaderCut(declared_.total_bytes);
}

}  // namespace tensord
