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
  // An array was converted from one dtype to another, or copied if they are
  // equal.
  virtual void Converted(DType from, DType to, Device device,
                         absl::Duration duration) = 0;
  // A call was refused with this ErrorInfo.reason.
  virtual void Refused(std::string_view reason) = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_SERVICE_EVENTS_H_
