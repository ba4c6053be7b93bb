// A stand-in for the CUDA runtime: devices that are memory and threads of the
// host.
//
// Work is as asynchronous as on a GPU: every stream is a thread, and only
// streams and events order what they do. Each piece of work looks at the memory
// it touches when it runs, not when it is enqueued: memory of another device,
// memory that is not allocated yet or freed already, and host memory that is
// not page-locked are noted as mistakes, and break the device as an illegal
// address would. ThreadSanitizer sees races between streams.
#ifndef TENSORD_TESTS_CORE_DEVICE_CUDA_FAKE_CUDA_RUNTIME_H_
#define TENSORD_TESTS_CORE_DEVICE_CUDA_FAKE_CUDA_RUNTIME_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/device/cuda/cuda_runtime.h"

namespace tensord::testing {

// Machines that devices belong to. Thread-safe. Devices keep their machine.
// When it goes, mistakes and what was not given back fail the test.
class FakeCudaMachine : public std::enable_shared_from_this<FakeCudaMachine> {
 public:
  struct Options {
    std::size_t device_memory_bytes = std::size_t{1} << 30;
    std::size_t pinned_memory_bytes = std::size_t{1} << 30;
  };
  static std::shared_ptr<FakeCudaMachine> Make(Options options);
  static std::shared_ptr<FakeCudaMachine> Make() { return Make({}); }
  virtual ~FakeCudaMachine() = default;

  virtual std::unique_ptr<CudaRuntime> NewDevice(int index) = 0;

  // ---- Faults ----
  enum class Fault {
    // The call does nothing and fails.
    kOnce,
    // The same, and so does all that comes after it on the device.
    kLasting,
    // The call succeeds; its work, or that which comes next, breaks the device.
    kInStream,
  };
  // Fails the call of any device that comes after `calls` others. An allocation
  // fails for want of memory under kOnce.
  virtual void FailAfter(int calls, Fault fault) = 0;
  // Whether the fault has come.
  virtual bool fired() const = 0;

  // From here on casts on that device get a bit wrong.
  virtual void SpoilCasts(int index) = 0;

  // Streams, or one of them, do nothing between these.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  virtual void Pause(CudaStream stream) = 0;
  virtual void Resume(CudaStream stream) = 0;

  // ---- What the test wants to know ----
  // Allocations, page-locked memory, streams and events that exist.
  virtual std::size_t live_objects() const = 0;
  // Work that touched what it must not, in words; forgotten then.
  virtual std::vector<std::string> TakeMistakes() = 0;
  // Bytes that were copied between host and devices, and between devices.
  struct Traffic {
    std::size_t to_device = 0;
    std::size_t to_host = 0;
    std::size_t between_devices = 0;
  };
  virtual Traffic traffic() const = 0;
};

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_DEVICE_CUDA_FAKE_CUDA_RUNTIME_H_
