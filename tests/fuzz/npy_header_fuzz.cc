// Fuzz target: any bytes as a .npy file, and as the text of a .npy header.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/error.h"
#include "core/npy.h"
#include "core/shape.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

using HeaderOrStatus = absl::StatusOr<std::optional<NpyHeader>>;
constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

void CheckRefused(const absl::Status& status, std::string_view bytes) {
  const ErrorDetails details = GetErrorDetails(status);
  Require(status.code() == absl::StatusCode::kInvalidArgument,
          "INVALID_ARGUMENT", bytes);
  Require(!details.reason.empty(), "a reason", bytes);
  Require(
      details.violations.size() == 1 && details.violations[0].field == "data",
      "the field is named", bytes);
  Require(
      !status.message().empty() && (status.message().size() < 400 ||
                                    details.reason == reason::kShapeOverflow),
      "a short message", bytes);
  Require(IsPrintable(std::string(status.message())), "a printable message",
          bytes);
}

void CheckSizes(const NpyHeader& header, std::string_view bytes) {
  Require(header.header_bytes <= bytes.size() &&
              header.header_bytes <= kMaxNpyHeaderBytes + 12,
          "the header is part of the file", bytes);
  const auto count = CheckedElementCount(header.shape, header.type.item_size);
  Require(count.ok(), "the shape is valid", bytes);
  Require(*count * static_cast<std::int64_t>(header.type.item_size) ==
              header.data_bytes,
          "the size is that of the shape", bytes);
}

// Whether `length` bytes of elements after the header are judged as they should
// be.
void CheckFile(const NpyHeader& header, std::string_view bytes) {
  const auto size = static_cast<std::int64_t>(header.header_bytes);
  if (header.data_bytes >= kNoLimit - size) return;
  const auto reason = [&](std::int64_t file_bytes, std::int64_t limit) {
    return GetErrorReason(ParseNpyFile(bytes, file_bytes, limit).status());
  };
  const std::int64_t whole = size + header.data_bytes;
  Require(reason(whole, header.data_bytes).empty(), "exactly fits", bytes);
  Require(reason(whole + 1, kNoLimit) == reason::kTrailingBytes,
          "one byte too many", bytes);
  Require(reason(whole - 1, kNoLimit) == reason::kNpyTruncated,
          "one byte too few", bytes);
  Require(reason(whole, header.data_bytes - 1) == reason::kTensorTooLarge,
          "one byte beyond the limit", bytes);
}

void CheckWriting(const NpyHeader& header, std::string_view bytes) {
  const DType dtype = header.type.dtype.value_or(
      header.type.item_size == 2 ? DType::kBFloat16 : DType::kFloat8E5M2);
  const std::string written =
      WriteNpyHeader(dtype, header.type.order, header.order, header.shape);
  const HeaderOrStatus again = ParseNpyHeader(written);
  Require(again.ok() && again->has_value(), "what is written reads back",
          bytes);
  Require((*again)->shape == header.shape &&
              (*again)->data_bytes == header.data_bytes &&
              (*again)->type.dtype == header.type.dtype,
          "what is written reads back the same", bytes);
}

// A stream that has less of the file knows nothing, or the same.
void CheckPrefix(const HeaderOrStatus& whole, std::string_view bytes,
                 std::size_t size) {
  const HeaderOrStatus part = ParseNpyHeader(bytes.substr(0, size));
  if (part.ok() && !*part) return;
  if (!part.ok()) {
    Require(!whole.ok() &&
                GetErrorReason(part.status()) == GetErrorReason(whole.status()),
            "more bytes do not change a refusal", bytes);
  } else {
    Require(whole.ok() && whole->has_value() &&
                (*whole)->shape == (*part)->shape &&
                (*whole)->header_bytes == (*part)->header_bytes,
            "more bytes do not change a header", bytes);
  }
}

void CheckBytes(std::string_view bytes) {
  const HeaderOrStatus header = ParseNpyHeader(bytes);
  if (!header.ok()) {
    CheckRefused(header.status(), bytes);
  } else if (*header) {
    CheckSizes(**header, bytes);
    CheckFile(**header, bytes);
    CheckWriting(**header, bytes);
  } else {
    Require(bytes.size() < kMaxNpyHeaderBytes + 12,
            "a header is not collected for ever", bytes);
  }
  for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 14);
       ++size) {
    CheckPrefix(header, bytes, size);
  }
  CheckPrefix(header, bytes, bytes.size() / 2);
  CheckPrefix(header, bytes, bytes.empty() ? 0 : bytes.size() - 1);
}

// Most inputs would fall for the length before their text is looked at.
void CheckText(std::string_view text, char version) {
  std::string bytes = {'\x93', 'N', 'U', 'M', 'P', 'Y', version, '\0'};
  for (int shift = 0; shift < (version == 1 ? 16 : 32); shift += 8) {
    bytes.push_back(static_cast<char>(text.size() >> shift & 0xff));
  }
  CheckBytes(bytes + std::string(text));
}

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string bytes(data, data + size);
  tensord::CheckBytes(bytes);
  for (char version : {1, 2, 3}) tensord::CheckText(bytes, version);
  return 0;
}
