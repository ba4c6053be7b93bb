#include "core/device/cuda/cuda_backend.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/cuda_engine.h"
#include "core/device/cuda/cuda_memory.h"
#include "core/device/cuda/cuda_read.h"
#include "core/device/cuda/cuda_writer.h"
#include "core/device/cuda/peer_cast.h"

namespace tensord {
namespace {

// What the pool has from the start.
constexpr std::size_t kWarmBytes = std::size_t{32} << 20;

class CudaBackend final : public DeviceBackend {
 public:
  CudaBackend(const std::shared_ptr<CudaDevice>& device,
              ParallelFor parallel_for, std::function<absl::Time()> clock)
      : engine_(device, std::move(parallel_for)),
        memory_(CudaMemory::Make(device, std::move(clock))) {}

  // Makes what the first calls would wait for. Want of memory is no error yet.
  absl::Status Warm() {
    memory_->Allocate(kWarmBytes).status().IgnoreError();
    engine_.uploads().TryAcquire();
    engine_.downloads().TryAcquire();
    return health();
  }

  Device device() const override { return engine_.device().device(); }
  std::string description() const override {
    return engine_.runtime().device_name();
  }
  std::size_t memory_bytes() const override {
    return engine_.runtime().memory_bytes();
  }
  bool may_wait() const override { return true; }
  absl::Status health() const override { return engine_.device().health(); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) override {
    return memory_->Allocate(size_bytes);
  }
  PoolStats pool_stats() const override {
    PoolStats stats = memory_->stats();
    stats.pinned_bytes = engine_.pinned_bytes();
    return stats;
  }
  void Trim(absl::Duration idle) override { memory_->Trim(idle); }

  std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) override {
    return std::make_unique<CudaWriter>(engine_, std::move(buffer), begin,
                                        conversion);
  }

  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    if (absl::Status status = health(); !status.ok()) return status;
    if (overflow == Overflow::kError) *failures = {};
    const CudaElements elements{.view = source, .begin = begin, .count = count};
    return CudaRead(engine_, elements, to, to_order, overflow, dst, failures)
        .Run();
  }

  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures,
                    const IsCancelled&) override {
    const CudaElements elements = CudaElements::All(source);
    absl::Status status = health();
    if (status.ok()) status = CheckRoom(elements, to, destination);
    if (!status.ok()) return status;
    if (overflow == Overflow::kError) *failures = {};
    if (overflow == Overflow::kError && MayMisfit(source.dtype, to)) {
      return CastStrictly(elements, to, destination, failures);
    }
    status = engine_.Cast(elements, {.to = to, .overflow = overflow},
                          destination.data());
    return status.ok() ? engine_.device().WaitFor(engine_.streams().compute)
                       : status;
  }

  absl::Status CastFromPeer(DeviceBackend& peer, const BufferView& source,
                            DType to, Overflow overflow, Buffer& destination,
                            CastFailures* failures) override {
    auto* const sender = dynamic_cast<CudaBackend*>(&peer);
    if (sender == nullptr) {
      return absl::UnimplementedError("the peer is no CUDA device");
    }
    const CudaElements elements = CudaElements::All(source);
    absl::Status status = sender->health();
    if (status.ok()) status = health();
    if (status.ok()) status = CheckRoom(elements, to, destination);
    if (!status.ok()) return status;
    if (overflow == Overflow::kError) *failures = {};
    if (elements.count == 0) return absl::OkStatus();
    return PeerCast(sender->engine_, engine_, elements, to, overflow,
                    destination.data(), failures)
        .Run();
  }

  const std::byte* HostAddress(const Buffer&) const override { return nullptr; }

 private:
  static absl::Status CheckRoom(const CudaElements& elements, DType dtype,
                                const Buffer& buffer) {
    return tensord::CheckRoom(static_cast<std::size_t>(elements.count), dtype,
                              buffer);
  }

  absl::Status CastStrictly(const CudaElements& elements, DType to,
                            Buffer& destination, CastFailures* failures) {
    absl::StatusOr<StagingPool::Lease> slot = engine_.downloads().Acquire();
    if (!slot.ok()) return slot.status();
    absl::Status status = engine_.ClearRecord(*slot);
    if (status.ok()) {
      status = engine_.Cast(elements,
                            {.to = to,
                             .overflow = Overflow::kError,
                             .record = slot->device_record()},
                            destination.data());
    }
    if (status.ok()) {
      status = engine_.FetchRecord(*slot, engine_.streams().compute);
    }
    if (status.ok()) status = slot->Wait();
    if (!status.ok()) return status;
    auto found = engine_.ReadRecord(*slot->host_record(), elements, *slot);
    if (!found.ok()) return found.status();
    *failures = *std::move(found);
    return absl::OkStatus();
  }

  CudaEngine engine_;
  std::shared_ptr<CudaMemory> memory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBackend>> NewCudaBackend(
    std::unique_ptr<CudaRuntime> runtime, ParallelFor parallel_for,
    std::function<absl::Time()> clock) {
  auto device = CudaDevice::Open(std::move(runtime));
  if (!device.ok()) return device.status();
  auto backend = std::make_unique<CudaBackend>(*device, std::move(parallel_for),
                                               std::move(clock));
  if (absl::Status status = backend->Warm(); !status.ok()) return status;
  return backend;
}

}  // namespace tensord
