#include "client/cpp/src/array_source.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "client/cpp/src/call_group.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/npy_file.h"
#include "core/crc32c.h"

namespace tensord::client {
namespace {

std::int64_t UsableChunkBytes(const SendPlan& plan, std::int64_t chunk_bytes) {
  if (plan.in_place) return chunk_bytes;
  const auto item = static_cast<std::int64_t>(plan.item_size);
  return std::max(chunk_bytes / item, std::int64_t{1}) * item;
}

}  // namespace

ArraySource::ArraySource(const grpc::ByteBuffer& declaration, SendPlan plan,
                         std::int64_t chunk_bytes, bool checksums,
                         ByteRange range, Meter& meter)
    : declaration_(declaration),
      plan_(std::move(plan)),
      chunk_bytes_(UsableChunkBytes(plan_, chunk_bytes)),
      checksums_(checksums),
      position_(range.begin),
      end_(range.end),
      meter_(meter) {}

grpc::ByteBuffer ArraySource::Next(bool* last) {
  if (!declared_) {
    declared_ = true;
    return std::exchange(declaration_, {});
  }
  const std::int64_t offset = position_;
  const std::int64_t size_bytes = std::min(chunk_bytes_, end_ - offset);
  position_ += size_bytes;
  meter_.Reach(position_);
  *last = position_ == end_;
  if (size_bytes == 0) return FinishMessage();
  const grpc::Slice data = NextData(size_bytes);
  std::optional<std::uint32_t> crc32c;
  if (checksums_) {
    crc32c = Crc32c(std::string_view(
        reinterpret_cast<const char*>(data.begin()), data.size()));
  }
  return ChunkMessage(offset, crc32c, data, *last);
}

Task<Nothing> ArraySource::Settle(const Execution& execution) const {
  if (execution.owns_thread) co_return Nothing();
  constexpr absl::Duration kLongest = absl::Milliseconds(20);
  // Whatever is given up: the memory is the caller's.
  CallGroup nothing_ends_it;
  Execution patient = execution;
  patient.group = &nothing_ends_it;
  absl::Duration pause = absl::Microseconds(50);
  while (loans_.outstanding() != 0) {
    co_await Pause(patient, pause);
    pause = std::min(2 * pause, kLongest);
  }
  co_return Nothing();
}

grpc::Slice ArraySource::NextData(std::int64_t size_bytes) {
  const std::int64_t offset = position_ - size_bytes;
  const auto size = static_cast<std::size_t>(size_bytes);
  if (plan_.file != nullptr) {
    grpc::Slice read(size);
    // Nobody else has it yet.
    auto* const to = const_cast<std::uint8_t*>(read.begin());
    plan_.file->Read(offset, size, reinterpret_cast<std::byte*>(to));
    return read;
  }
  if (plan_.in_place) return loans_.Lend(plan_.data + offset, size);
  const auto item = static_cast<std::int64_t>(plan_.item_size);
  Staging& staging = FreeStaging();
  Gather(plan_, offset / item, size_bytes / item, staging.bytes.get());
  return loans_.Lend(staging.bytes.get(), size, &staging.lent);
}

ArraySource::Staging& ArraySource::FreeStaging() {
  for (const std::unique_ptr<Staging>& staging : staging_) {
    if (!staging->lent.load(std::memory_order_acquire)) return *staging;
  }
  staging_.push_back(
      std::make_unique<Staging>(static_cast<std::size_t>(chunk_bytes_)));
  return *staging_.back();
}

}  // namespace tensord::client
