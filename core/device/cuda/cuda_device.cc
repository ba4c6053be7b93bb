#include "core/device/cuda/cuda_device.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {

class CudaDevice::PooledEvent {
 public:
  static absl::StatusOr<PooledEvent> Take(CudaDevice& device) {
    auto event = device.TakeEvent();
    if (!event.ok()) return event.status();
    return PooledEvent(device, *event);
  }
  PooledEvent(PooledEvent&& other) noexcept
      : device_(other.device_), event_(std::exchange(other.event_, nullptr)) {}
  ~PooledEvent() {
    if (event_ != nullptr) device_.PutEvent(event_);
  }

  CudaEvent get() const { return event_; }

 private:
  PooledEvent(CudaDevice& device, CudaEvent event)
      : device_(device), event_(event) {}

  CudaDevice& device_;
  CudaEvent event_;
};

absl::StatusOr<std::shared_ptr<CudaDevice>> CudaDevice::Open(
    std::unique_ptr<CudaRuntime> runtime) {
  std::shared_ptr<CudaDevice> device(new CudaDevice(std::move(runtime)));
  Streams& streams = device->streams_;
  for (CudaStream* const stream : {&streams.memory, &streams.upload,
                                   &streams.compute, &streams.download}) {
    absl::Status status = device->Check(device->runtime_->CreateStream(stream),
                                        "creation of a stream");
    if (!status.ok()) return status;
  }
  return device;
}

CudaDevice::~CudaDevice() {
  // Nobody is left to tell of errors.
  for (CudaEvent const event : free_events_) runtime_->DestroyEvent(event);
  for (CudaStream const stream : {streams_.memory, streams_.upload,
                                  streams_.compute, streams_.download}) {
    if (stream == nullptr) continue;
    runtime_->SynchronizeStream(stream);
    runtime_->DestroyStream(stream);
  }
}

absl::Status CudaDevice::Check(CudaError error, std::string_view what) {
  if (error == CudaError::kSuccess) return absl::OkStatus();
  const bool lasts = runtime_->Probe() != CudaError::kSuccess;
  const std::string text =
      absl::StrCat("CUDA error: ", runtime_->ErrorText(error), ", on ",
                   DeviceString(device()), " in the ", std::string(what));
  if (lasts) {
    MutexLock lock(mutex_);
    if (health_.ok()) {
      health_ = MakeError(absl::StatusCode::kFailedPrecondition,
                          reason::kDeviceOutOfService,
                          absl::StrCat(DeviceString(device()),
                                       " is out of service, and what it held "
                                       "is lost, since a ",
                                       text));
    }
  } else if (error == CudaError::kMemoryAllocation) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kDeviceMemoryExhausted, text);
  }
  return MakeError(absl::StatusCode::kInternal, reason::kDeviceError, text);
}

absl::Status CudaDevice::health() const {
  MutexLock lock(mutex_);
  return health_;
}

absl::Status CudaDevice::Order(CudaStream earlier, CudaStream later,
                               CudaDevice& earlier_device) {
  const auto event = PooledEvent::Take(earlier_device);
  if (!event.ok()) return event.status();
  absl::Status status = earlier_device.Check(
      earlier_device.runtime_->RecordEvent(event->get(), earlier),
      "recording of an event");
  if (!status.ok()) return status;
  return Check(runtime_->WaitEvent(later, event->get()), "wait of a stream");
}

absl::Status CudaDevice::WaitFor(CudaStream stream) {
  const auto event = PooledEvent::Take(*this);
  if (!event.ok()) return event.status();
  absl::Status status = Check(runtime_->RecordEvent(event->get(), stream),
                              "recording of an event");
  if (!status.ok()) return status;
  return Check(runtime_->SynchronizeEvent(event->get()), "wait for a stream");
}

absl::StatusOr<CudaEvent> CudaDevice::TakeEvent() {
  {
    MutexLock lock(mutex_);
    if (!free_events_.empty()) {
      CudaEvent const event = free_events_.back();
      free_events_.pop_back();
      return event;
    }
  }
  CudaEvent event = nullptr;
  absl::Status status =
      Check(runtime_->CreateEvent(&event), "creation of an event");
  if (!status.ok()) return status;
  return event;
}

void CudaDevice::PutEvent(CudaEvent event) {
  MutexLock lock(mutex_);
  free_events_.push_back(event);
}

}  // namespace tensord
