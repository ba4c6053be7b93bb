#include "server/rpc/convert_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/types/span.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/npy.h"
#include "server/wire/violations.h"

namespace tensord {
namespace {

// Blocks that stay in the cache from the cast to the socket.
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

}  // namespace

ConvertSession::ConvertSession(const ServiceContext& context,
                               ChunkProtocol::Clock clock)
    : context_(context),
      block_bytes_(std::min(kBlockBytes, static_cast<std::size_t>(
                                             context.limits.max_chunk_bytes))),
      protocol_(context.limits.max_chunk_bytes, std::move(clock)) {}

absl::Status ConvertSession::Take(const Envelope& envelope,
                                  const v1::ConvertDeclaration& declaration) {
  absl::Status status = protocol_.CheckOrder(envelope);
  if (status.ok() && envelope.payload == Envelope::Payload::kDeclaration) {
    status = Declare(declaration);
  }
  if (status.ok() && envelope.payload == Envelope::Payload::kChunk) {
    status = TakeChunk(envelope.chunk);
  }
  if (status.ok() && envelope.finish) status = Finish();
  return status;
}

absl::Status ConvertSession::Declare(
    const v1::ConvertDeclaration& declaration) {
  Violations violations;
  DeclaredArray declared = ParseArrayDeclaration(
      declaration.array(), "declaration.array", violations);
  const std::optional<DType> dtype = violations.Take(
      ParseOptionalDType(declaration.dtype()), "declaration.dtype");
  overflow_ = violations.Take(ParseOverflow(declaration.overflow()),
                              "declaration.overflow");
  byte_order_ = violations.Take(ParseByteOrder(declaration.byte_order()),
                                "declaration.byte_order");
  encoding_ = violations.Take(ParseEncoding(declaration.encoding()),
                              "declaration.encoding");
  send_checksums_ = declaration.send_checksums();
  if (!violations.empty()) return violations.status();
  protocol_.Declare(declared.total_bytes);
  source_.emplace(std::move(declared), dtype, context_.limits.max_tensor_bytes);
  absl::Status status = source_->Check();
  if (status.ok() && source_->format() != nullptr) status = Prepare();
  return ArgumentAtField(std::move(status), "declaration.array");
}

absl::Status ConvertSession::Prepare() {
  const ArrayFormat& from = *source_->format();
  const ArrayFormat to{source_->target_dtype(), from.layout, byte_order_};
  const std::optional<Order> order = DenseOrder(to.layout);
  if (encoding_ == Encoding::kNpy) {
    if (!order.has_value()) {
      return InvalidArgument(reason::kOrderInvalid,
                             "a .npy file has its elements in C order or in "
                             "Fortran order; these strides are neither");
    }
    prefix_ = WriteNpyHeader(to.dtype, byte_order_, *order, to.layout.shape);
  }
  stream_.emplace(CastStream::Options{.from = from.dtype,
                                      .from_order = from.byte_order,
                                      .to = to.dtype,
                                      .to_order = byte_order_,
                                      .overflow = overflow_});
  header_.emplace();
  *header_->mutable_spec() = WriteArraySpec(to);
  header_->set_encoding(ToProto(encoding_));
  header_->set_total_bytes(static_cast<std::int64_t>(prefix_.size()) +
                           to.data_bytes());
  return absl::OkStatus();
}

absl::Status ConvertSession::TakeChunk(const ChunkView& chunk) {
  if (absl::Status status = protocol_.CheckChunk(chunk); !status.ok()) {
    return status;
  }
  pending_.clear();
  next_ = 0;
  absl::Status status =
      ChunkProtocol::TakeData(chunk, [this](std::string_view piece) {
        return ArgumentAtField(source_->Take(piece,
                                             [this](std::string_view elements) {
                                               pending_.push_back(elements);
                                               return absl::OkStatus();
                                             }),
                               "chunk.data");
      });
  if (!status.ok()) return status;
  context_.events->ArrayBytesReceived(
      static_cast<std::int64_t>(chunk.data_bytes));
  const bool known = source_->format() != nullptr;
  return known && !stream_.has_value() ? Prepare() : absl::OkStatus();
}

absl::Status ConvertSession::Finish() {
  if (absl::Status status = protocol_.CheckFinish(); !status.ok()) {
    return status;
  }
  return ArgumentAtField(source_->Finish(), "chunk.data");
}

std::size_t ConvertSession::PendingOutputBytes() const {
  std::size_t pending_bytes = 0;
  for (std::size_t i = next_; i < pending_.size(); ++i) {
    pending_bytes += pending_[i].size();
  }
  return stream_->OutputBytes(pending_bytes);
}

std::size_t ConvertSession::Fill(std::byte* block, std::size_t room) {
  const std::size_t from_size = ItemSize(source_->format()->dtype);
  const std::size_t to_size = ItemSize(source_->target_dtype());
  std::size_t filled = 0;
  while (next_ < pending_.size()) {
    std::string_view& piece = pending_[next_];
    std::size_t most = piece.size();
    if (stream_->OutputBytes(most) > room - filled) {
      const std::size_t elements = (room - filled) / to_size;
      if (elements == 0) break;
      // Whatever part of an element came before, so many bytes complete no
      // more than fit.
      most = (elements - 1) * from_size + 1;
    }
    const std::string_view part = piece.substr(0, most);
    filled += stream_->Convert(
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(part.data()),
                            part.size()),
        block + filled);
    piece.remove_prefix(part.size());
    if (piece.empty()) ++next_;
  }
  return filled;
}

ConvertedChunk ConvertSession::Chunk(std::shared_ptr<std::byte> data,
                                     std::size_t size_bytes) {
  ConvertedChunk chunk{.offset = sent_bytes_,
                       .size_bytes = size_bytes,
                       .crc32c = {},
                       .data = std::move(data)};
  if (send_checksums_) {
    chunk.crc32c = Crc32c(std::string_view(
        reinterpret_cast<const char*>(chunk.data.get()), size_bytes));
  }
  sent_bytes_ += static_cast<std::int64_t>(size_bytes);
  context_.events->ArrayBytesSent(static_cast<std::int64_t>(size_bytes));
  return chunk;
}

absl::StatusOr<ConvertOutput> ConvertSession::Next() {
  if (header_.has_value()) {
    ConvertOutput output = *std::move(header_);
    header_.reset();
    return output;
  }
  if (prefix_.empty() && next_ == pending_.size()) return ConvertOutput();
  const std::size_t room =
      std::min(block_bytes_, prefix_.size() + PendingOutputBytes());
  auto block = context_.chunk_arena->Allocate(room);
  if (!block.ok()) return block.status();
  const std::size_t prefix_bytes = std::min(prefix_.size(), room);
  std::memcpy(block->get(), prefix_.data(), prefix_bytes);
  prefix_.erase(0, prefix_bytes);
  const absl::Time start = absl::Now();
  const std::size_t filled =
      prefix_bytes + Fill(block->get() + prefix_bytes, room - prefix_bytes);
  conversion_time_ += absl::Now() - start;
  if (filled == 0) return ConvertOutput();
  return ConvertOutput(Chunk(*std::move(block), filled));
}

absl::Status ConvertSession::End() {
  if (absl::Status status = protocol_.CheckEnd(); !status.ok()) return status;
  if (absl::Status status = stream_->Finish(); !status.ok()) return status;
  context_.events->Converted(source_->format()->dtype, source_->target_dtype(),
                             kCpuDevice, kCpuDevice, conversion_time_);
  return absl::OkStatus();
}

}  // namespace tensord
