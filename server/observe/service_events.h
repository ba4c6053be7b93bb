// What the service tells whoever counts.
#ifndef TENSORD_SERVER_OBSERVE_SERVICE_EVENTS_H_
#define TENSORD_SERVER_OBSERVE_SERVICE_EVENTS_H_

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "core/device/device.h"
#include "core/dtype.h"
#include "core/store/tensor_store.h"

namespace tensord {

// Told of what calls do, and of what leaves the store. Implementations are
// thread-safe, fast, and do not block.
class ServiceEvents : public StoreEvents {
 public:
  // Bytes of array data that arrived, or were sent.
  virtual void ArrayBytesReceived(std::int64_t bytes) = 0;
  virtual void ArrayBytesSent(std::int64_t bytes) = 0;
  // An array of `source` was converted from one dtype to another, or copied if
  // they are equal, for `destination`. Clients count as CPUs.
  virtual void Converted(DType from, DType to, Device source,
                         Device destination, absl::Duration duration) = 0;
  // A call waited for a thread that it needs: one of the device's, or one of
  // the CPU's that may take their time.
  virtual void Queued(Device device, absl::Duration duration) = 0;
  // As many bytes were asked for that there was no memory for.
  virtual void RefusedBytes(std::int64_t bytes) = 0;
  // A call was refused with this ErrorInfo.reason.
  virtual void Refused(std::string_view reason) = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_SERVICE_EVENTS_H_
