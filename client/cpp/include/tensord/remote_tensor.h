// A tensor that lives in a server.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/conversion_report.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "tensord/array.h"
#include "tensord/call_options.h"
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
};

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

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_REMOTE_TENSOR_H_
