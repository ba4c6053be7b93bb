// What a device has to be able to do.
#ifndef TENSORD_CORE_DEVICE_DEVICE_BACKEND_H_
#define TENSORD_CORE_DEVICE_DEVICE_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/cast_stream.h"
#include "core/cast/conversion_report.h"
#include "core/device/device.h"
#include "core/is_cancelled.h"
#include "core/memory/buffer.h"
#include "core/shape.h"

namespace tensord {

// Elements of one dtype in a buffer.
struct BufferView {
  std::shared_ptr<const Buffer> buffer;
  DType dtype;
  Layout layout;
};

// INTERNAL, unless `count` elements fit in the buffer.
absl::Status CheckRoom(std::size_t count, DType dtype, const Buffer& buffer);

// Writes a tensor's elements into their final place, converted on the way, from
// host bytes in pieces of any size. Not thread-safe. Whoever drops a writer
// before Finish abandons the buffer with it.
class BufferWriter {
 public:
  virtual ~BufferWriter() = default;
  // Takes the next bytes of the source; they may be reused when it returns.
  // REQUIRES: no more bytes than the buffer has room for; what would go past
  // its end is refused with INTERNAL all the same.
  virtual absl::Status Write(absl::Span<const std::byte> piece) = 0;
  // Sends what was written on its way. To be called before the caller waits for
  // more: until then a writer may keep what others need as well.
  virtual absl::Status Flush() = 0;
  // Returns once all is in the buffer and visible to readers. Positions in
  // `failures` count from the first element that was written; `failures` is
  // touched as by CastPacked.
  virtual absl::Status Finish(CastFailures* failures) = 0;
  // What the conversion did to what was written; nothing unless it was asked
  // for. REQUIRES: Finish returned OK.
  virtual ConversionReport report() const = 0;
};

// One device. Thread-safe; calls return when their work is done. All of them
// fail with FAILED_PRECONDITION (DEVICE_OUT_OF_SERVICE) once the device is, and
// the one that finds out with INTERNAL (DEVICE_ERROR).
class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  virtual Device device() const = 0;
  // What the hardware calls itself.
  virtual std::string description() const = 0;
  // The memory that the hardware has, in use or not.
  virtual std::size_t memory_bytes() const = 0;

  // Whether calls that allocate, write, read, cast or trim, those of writers
  // included, may wait for hardware rather than compute. Then they are for
  // threads that nobody else waits for. Other calls, and dropping a buffer or a
  // writer, never wait.
  virtual bool may_wait() const = 0;

  // OK, or why the device is out of service: what it held is lost, and it does
  // not come back in this process.
  virtual absl::Status health() const = 0;

  // An uninitialised buffer. RESOURCE_EXHAUSTED: MEMORY_EXHAUSTED on the CPU,
  // DEVICE_MEMORY_EXHAUSTED elsewhere.
  virtual absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) = 0;

  // What Allocate keeps for the next taker.
  struct PoolStats {
    // Bytes that were asked of the system, and how many of them are in buffers.
    std::size_t reserved_bytes = 0;
    std::size_t used_bytes = 0;
    // Page-locked memory of the host that transfers pass, beside those.
    std::size_t pinned_bytes = 0;
  };
  virtual PoolStats pool_stats() const = 0;

  // Gives memory that no buffer took for `idle` at least back to the system.
  virtual void Trim(absl::Duration idle) = 0;

  // A writer that fills `buffer`, from the element at `begin` on, with packed
  // elements of conversion.to. Writers of one buffer may work side by side
  // where they write different elements. Only writers report on conversions.
  // REQUIRES: conversion.to_order is native; `begin` is at most the number of
  // elements that `buffer` has room for.
  virtual std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) = 0;

  // Casts elements [begin, begin + count) of `source`, in C order, to packed
  // elements in host memory. Positions in `failures` count from `begin`;
  // `failures` is touched as by CastStrided.
  virtual absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                                  std::int64_t count, DType to,
                                  ByteOrder to_order, Overflow overflow,
                                  std::byte* dst, CastFailures* failures) = 0;

  // Casts all elements of `source`, in C order, to packed elements in
  // `destination`; both on this device. INTERNAL if they do not fit there.
  // CANCELLED if it was before all were cast, with `destination` and `failures`
  // half filled; only where casting takes long is that looked at.
  virtual absl::Status Cast(const BufferView& source, DType to,
                            Overflow overflow, Buffer& destination,
                            CastFailures* failures,
                            const IsCancelled& is_cancelled) = 0;

  // Casts all elements of `source`, which lies on the device of `peer`, as Cast
  // does. UNIMPLEMENTED if this device can not read that one's memory.
  virtual absl::Status CastFromPeer(DeviceBackend& peer,
                                    const BufferView& source, DType to,
                                    Overflow overflow, Buffer& destination,
                                    CastFailures* failures) = 0;

  // The buffer's memory if the host can read it where it is, else null.
  virtual const std::byte* HostAddress(const Buffer& buffer) const = 0;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_DEVICE_BACKEND_H_
