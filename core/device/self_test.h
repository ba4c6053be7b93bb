// Whether a device computes what it should.
#ifndef TENSORD_CORE_DEVICE_SELF_TEST_H_
#define TENSORD_CORE_DEVICE_SELF_TEST_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "core/device/device_backend.h"
#include "core/device/device_registry.h"

namespace tensord {

// Writes, reads and casts arrays of awkward values on `device`, from every
// dtype to every other, and compares with what PyTorch makes of them. Takes a
// few KiB of its memory and some milliseconds; may wait for the device, which
// nobody else needs to know yet.
//
// INTERNAL (DEVICE_ERROR): it gave other bits, with the first pair of dtypes
// that it got wrong. Errors of the device, with what it was at.
absl::Status SelfTest(DeviceBackend& device);

// Adds `backends` to `devices`; those that fail, out of service. The error of
// the CPU, without which there is no server.
absl::Status AddTested(std::vector<std::unique_ptr<DeviceBackend>> backends,
                       DeviceRegistry& devices);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_SELF_TEST_H_
