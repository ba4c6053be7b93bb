#include "client/cpp/src/array_sink.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/array_plan.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

absl::Status WrongSizeError(std::int64_t size_bytes,
                            std::int64_t expected_bytes) {
  return MakeError(absl::StatusCode::kDataLoss, reason::kSizeMismatch,
                   absl::StrCat("the server sent ", size_bytes,
                                " bytes of an array of ", expected_bytes));
}

}  // namespace

ArraySink::ArraySink(ArrayLayout expected, ByteRange range,
                     std::byte* destination, Meter& meter)
    : expected_(std::move(expected)),
      range_(range),
      destination_(destination),
      meter_(meter),
      position_(range.begin) {}

absl::Status ArraySink::WrongSize(std::int64_t end) const {
  return WrongSizeError(end - range_.begin, range_.end - range_.begin);
}

absl::Status ArraySink::Take(const grpc::ByteBuffer& message) {
  slices_.clear();
  if (!message.Dump(&slices_).ok()) {
    return MalformedAnswer("a message that can not be read");
  }
  const absl::StatusOr<ArrayMessage> parsed = ParseArrayMessage(slices_);
  if (!parsed.ok()) return parsed.status();
  const bool is_header = parsed->kind == ArrayMessage::Kind::kHeader;
  if (is_header == has_header_) {
    return MalformedAnswer(is_header ? "a second header"
                                     : "a chunk before the header");
  }
  return is_header ? TakeHeader(parsed->bytes) : TakeChunk(*parsed);
}

absl::Status ArraySink::TakeHeader(SliceCursor bytes) {
  has_header_ = true;
  v1::ArrayHeader header;
  if (!header.ParseFromString(bytes.TakeString())) {
    return MalformedAnswer("a header that can not be read");
  }
  if (header.encoding() != v1::ENCODING_UNSPECIFIED &&
      header.encoding() != v1::ENCODING_RAW) {
    return MalformedAnswer("an encoding that was not asked for");
  }
  if (absl::Status status = CheckSpec(header.spec(), expected_); !status.ok()) {
    return status;
  }
  if (position_ > range_.begin && header.etag() != etag_) {
    return TensorChanged();
  }
  etag_ = header.etag();
  if (header.total_bytes() < 0 ||
      static_cast<std::uint64_t>(header.total_bytes()) !=
          expected_.size_bytes) {
    return MalformedAnswer(absl::StrCat("total_bytes of ", header.total_bytes(),
                                        " for an array of ",
                                        expected_.size_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status ArraySink::TakeChunk(const ArrayMessage& chunk) {
  if (chunk.offset != position_) {
    return MakeError(
        absl::StatusCode::kDataLoss, reason::kOffsetMismatch,
        absl::StrCat("the server sent a chunk at offset ", chunk.offset,
                     " where ", position_, " follows"));
  }
  SliceCursor data = chunk.bytes;
  const std::size_t size_bytes = data.remaining();
  const std::int64_t end = position_ + static_cast<std::int64_t>(size_bytes);
  if (end > range_.end) return WrongSize(end);
  std::byte* const to = destination_ + position_;
  if (!chunk.crc32c.has_value()) {
    data.CopyTo(to, size_bytes);
  } else if (data.CopyWithCrc32c(to, size_bytes) != *chunk.crc32c) {
    return MakeError(absl::StatusCode::kDataLoss, reason::kChecksumMismatch,
                     absl::StrCat("the chunk at offset ", chunk.offset,
                                  " is not what the server sent"));
  }
  position_ = end;
  meter_.Reach(position_);
  return absl::OkStatus();
}

void ArraySink::Restart() {
  has_header_ = false;
  position_ = range_.begin;
}

absl::Status TensorChanged() {
  return MakeError(absl::StatusCode::kAborted, reason::kEtagMismatch,
                   "the tensor changed while it was read");
}

bool ArraySink::takes_all() const {
  return range_.begin == 0 &&
         range_.end == static_cast<std::int64_t>(expected_.size_bytes);
}

absl::Status ArraySink::CheckComplete() const {
  if (has_header_ && position_ == range_.end) return absl::OkStatus();
  return WrongSize(position_);
}

absl::Status FillFrom(const v1::ReadTensorResponse& response,
                      const ArrayLayout& expected, std::byte* destination) {
  if (absl::Status status = CheckSpec(response.spec(), expected);
      !status.ok()) {
    return status;
  }
  const std::string& data = response.data();
  if (data.size() != expected.size_bytes) {
    return WrongSizeError(static_cast<std::int64_t>(data.size()),
                          static_cast<std::int64_t>(expected.size_bytes));
  }
  if (!data.empty()) std::memcpy(destination, data.data(), data.size());
  return absl::OkStatus();
}

}  // namespace tensord::client
