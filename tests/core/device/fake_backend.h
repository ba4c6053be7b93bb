// A device for tests: the CPU's memory under another name, with faults on
// demand.
#ifndef TENSORD_TESTS_CORE_DEVICE_FAKE_BACKEND_H_
#define TENSORD_TESTS_CORE_DEVICE_FAKE_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/device/cpu_backend.h"
#include "core/device/device_backend.h"
#include "core/mutex.h"
#include "tests/core/gate.h"

namespace tensord {

// Counts every call that can fail and fails one of them when told to.
// Thread-safe.
class FaultPlan {
 public:
  // Fails the call that comes after `calls` others, once.
  void FailAfter(int calls) {
    MutexLock lock(mutex_);
    calls_left_ = calls;
    fired_ = false;
  }
  // Whether the planned fault has come.
  bool fired() {
    MutexLock lock(mutex_);
    return fired_;
  }
  absl::Status NextCall() {
    MutexLock lock(mutex_);
    if (calls_left_ < 0 || calls_left_-- > 0) return absl::OkStatus();
    fired_ = true;
    return absl::DataLossError("planned fault");
  }

 private:
  Mutex mutex_;
  // Negative: no fault is planned.
  int calls_left_ ABSL_GUARDED_BY(mutex_) = -1;
  bool fired_ ABSL_GUARDED_BY(mutex_) = false;
};

// What it allocates says that it lies on `device`. Unless that is the CPU, the
// host can not read it in place.
class FakeBackend final : public DeviceBackend {
 public:
  FakeBackend(Device device, std::shared_ptr<FaultPlan> faults)
      : device_(device),
        faults_(std::move(faults)),
        memory_(NewCpuBackend({.max_pooled_bytes = 0})) {}

  Device device() const override { return device_; }
  std::string description() const override { return "fake"; }
  std::size_t memory_bytes() const override { return memory_->memory_bytes(); }
  bool may_wait() const override { return device_ != kCpuDevice; }
  absl::Status health() const override {
    MutexLock lock(mutex_);
    return health_;
  }
  // Of whom health() tells from now on.
  void TakeOutOfService(absl::Status why) {
    MutexLock lock(mutex_);
    health_ = std::move(why);
  }

  // Called at the start of every call that a device may let wait, those of
  // writers included, on the caller's thread. To be set before any is made.
  void SetHook(std::function<void()> hook) { hook_ = std::move(hook); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) override {
    if (absl::Status fault = NextCall(); !fault.ok()) return fault;
    auto memory = memory_->Allocate(size_bytes);
    if (!memory.ok()) return memory.status();
    std::byte* const data = (*memory)->data();
    return std::make_shared<Buffer>(device_, data, size_bytes,
                                    *std::move(memory));
  }

  PoolStats pool_stats() const override { return memory_->pool_stats(); }
  void Trim(absl::Duration idle) override {
    if (hook_) hook_();
    memory_->Trim(idle);
  }

  std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) override {
    return std::make_unique<Writer>(
        memory_->NewWriter(std::move(buffer), begin, conversion), *this);
  }

  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    if (absl::Status fault = NextCall(); !fault.ok()) return fault;
    return memory_->ReadToHost(source, begin, count, to, to_order, overflow,
                               dst, failures);
  }

  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures,
                    const IsCancelled& is_cancelled) override {
    if (absl::Status fault = NextCall(); !fault.ok()) return fault;
    return memory_->Cast(source, to, overflow, destination, failures,
                         is_cancelled);
  }

  absl::Status CastFromPeer(DeviceBackend&, const BufferView&, DType, Overflow,
                            Buffer&, CastFailures*) override {
    return absl::UnimplementedError("no peers");
  }

  const std::byte* HostAddress(const Buffer& buffer) const override {
    return device_ == kCpuDevice ? buffer.data() : nullptr;
  }

  // Bytes that all its writers have been handed.
  std::size_t received_bytes() const { return received_bytes_; }
  // Writers that were written to since they were flushed.
  int unflushed_writers() const { return unflushed_writers_; }

 private:
  class Writer final : public BufferWriter {
   public:
    Writer(std::unique_ptr<BufferWriter> writer, FakeBackend& backend)
        : writer_(std::move(writer)), backend_(backend) {}
    ~Writer() override { SetUnflushed(false); }

    absl::Status Write(absl::Span<const std::byte> piece) override {
      absl::Status fault = backend_.NextCall();
      if (!fault.ok()) return fault;
      SetUnflushed(true);
      backend_.received_bytes_ += piece.size();
      return writer_->Write(piece);
    }

    absl::Status Flush() override {
      SetUnflushed(false);
      return backend_.NextCall();
    }

    absl::Status Finish(CastFailures* failures) override {
      SetUnflushed(false);
      absl::Status fault = backend_.NextCall();
      return fault.ok() ? writer_->Finish(failures) : fault;
    }

    ConversionReport report() const override { return writer_->report(); }

   private:
    void SetUnflushed(bool unflushed) {
      backend_.unflushed_writers_ += (unflushed ? 1 : 0) - (unflushed_ ? 1 : 0);
      unflushed_ = unflushed;
    }

    std::unique_ptr<BufferWriter> writer_;
    FakeBackend& backend_;
    bool unflushed_ = false;
  };

  absl::Status NextCall() {
    if (hook_) hook_();
    return faults_->NextCall();
  }

  Device device_;
  std::shared_ptr<FaultPlan> faults_;
  std::unique_ptr<DeviceBackend> memory_;
  std::function<void()> hook_;
  std::atomic<std::size_t> received_bytes_{0};
  std::atomic<int> unflushed_writers_{0};
  mutable Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_TESTS_CORE_DEVICE_FAKE_BACKEND_H_
