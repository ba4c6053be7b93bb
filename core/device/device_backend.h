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
#include "core/memory/buffer.h"
#include "core/shape.h"

namespace tensord {

// Elements of one dtype in a buffer.
struct BufferView {
  std::shared_ptr<const Buffer> buffer;
  DType dtype;
  Layout layout;
};

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
  // Returns once all is in the buffer and visible to readers. Positions in
  // `failures` count from the first element that was written; `failures` is
  // touched as by CastPacked.
  virtual absl::Status Finish(CastFailures* failures) = 0;
  // What the conversion did to what was written; nothing unless it was asked
  // for. REQUIRES: Finish returned OK.
  virtual ConversionReport report() const = 0;
};

// One device. Thread-safe; calls return when their work is done.
class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  virtual Device device() const = 0;
  // What the hardware calls itself.
  virtual std::string description() const = 0;

  // An uninitialised buffer. RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED).
  virtual absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) = 0;

  // What Allocate keeps for the next taker.
  struct PoolStats {
    // Bytes that were asked of the system, and how many of them are in buffers.
    std::size_t reserved_bytes = 0;
    std::size_t used_bytes = 0;
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
  virtual absl::Status Cast(const BufferView& source, DType to,
                            Overflow overflow, Buffer& destination,
                            CastFailures* failures) = 0;

  // The buffer's memory if the host can read it where it is, else null.
  virtual const std::byte* HostAddress(const Buffer& buffer) const = 0;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_DEVICE_BACKEND_H_
