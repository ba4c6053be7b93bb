// How an array's elements travel: what is sent of the caller's memory, and how
// the memory that a result fills is laid out. Arithmetic on untrusted numbers,
// of callers and of servers; functions are thread-safe.
#ifndef TENSORD_CLIENT_CPP_SRC_ARRAY_PLAN_H_
#define TENSORD_CLIENT_CPP_SRC_ARRAY_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/array.h"
#include "tensord/remote_tensor.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord::client {

class NpyReader;

// What of an array goes over the wire. Refers to the caller's memory, or to a
// file.
struct SendPlan {
  v1::ArraySpec spec;
  std::int64_t total_bytes = 0;
  std::size_t item_size = 1;
  // Where `layout` counts from; or what has the bytes just as `spec` says.
  const std::byte* data = nullptr;
  const NpyReader* file = nullptr;
  Layout layout;
  // Whether the bytes lie in memory just as `spec` says, from `data` on.
  // Otherwise they have to be gathered into C order.
  bool in_place = true;
};

// An array that is dense in some order of its dimensions goes as it lies, any
// other in C order; either way in its own byte order. INVALID_ARGUMENT: errors
// of CheckedElementCount, STRIDES_INVALID (wrong number, no multiple of the
// item size, beyond 64 bits), ARRAY_MISSING (no data).
absl::StatusOr<SendPlan> PlanSend(const ArrayView& array);

// The same for the array of a file, which has to outlive the plan.
SendPlan PlanSend(const NpyReader& file);

// How the array of a plan is declared.
v1::ArrayDeclaration Declare(const SendPlan& plan);

// Copies elements [begin, begin + count), in C order, to packed bytes, with
// their bytes as they are.
void Gather(const SendPlan& plan, std::int64_t begin, std::int64_t count,
            std::byte* destination);

// All bytes of a small array as they go over the wire. Throws what
// NpyReader::Read does.
std::string Pack(const SendPlan& plan);

// The layout of a dense result with the elements of `layout`: in `order`, if
// given, else in its order of dimensions if it is dense, else in C order.
// Errors of CheckedElementCount.
absl::StatusOr<ArrayLayout> DenseResult(
    const Layout& layout, DType dtype,
    std::optional<Order> order = std::nullopt);

// The layout of what a read of a tensor returns. Errors of IndexLayout.
absl::StatusOr<ArrayLayout> LayoutOfRead(const TensorInfo& tensor,
                                         const ReadOptions& options);

// The order of a result, if it has a name.
std::optional<Order> OrderOf(const ArrayLayout& result);

// OK if memory of `size_bytes` is what a result needs; else INVALID_ARGUMENT
// (SIZE_MISMATCH).
absl::Status CheckDestination(std::size_t size_bytes,
                              const ArrayLayout& result);

// OK if the array that a server announced is the one that was expected, else
// ABORTED (ETAG_MISMATCH): the tensor is another one than before.
absl::Status CheckSpec(const v1::ArraySpec& spec, const ArrayLayout& expected);

// OK if all elements of `layout` have positions that fit in 64 bits, even in
// bytes; else INVALID_ARGUMENT (STRIDES_INVALID). REQUIRES: CheckedElementCount
// accepted its shape.
absl::Status CheckReach(const Layout& layout, std::size_t item_size);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_ARRAY_PLAN_H_
