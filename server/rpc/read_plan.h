// What a read returns, byte by byte.
#ifndef TENSORD_SERVER_RPC_READ_PLAN_H_
#define TENSORD_SERVER_RPC_READ_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/device/device_registry.h"
#include "core/tensor.h"
#include "server/wire/proto_convert.h"

namespace tensord {

// The encoded result of reading a tensor: a prefix (the header of a .npy file,
// else nothing), then the elements. Any stretch of its bytes can be had, in any
// order, without making the others. Not thread-safe.
class ReadPlan {
 public:
  // FAILED_PRECONDITION: NEEDS_CPU, then NEEDS_DETACH, unless options.force;
  // errors of IndexLayout, with the field `index`. `devices` has to outlive the
  // plan.
  static absl::StatusOr<ReadPlan> Make(const Tensor& tensor,
                                       const TensorReadOptions& options,
                                       const DeviceRegistry& devices);

  // What the elements of the result are.
  const ArrayFormat& format() const { return format_; }
  Encoding encoding() const { return encoding_; }
  std::int64_t total_bytes() const { return prefix_bytes() + data_bytes_; }
  // dtype and device of what is read.
  const Tensor& source() const { return source_; }

  // The memory of the bytes from `offset` to the end if they are elements that
  // lie somewhere as they are to be sent, else null. source().buffer() keeps
  // it.
  const std::byte* Borrow(std::int64_t offset) const;

  // Writes bytes [offset, offset + size_bytes) to `dst`. Errors of the device;
  // values that do not fit are told by Verdict. REQUIRES: 0 <= offset, offset +
  // size_bytes <= total_bytes().
  absl::Status Copy(std::int64_t offset, std::int64_t size_bytes,
                    std::byte* dst);

  // Where a stretch that starts at `offset` should end, to be at most `most`
  // bytes and to end at `end` or between elements: then each element is
  // converted once. REQUIRES: offset < end, most >= 16.
  std::int64_t StretchEnd(std::int64_t offset, std::int64_t end,
                          std::int64_t most) const;

  // OK unless values of the elements copied so far did not fit: OUT_OF_RANGE
  // (CAST_VALUE_OUT_OF_RANGE), with the position of the first in the result.
  absl::Status Verdict() const;

 private:
  ReadPlan(Tensor source, DeviceBackend* backend,
           const TensorReadOptions& options);

  std::int64_t prefix_bytes() const {
    return static_cast<std::int64_t>(prefix_.size());
  }
  absl::Status CopyElements(std::int64_t begin, std::int64_t count,
                            std::byte* dst);
  // The same for bytes [offset, offset + size_bytes) inside of one element.
  absl::Status CopyPart(std::int64_t offset, std::int64_t size_bytes,
                        std::byte* dst);
  // The same for bytes of elements, counted from the first element.
  absl::Status CopyData(std::int64_t offset, std::int64_t size_bytes,
                        std::byte* dst);

  // Its layout's C order is the order of the result.
  Tensor source_;
  DeviceBackend* backend_;
  ArrayFormat format_;
  Encoding encoding_;
  Overflow overflow_;
  std::string prefix_;
  std::int64_t item_size_ = 1;
  std::int64_t data_bytes_ = 0;
  // Where the elements lie as they are to be sent, else null.
  const std::byte* elements_ = nullptr;
  CastFailures failures_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_READ_PLAN_H_
