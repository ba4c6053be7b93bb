// A tensor that lives in a server.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/cast/conversion_report.h"
#include "core/cast/overflow.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/array.h"
#include "tensord/call_options.h"
#include "tensord/element.h"
#include "tensord/future.h"

namespace tensord {

class ClientImpl;

// What a server tells of a tensor. See tensord.v1.Tensor in the proto file for
// the meaning of each.
struct TensorInfo {
  // Without the leading "tensors/".
  std::string id = {};
  DType dtype = DType::kFloat32;
  Dims shape = {};
  // In elements.
  Dims strides = {};
  std::string device = {};
  bool requires_grad = false;
  bool is_leaf = true;
  std::string grad_fn = {};
  std::int64_t size_bytes = 0;
  std::string storage_id = {};
  std::int64_t storage_offset = 0;
  std::string etag = {};
  absl::Time create_time = {};
  absl::Time update_time = {};
  absl::Time expire_time = absl::InfiniteFuture();
  std::optional<absl::Duration> lease = {};
  // Only of a tensor that was just made by a call that asked for it.
  std::optional<ConversionReport> conversion_report = {};
};

// Steps of RemoteTensor::Transform; tensord.v1.Operation has what they mean.
struct ToOperation {
  std::optional<DType> dtype = {};
  // Empty: stays where it is.
  std::string device = {};
  bool copy = false;
  Overflow overflow = Overflow::kTorch;
  // Asks for TensorInfo::conversion_report, which costs the server some time
  // and covers every step of a Transform.
  bool report_conversion = false;
};
struct DetachOperation {};
struct IndexOperation {
  std::vector<IndexTerm> terms = {};
};
struct ReshapeOperation {
  Dims shape = {};
  bool view_only = false;
};
struct PermuteOperation {
  Dims dims = {};
};
struct CloneOperation {};
struct ContiguousOperation {};
using Operation =
    std::variant<ToOperation, DetachOperation, IndexOperation, ReshapeOperation,
                 PermuteOperation, CloneOperation, ContiguousOperation>;

// How RemoteTensor::Transform keeps its result. CreateOptions has what the
// fields mean.
struct TransformOptions {
  std::string id = {};
  std::optional<absl::Duration> ttl = {};
  std::optional<absl::Duration> lease = {};
  bool replace = false;
  std::string if_match = {};
};

struct ReadOptions {
  // Only these elements; all when empty.
  std::vector<IndexTerm> index = {};
  std::optional<DType> dtype = {};
  Overflow overflow = Overflow::kTorch;
  // Reads from any device and whether or not grad is required.
  bool force = false;
  // Of the elements that are read. Not given: as stored where they are dense in
  // some order of their dimensions, else C.
  std::optional<Order> order = {};
};

namespace internal {

// `options` for elements that are a T, one after the other.
template <class T>
ReadOptions Typed(ReadOptions options) {
  options.dtype = DTypeOfElement<T>();
  options.order = Order::kC;
  return options;
}

// Calls a function that may run out of memory: RESOURCE_EXHAUSTED
// (MEMORY_EXHAUSTED) if it does.
absl::Status WithMemory(absl::FunctionRef<void()> allocate);

}  // namespace internal

// A handle on a stored tensor. Owns it, if it was made without an id: then the
// tensor is deleted with the handle, unless Release was called. Movable, not
// copyable. Const methods are thread-safe. Every call may fail with what the
// connection and the server say; see the proto file for the errors of each.
class RemoteTensor {
 public:
  // The other one owns nothing any more; to be destroyed, or assigned to.
  RemoteTensor(RemoteTensor&& other) noexcept;
  // Deletes the tensor that was held before, if owned.
  RemoteTensor& operator=(RemoteTensor&& other) noexcept;
  // Deletes the tensor if owned; waits for the answer, at most five seconds. A
  // failure is ignored.
  ~RemoteTensor();

  // As of the call that made this handle, or the last SetRequiresGrad.
  const TensorInfo& info() const { return info_; }
  bool owned() const { return owned_; }
  // What the call that made the tensor did to the values; nothing unless that
  // asked for it.
  const std::optional<ConversionReport>& conversion_report() const {
    return info_.conversion_report;
  }

  // Calls have two forms, as Client's: in those that end in Async this handle
  // has to stay, unmoved, no longer than until they return.

  // A new tensor, made by the server in one step. Owned if `id` is empty.
  absl::StatusOr<RemoteTensor> Transform(
      absl::Span<const Operation> operations, std::string id = {},
      std::optional<absl::Duration> ttl = {}) const;
  absl::StatusOr<RemoteTensor> Transform(absl::Span<const Operation> operations,
                                         const TransformOptions& options,
                                         const CallOptions& call = {}) const;
  Future<absl::StatusOr<RemoteTensor>> TransformAsync(
      std::vector<Operation> operations, TransformOptions options = {},
      const CallOptions& call = {}) const;
  // Single steps.
  absl::StatusOr<RemoteTensor> To(ToOperation options) const;
  absl::StatusOr<RemoteTensor> Detach() const;
  absl::StatusOr<RemoteTensor> Index(std::vector<IndexTerm> terms) const;

  // Changes whether this tensor requires grad.
  absl::Status SetRequiresGrad(bool requires_grad,
                               const CallOptions& call = {});
  // The same, but info() stays what it is: the result is to be set as such.
  Future<absl::StatusOr<TensorInfo>> SetRequiresGradAsync(
      bool requires_grad, const CallOptions& call = {}) const;

  // The layout of what Read would return; no call is made. Errors of
  // IndexLayout.
  absl::StatusOr<ArrayLayout> ReadLayout(const ReadOptions& options = {}) const;

  // Reads into the caller's memory, laid out as ReadLayout says.
  // INVALID_ARGUMENT if size_bytes is not ReadLayout's. FAILED_PRECONDITION
  // (NEEDS_CPU, NEEDS_DETACH) unless `force`.
  absl::Status ReadInto(void* destination, std::size_t size_bytes,
                        const ReadOptions& options = {},
                        const CallOptions& call = {}) const;
  Future<absl::Status> ReadIntoAsync(void* destination, std::size_t size_bytes,
                                     ReadOptions options = {},
                                     const CallOptions& call = {}) const;

  // Reads into memory of its own.
  absl::StatusOr<HostArray> Read(const ReadOptions& options = {},
                                 const CallOptions& call = {}) const;
  Future<absl::StatusOr<HostArray>> ReadAsync(
      ReadOptions options = {}, const CallOptions& call = {}) const;

  // Reads elements of a C++ type, cast to it by the server, in C order:
  //
  //   std::vector<float> values = *tensor.Get<float>();
  //
  // `options` need no dtype and no order. T is an Element, but not bool for a
  // vector, which would have no memory of bools: Get<std::uint8_t> gives 0 and
  // 1. RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED).
  template <class T>
  absl::StatusOr<std::vector<T>> Get(ReadOptions options = {},
                                     const CallOptions& call = {}) const;
  template <class T>
  Future<absl::StatusOr<std::vector<T>>> GetAsync(
      ReadOptions options = {}, const CallOptions& call = {}) const;
  // The same into memory of the caller: a vector, an array, a span of T.
  // INVALID_ARGUMENT (SIZE_MISMATCH) if that is of another number of elements.
  template <class T>
  absl::Status GetInto(std::span<std::type_identity_t<T>> destination,
                       ReadOptions options = {},
                       const CallOptions& call = {}) const {
    return ReadInto(destination.data(), destination.size_bytes(),
                    internal::Typed<T>(std::move(options)), call);
  }
  template <class T>
  Future<absl::Status> GetIntoAsync(
      std::span<std::type_identity_t<T>> destination, ReadOptions options = {},
      const CallOptions& call = {}) const {
    return ReadIntoAsync(destination.data(), destination.size_bytes(),
                         internal::Typed<T>(std::move(options)), call);
  }

  // Writes a .npy file, as numpy.save does, of any size: what comes is written
  // to the disk, and not kept in memory. `path` has the file once it is
  // complete, in place of what was there before (a link itself, not what it
  // leads to). In Fortran order where the elements are in it, else in C order.
  // Errors of ReadInto. INVALID_ARGUMENT (DTYPE_UNSUPPORTED): such a file can
  // not name bfloat16 and 8-bit floats, to be saved with another options.dtype.
  // FILE_ERROR with the code that fits: RESOURCE_EXHAUSTED (no room),
  // NOT_FOUND (no such folder), PERMISSION_DENIED.
  absl::Status SaveNpy(const std::string& path, const ReadOptions& options = {},
                       const CallOptions& call = {}) const;
  Future<absl::Status> SaveNpyAsync(std::string path, ReadOptions options = {},
                                    const CallOptions& call = {}) const;

  // Deletes the tensor now; the handle does not own it any more. OK if it is
  // gone already.
  absl::Status Delete(const CallOptions& call = {});
  // The same; the handle owns nothing from now on, even if the call fails.
  Future<absl::Status> DeleteAsync(const CallOptions& call = {});

  // Leaves the tensor on the server when the handle goes.
  void Release() { owned_ = false; }

 private:
  friend class ClientImpl;
  RemoteTensor(std::shared_ptr<ClientImpl> client, TensorInfo info, bool owned);

  // Null once moved from.
  std::shared_ptr<ClientImpl> client_;
  TensorInfo info_;
  bool owned_ = false;
};

namespace internal {

// Memory for what a read will bring. Errors of ReadLayout; RESOURCE_EXHAUSTED
// (MEMORY_EXHAUSTED).
template <class T>
absl::StatusOr<std::vector<T>> Room(const RemoteTensor& tensor,
                                    const ReadOptions& options) {
  static_assert(!std::is_same_v<T, bool>, TENSORD_NO_BOOLS);
  const absl::StatusOr<ArrayLayout> layout = tensor.ReadLayout(options);
  if (!layout.ok()) return layout.status();
  std::vector<T> room;
  absl::Status status = WithMemory(
      [&room, &layout] { room.resize(layout->size_bytes / sizeof(T)); });
  if (!status.ok()) return status;
  return room;
}

}  // namespace internal

template <class T>
absl::StatusOr<std::vector<T>> RemoteTensor::Get(
    ReadOptions options, const CallOptions& call) const {
  options = internal::Typed<T>(std::move(options));
  absl::StatusOr<std::vector<T>> values = internal::Room<T>(*this, options);
  if (!values.ok()) return values;
  absl::Status status =
      ReadInto(values->data(), values->size() * sizeof(T), options, call);
  if (!status.ok()) return status;
  return values;
}

template <class T>
Future<absl::StatusOr<std::vector<T>>> RemoteTensor::GetAsync(
    ReadOptions options, const CallOptions& call) const {
  using Result = absl::StatusOr<std::vector<T>>;
  options = internal::Typed<T>(std::move(options));
  Result room = internal::Room<T>(*this, options);
  if (!room.ok()) return internal::ReadyFuture<Result>(room.status());
  const auto values = std::make_shared<std::vector<T>>(*std::move(room));
  return internal::MapFuture<Result>(
      ReadIntoAsync(values->data(), values->size() * sizeof(T),
                    std::move(options), call),
      [values](absl::Status status) -> Result {
        if (!status.ok()) return status;
        return std::move(*values);
      });
}

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_
