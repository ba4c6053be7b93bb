// What an upload has brought so far.
#ifndef TENSORD_SERVER_RPC_UPLOAD_H_
#define TENSORD_SERVER_RPC_UPLOAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/byte_range.h"
#include "core/mutex.h"
#include "core/store/tensor_store.h"
#include "server/rpc/array_receiver.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/request_log.h"
#include "server/rpc/service_context.h"
#include "server/wire/proto_convert.h"

namespace tensord {

// What the first message of a stream says.
struct UploadPlan {
  std::string tensor_id;
  ClaimOptions claiming = {};
  // Of the declaration but for the part; not needed without a request id.
  std::uint64_t digest = 0;
  DeclaredArray array;
  NewTensorOptions options;
  // What the stream brings, if not the whole array. REQUIRES: the elements are
  // raw, and neither end is inside of one or outside of the array.
  std::optional<ByteRange> part;
};

// INVALID_ARGUMENT (PART_INVALID): "the part [0, 8) ", and `why` not.
absl::Status PartInvalid(const ByteRange& part, std::string_view why,
                         std::string_view field = "declaration.part");

// FAILED_PRECONDITION (REQUEST_ID_REUSED): of another upload.
absl::Status RequestIdReused();

// An array that arrives over one stream, or in parts over several. Holds its
// memory and its id from the first Open on; whoever drops one that is not
// complete leaves nothing behind. Thread-safe, but for what one stream does
// with its part.
class Upload {
 public:
  // Most parts of an array.
  static constexpr std::size_t kMaxParts = 64;

  // What one stream at a time brings.
  class Part {
   public:
    Part(ByteRange range, bool is_whole)
        : range_(range), is_whole_(is_whole), next_byte_(range.begin) {}
    const ByteRange& range() const { return range_; }
    // Where the stream goes on, if it is not the first of the part.
    std::int64_t next_byte() const { return next_byte_; }

   private:
    friend class Upload;
    const ByteRange range_;
    const bool is_whole_;
    std::int64_t next_byte_;
    // Nothing for the whole array.
    std::optional<ArrayReceiver::Part> receiver_;
    // Whether a stream has it. Of the upload's mutex, as is the next.
    bool is_taken_ = false;
    bool is_complete_ = false;
  };

  // `request_id` may be empty. The tensor goes to `device`.
  Upload(std::string request_id, Device device)
      : request_id_(std::move(request_id)), device_(device) {}
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  const std::string& request_id() const { return request_id_; }
  Device device() const { return device_; }

  struct Opened {
    // What the stream has until Release or Complete; null if there is nothing
    // to bring.
    Part* part = nullptr;
    // What it is answered with at once if there is no part.
    RequestLog::Answered answer;
  };

  // A stream begins, or goes on with a part that was released. `context` and
  // `allocator` have to outlive the upload. Errors of RequestLog::Begin, of
  // ClaimTensorId, of ArrayReceiver::Start, with the fields of a declaration;
  // FAILED_PRECONDITION (REQUEST_ID_REUSED): another upload; ABORTED
  // (REQUEST_IN_PROGRESS): a stream has that part, or all is there and about to
  // be answered; INVALID_ARGUMENT (PART_INVALID): overlaps another part, or one
  // too many. What refused the upload, if that was refused.
  absl::StatusOr<Opened> Open(UploadPlan plan, const ServiceContext& context,
                              BufferAllocator& allocator);

  // The next bytes of a part that the caller has. Errors of
  // ArrayReceiver::Write; what refused the upload elsewhere.
  absl::Status Write(Part& part, std::string_view piece);
  // To be called before more is waited for. Errors of the device.
  absl::Status Flush(Part& part);

  // The stream ended early: another may go on at `next_byte`.
  void Release(Part& part, std::int64_t next_byte);

  // Sends the serialized message that a stream is answered with, which is of no
  // name where others complete the tensor. May throw.
  using Respond = absl::FunctionRef<void(const std::string& answer)>;

  // All bytes of a part are there. The tensor, now visible, if the others' are
  // as well, else null. Calls `respond` before anything changes for others.
  // Errors of ArrayReceiver; what refused the upload elsewhere; errors of
  // CommitTensor.
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Complete(Part& part,
                                                               Respond respond);

  // Something is wrong with it: id and request id are free again, and all
  // streams are refused with `refusal`. Has no effect on one that is complete,
  // or was refused before.
  void Refuse(absl::Status refusal);
  bool is_refused() const {
    return is_refused_.load(std::memory_order_acquire);
  }

  // Where the stream of a part, or of the whole, would have to go on. ABORTED
  // (REQUEST_IN_PROGRESS): a stream has it, or all is there and about to be
  // answered. INVALID_ARGUMENT (PART_INVALID): can be no part. What refused the
  // upload, if that was refused.
  absl::StatusOr<std::int64_t> NextByte(const std::optional<ByteRange>& part);

  // The id of the tensor; empty unless it is claimed.
  std::string tensor_id() const;

  // What the conversion did, if the declaration asks for it. REQUIRES: Complete
  // returned a tensor.
  std::optional<ConversionReport> report() const;

 private:
  absl::StatusOr<RequestLog::Answered> Start(UploadPlan& plan,
                                             const ServiceContext& context,
                                             BufferAllocator& allocator)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Opened> OpenPart(const std::optional<ByteRange>& part)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Part* FindPart(const std::optional<ByteRange>& part)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Commit(Respond respond)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RefuseLocked(absl::Status refusal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string request_id_;
  const Device device_;
  // Set from the first Open on. The stream that brings the whole array uses it
  // without the mutex: there is no other.
  std::optional<ArrayReceiver> receiver_;
  // Tells streams that do not hold the mutex to look at refusal_.
  std::atomic<bool> is_refused_ = false;

  mutable Mutex mutex_;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool is_complete_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t digest_ ABSL_GUARDED_BY(mutex_) = 0;
  RequestLog::Ticket ticket_ ABSL_GUARDED_BY(mutex_);
  // Set with claim_.
  const ServiceContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Nothing before the first Open, and when refused.
  std::optional<TensorStore::Claim> claim_ ABSL_GUARDED_BY(mutex_);
  Lifetime lifetime_ ABSL_GUARDED_BY(mutex_);
  std::int64_t total_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t complete_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Addresses stay.
  std::list<Part> parts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOAD_H_
