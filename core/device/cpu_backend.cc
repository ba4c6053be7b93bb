#include "core/device/cpu_backend.h"

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <fstream>
#include <functional>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/cast/cast_parts.h"
#include "core/cast/packed_cast.h"
#include "core/error.h"

namespace tensord {
namespace {

// What /proc/cpuinfo calls the first processor.
std::string CpuModelName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!absl::StartsWith(line, "model name")) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(colon + 1);
    absl::StripAsciiWhitespace(&name);
    if (!name.empty()) return name;
  }
  return "CPU";
}

// A ParallelFor of this thread alone.
void OneByOne(std::size_t count, const std::function<void(std::size_t)>& body) {
  for (std::size_t i = 0; i < count; ++i) body(i);
}

// Results of a part of a cast that is worth another thread, and past the
// caches.
constexpr std::size_t kPartBytes = 2 * kMinStreamedBytes;

// The conversion to a buffer of so many bytes.
CastStream::Options Streamed(CastStream::Options conversion,
                             std::size_t buffer_bytes) {
  conversion.streamed = buffer_bytes >= kMinStreamedBytes;
  return conversion;
}

class CpuWriter final : public BufferWriter {
 public:
  CpuWriter(std::shared_ptr<Buffer> buffer, std::int64_t begin,
            const CastStream::Options& conversion)
      : buffer_(std::move(buffer)),
        stream_(Streamed(conversion, buffer_->size_bytes())),
        is_strict_(conversion.overflow == Overflow::kError),
        position_(static_cast<std::size_t>(begin) * ItemSize(conversion.to)) {}

  absl::Status Write(absl::Span<const std::byte> piece) override {
    absl::Status status = CheckRoom(
        position_ + stream_.OutputBytes(piece.size()), DType::kUInt8, *buffer_);
    if (!status.ok()) return status;
    position_ += stream_.Convert(piece, buffer_->data() + position_);
    return status;
  }

  absl::Status Flush() override { return absl::OkStatus(); }

  absl::Status Finish(CastFailures* failures) override {
    if (is_strict_) *failures = stream_.failures();
    return absl::OkStatus();
  }
  ConversionReport report() const override { return stream_.report(); }

 private:
  std::shared_ptr<Buffer> buffer_;
  CastStream stream_;
  bool is_strict_;
  // Of the next byte in the buffer.
  std::size_t position_;
};

class CpuBackend final : public DeviceBackend {
 public:
  CpuBackend(Arena::Options options, ParallelFor parallel_for)
      : arena_(std::move(options)),
        description_(CpuModelName()),
        parallel_for_(std::move(parallel_for)) {}

  Device device() const override { return kCpuDevice; }
  std::string description() const override { return description_; }
  std::size_t memory_bytes() const override {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  bool may_wait() const override { return false; }
  absl::Status health() const override { return absl::OkStatus(); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) override {
    absl::StatusOr<std::shared_ptr<std::byte>> block =
        arena_.Allocate(size_bytes);
    if (!block.ok()) return block.status();
    std::byte* const data = block->get();
    try {
      return std::make_shared<Buffer>(kCpuDevice, data, size_bytes,
                                      *std::move(block));
    } catch (const std::bad_alloc&) {
      return MakeError(absl::StatusCode::kResourceExhausted,
                       reason::kMemoryExhausted, "out of memory");
    }
  }

  PoolStats pool_stats() const override {
    const Arena::Stats stats = arena_.stats();
    return {.reserved_bytes = stats.used_bytes + stats.pooled_bytes,
            .used_bytes = stats.used_bytes};
  }

  void Trim(absl::Duration idle) override { arena_.Trim(idle); }

  std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) override {
    return std::make_unique<CpuWriter>(std::move(buffer), begin, conversion);
  }

  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    CastStrided(source.dtype, source.buffer->data(), source.layout, begin,
                count, to, to_order, dst, overflow, failures);
    return absl::OkStatus();
  }

  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures,
                    const IsCancelled& is_cancelled) override {
    const std::int64_t count = ElementCount(source.layout.shape);
    absl::Status status =
        CheckRoom(static_cast<std::size_t>(count), to, destination);
    if (!status.ok()) return status;
    const std::size_t parts =
        static_cast<std::size_t>(count) * ItemSize(to) / kPartBytes;
    if (parts > 1) {
      if (overflow == Overflow::kError) *failures = {};
      std::atomic<bool> is_over = false;
      CastInParts(
          parallel_for_ != nullptr ? parallel_for_ : OneByOne, count, parts,
          [&](std::int64_t begin, std::int64_t part, CastFailures* found) {
            if (is_over || Ask(is_cancelled)) {
              is_over = true;
              return;
            }
            CastStrided(source.dtype, source.buffer->data(), source.layout,
                        begin, part, to, ByteOrder::kLittle,
                        destination.data() +
                            static_cast<std::size_t>(begin) * ItemSize(to),
                        overflow, found);
          },
          failures);
      return is_over ? absl::CancelledError() : absl::OkStatus();
    }
    return ReadToHost(source, 0, count, to, ByteOrder::kLittle, overflow,
                      destination.data(), failures);
  }

  absl::Status CastFromPeer(DeviceBackend&, const BufferView&, DType, Overflow,
                            Buffer&, CastFailures*) override {
    return absl::UnimplementedError("the memory of no other device is read");
  }

  const std::byte* HostAddress(const Buffer& buffer) const override {
    return buffer.data();
  }

 private:
  Arena arena_;
  std::string description_;
  ParallelFor parallel_for_;
};

}  // namespace

std::unique_ptr<DeviceBackend> NewCpuBackend(Arena::Options options,
                                             ParallelFor parallel_for) {
  return std::make_unique<CpuBackend>(std::move(options),
                                      std::move(parallel_for));
}

}  // namespace tensord
