#include "core/device/cuda/system_cuda_runtime.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/device/cuda/cast_kernels.h"

namespace tensord {
namespace {

static_assert(static_cast<int>(CudaError::kInvalidValue) ==
              cudaErrorInvalidValue);
static_assert(static_cast<int>(CudaError::kMemoryAllocation) ==
              cudaErrorMemoryAllocation);
static_assert(static_cast<int>(CudaError::kIllegalAddress) ==
              cudaErrorIllegalAddress);
static_assert(static_cast<int>(CudaError::kLaunchFailure) ==
              cudaErrorLaunchFailure);

std::string Text(cudaError_t error) {
  return absl::StrCat(cudaGetErrorString(error), " (", cudaGetErrorName(error),
                      ")");
}

cudaStream_t Native(CudaStream stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
cudaEvent_t Native(CudaEvent event) {
  return reinterpret_cast<cudaEvent_t>(event);
}

class SystemCudaRuntime final : public CudaRuntime {
 public:
  explicit SystemCudaRuntime(int index) : index_(index) {}
  ~SystemCudaRuntime() override {
    if (pool_ != nullptr) cudaMemPoolDestroy(pool_);
  }

  // To be called first.
  cudaError_t Open() {
    if (cudaError_t error = cudaSetDevice(index_); error != cudaSuccess) {
      return error;
    }
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, index_);
    if (error != cudaSuccess) return error;
    name_ = properties.name;
    memory_bytes_ = properties.totalGlobalMem;
    if (properties.memoryPoolsSupported == 0) return cudaErrorNotSupported;
    error = cuda_kernels::CheckDevice();
    return error == cudaSuccess ? MakePool() : error;
  }

  int device_index() const override { return index_; }
  std::string device_name() const override { return name_; }
  std::size_t memory_bytes() const override { return memory_bytes_; }

  std::string ErrorText(CudaError error) const override {
    return Text(static_cast<cudaError_t>(error));
  }
  CudaError Probe() override {
    cudaGetLastError();
    std::size_t free_bytes = 0;
    const CudaError lasting = GetFreeBytes(&free_bytes);
    cudaGetLastError();
    return lasting;
  }

  CudaError MallocAsync(std::size_t size_bytes, CudaStream stream,
                        std::byte** address) override {
    void* memory = nullptr;
    const CudaError error = Call([&] {
      return cudaMallocFromPoolAsync(&memory, size_bytes, pool_,
                                     Native(stream));
    });
    if (error != CudaError::kSuccess) return error;
    *address = static_cast<std::byte*>(memory);
    return error;
  }
  CudaError FreeAsync(std::byte* address, CudaStream stream) override {
    return Call([&] { return cudaFreeAsync(address, Native(stream)); });
  }
  CudaError GetPoolBytes(std::size_t* reserved, std::size_t* used) override {
    return Call([&] {
      std::uint64_t bytes = 0;
      cudaError_t error = cudaMemPoolGetAttribute(
          pool_, cudaMemPoolAttrReservedMemCurrent, &bytes);
      if (error != cudaSuccess) return error;
      *reserved = bytes;
      error =
          cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &bytes);
      if (error == cudaSuccess) *used = bytes;
      return error;
    });
  }
  CudaError TrimPool(std::size_t kept_bytes) override {
    return Call([&] { return cudaMemPoolTrimTo(pool_, kept_bytes); });
  }
  CudaError GetFreeBytes(std::size_t* free_bytes) override {
    std::size_t total_bytes = 0;
    return Call([&] { return cudaMemGetInfo(free_bytes, &total_bytes); });
  }
  CudaError Malloc(std::size_t size_bytes, std::byte** address) override {
    return Call([&] {
      return cudaMalloc(reinterpret_cast<void**>(address), size_bytes);
    });
  }
  CudaError Free(std::byte* address) override {
    return Call([&] { return cudaFree(address); });
  }
  CudaError MallocHost(std::size_t size_bytes, std::byte** address) override {
    // Other devices copy to and from it as well.
    return Call([&] {
      return cudaHostAlloc(reinterpret_cast<void**>(address), size_bytes,
                           cudaHostAllocPortable);
    });
  }
  CudaError FreeHost(std::byte* address) override {
    return Call([&] { return cudaFreeHost(address); });
  }

  CudaError CreateStream(CudaStream* stream) override {
    return Call([&] {
      return cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream),
                                       cudaStreamNonBlocking);
    });
  }
  CudaError DestroyStream(CudaStream stream) override {
    return Call([&] { return cudaStreamDestroy(Native(stream)); });
  }
  CudaError SynchronizeStream(CudaStream stream) override {
    return Call([&] { return cudaStreamSynchronize(Native(stream)); });
  }
  CudaError CreateEvent(CudaEvent* event) override {
    return Call([&] {
      return cudaEventCreateWithFlags(
          reinterpret_cast<cudaEvent_t*>(event),
          cudaEventDisableTiming | cudaEventBlockingSync);
    });
  }
  CudaError DestroyEvent(CudaEvent event) override {
    return Call([&] { return cudaEventDestroy(Native(event)); });
  }
  CudaError RecordEvent(CudaEvent event, CudaStream stream) override {
    return Call([&] { return cudaEventRecord(Native(event), Native(stream)); });
  }
  CudaError WaitEvent(CudaStream stream, CudaEvent event) override {
    return Call(
        [&] { return cudaStreamWaitEvent(Native(stream), Native(event), 0); });
  }
  CudaError SynchronizeEvent(CudaEvent event) override {
    return Call([&] { return cudaEventSynchronize(Native(event)); });
  }

  CudaError CopyToDevice(std::byte* dst, const std::byte* src,
                         std::size_t size_bytes, CudaStream stream) override {
    return Copy(dst, src, size_bytes, cudaMemcpyHostToDevice, stream);
  }
  CudaError CopyToHost(std::byte* dst, const std::byte* src,
                       std::size_t size_bytes, CudaStream stream) override {
    return Copy(dst, src, size_bytes, cudaMemcpyDeviceToHost, stream);
  }
  CudaError CopyOnDevice(std::byte* dst, const std::byte* src,
                         std::size_t size_bytes, CudaStream stream) override {
    return Copy(dst, src, size_bytes, cudaMemcpyDeviceToDevice, stream);
  }
  CudaError CopyFromPeer(std::byte* dst, const std::byte* src,
                         int src_device_index, std::size_t size_bytes,
                         CudaStream stream) override {
    return Call([&] {
      return cudaMemcpyPeerAsync(dst, index_, src, src_device_index, size_bytes,
                                 Native(stream));
    });
  }
  CudaError Clear(std::byte* dst, std::size_t size_bytes,
                  CudaStream stream) override {
    return Call(
        [&] { return cudaMemsetAsync(dst, 0, size_bytes, Native(stream)); });
  }
  CudaError LaunchCast(const CastLaunch& launch, CudaStream stream) override {
    return Call(
        [&] { return cuda_kernels::LaunchCast(launch, Native(stream)); });
  }
  CudaError LaunchGather(const GatherLaunch& launch,
                         CudaStream stream) override {
    return Call(
        [&] { return cuda_kernels::LaunchGather(launch, Native(stream)); });
  }

 private:
  // The device is a property of the thread that calls.
  template <class Calls>
  CudaError Call(Calls calls) {
    cudaError_t error = cudaSetDevice(index_);
    if (error == cudaSuccess) error = calls();
    return static_cast<CudaError>(error);
  }

  CudaError Copy(std::byte* dst, const std::byte* src, std::size_t size_bytes,
                 cudaMemcpyKind kind, CudaStream stream) {
    return Call([&] {
      return cudaMemcpyAsync(dst, src, size_bytes, kind, Native(stream));
    });
  }

  cudaError_t MakePool() {
    cudaMemPoolProps properties = {};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.handleTypes = cudaMemHandleTypeNone;
    properties.location = {cudaMemLocationTypeDevice, index_};
    cudaError_t error = cudaMemPoolCreate(&pool_, &properties);
    if (error != cudaSuccess) return error;
    // Otherwise all that is free goes back at every synchronisation.
    std::uint64_t threshold = UINT64_MAX;
    error = cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold,
                                    &threshold);
    return error == cudaSuccess ? LetPeersRead() : error;
  }

  cudaError_t LetPeersRead() {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) return error;
    std::vector<cudaMemAccessDesc> peers;
    for (int peer = 0; peer < count; ++peer) {
      int reads = 0;
      if (peer == index_ ||
          cudaDeviceCanAccessPeer(&reads, peer, index_) != cudaSuccess ||
          reads == 0) {
        continue;
      }
      peers.push_back({.location = {cudaMemLocationTypeDevice, peer},
                       .flags = cudaMemAccessFlagsProtReadWrite});
    }
    return peers.empty()
               ? cudaSuccess
               : cudaMemPoolSetAccess(pool_, peers.data(), peers.size());
  }

  const int index_;
  std::string name_;
  std::size_t memory_bytes_ = 0;
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CudaRuntime>> OpenCudaRuntime(int index) {
  auto runtime = std::make_unique<SystemCudaRuntime>(index);
  const cudaError_t error = runtime->Open();
  if (error == cudaSuccess) return runtime;
  cudaGetLastError();
  return absl::FailedPreconditionError(
      absl::StrCat("CUDA error: ", Text(error)));
}

void LetCudaDevicesReadEachOther(int count) {
  for (int reader = 0; reader < count; ++reader) {
    if (cudaSetDevice(reader) != cudaSuccess) continue;
    for (int peer = 0; peer < count; ++peer) {
      int reads = 0;
      if (peer != reader &&
          cudaDeviceCanAccessPeer(&reads, reader, peer) == cudaSuccess &&
          reads != 0) {
        cudaDeviceEnablePeerAccess(peer, 0);
      }
    }
  }
  // Detours are no error.
  cudaGetLastError();
}

}  // namespace tensord
