#include "server/rpc/download_stream.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/byte_range.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/tsan.h"
#include "server/rpc/call.h"
#include "server/rpc/find_tensor.h"
#include "server/rpc/read_plan.h"
#include "server/rpc/stream_watch.h"
#include "server/wire/byte_buffer.h"
#include "server/wire/proto_convert.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

// Chunks that stay in the cache on their way to the socket, and in that of the
// client (tests/bench/README.md). Clients that did not raise gRPC's limit on
// what they receive, of 4 MiB, have room for them.
constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;

absl::StatusOr<ByteRange> FindRange(const v1::DownloadTensorRequest& request,
                                    std::int64_t total_bytes) {
  const std::int64_t begin = request.read_offset();
  if (begin > total_bytes) {
    return MakeError(
        absl::StatusCode::kOutOfRange, reason::kReadPastEnd,
        absl::StrCat("the offset ", begin, " is beyond the end of ",
                     total_bytes, " bytes"));
  }
  const std::int64_t rest = total_bytes - begin;
  const std::int64_t wanted =
      request.read_limit() == 0 ? rest : std::min(rest, request.read_limit());
  return ByteRange{begin, begin + wanted};
}

void CheckNotNegative(std::int64_t value, std::string_view field,
                      Violations& violations) {
  if (value >= 0) return;
  violations.Check(
      InvalidArgument(reason::kOffsetInvalid,
                      absl::StrCat(std::string(field), " is ", value,
                                   "; it can not be negative")),
      field);
}

std::string_view Bytes(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

class DownloadReactor final
    : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  DownloadReactor(Admitted admitted, DeviceThreads& device_threads,
                  grpc::CallbackServerContext& call,
                  const grpc::ByteBuffer& request)
      : context_(admitted.context()),
        admitted_(std::move(admitted)),
        device_threads_(device_threads),
        call_(call),
        watched_(context_.stream_watch, call) {
    absl::Status status = Guarded([&] { return Open(request); });
    if (status.ok()) {
      Send();
    } else {
      Conclude(status);
    }
  }

  void OnWriteDone(bool ok) override {
    TakeOver(this);
    watched_.WriteEnds();
    write_ok_ = ok;
    Arrive();
  }

  void OnDone() override {
    TakeOver(this);
    delete this;
  }

 private:
  // Sends message_. From a device that may wait the next is made meanwhile, on
  // one of its threads; whoever is done last goes on.
  void Send() {
    is_ahead_ = device_.has_value() && position_ < range_.end;
    pending_ = is_ahead_ ? 2 : 1;
    HandOver(this);
    if (is_ahead_) MakeAhead();
    watched_.WriteStarts();
    StartWrite(&message_);
  }

  void MakeAhead() {
    absl::Status posted = device_threads_.Post(*device_, [this] {
      TakeOver(this);
      made_ = call_.IsCancelled() ? absl::CancelledError()
                                  : Guarded([this] { return MakeChunk(); });
      Arrive();
    });
    if (posted.ok()) return;
    made_ = std::move(posted);
    Arrive();
  }

  void Arrive() {
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) GoOn();
  }

  // message_ is sent, and the next is in next_ if it was made ahead.
  void GoOn() {
    if (!write_ok_ || call_.IsCancelled()) {
      return Conclude(watched_.WriteFailure());
    }
    if (!is_ahead_) {
      if (position_ == range_.end) return Conclude(Verdict());
      made_ = Guarded([this] { return MakeChunk(); });
    }
    if (!made_.ok()) return Conclude(made_);
    message_.Clear();
    message_.Swap(&next_);
    Send();
  }

  absl::Status Open(const grpc::ByteBuffer& bytes) {
    CountReceived(call_, bytes.Length());
    v1::DownloadTensorRequest request;
    if (!ParseMessage(bytes, request)) {
      return InvalidArgument(reason::kMessageMalformed,
                             "the request can not be parsed");
    }
    Violations violations;
    violations.Check(ParseTensorName(request.name()).status(), "name");
    const TensorReadOptions options =
        ParseReadOptions(request.options(), "options", violations);
    CheckNotNegative(request.read_offset(), "read_offset", violations);
    CheckNotNegative(request.read_limit(), "read_limit", violations);
    if (!violations.empty()) return violations.status();
    auto stored = UseTensor(context_, request.name());
    if (!stored.ok()) return stored.status();
    auto plan = ReadPlan::Make((*stored)->tensor, options, *context_.devices);
    if (!plan.ok()) return plan.status();
    const auto range = FindRange(request, plan->total_bytes());
    if (!range.ok()) return range.status();
    plan_.emplace(*std::move(plan));
    device_ = WaitsFor(*context_.devices, plan_->source().device());
    range_ = *range;
    send_checksums_ = request.send_checksums();
    position_ = range_.begin;
    MakeHeader((*stored)->etag);
    stored_ = *std::move(stored);
    return absl::OkStatus();
  }

  void MakeHeader(const std::string& etag) {
    v1::DownloadTensorResponse response;
    auto header = std::make_unique<v1::ArrayHeader>();
    *header->mutable_spec() = WriteArraySpec(plan_->format());
    header->set_encoding(ToProto(plan_->encoding()));
    header->set_total_bytes(plan_->total_bytes());
    header->set_etag(etag);
    response.set_allocated_header(header.release());
    message_ = SerializeMessage(response);
  }

  // Into next_.
  absl::Status MakeChunk() {
    const std::byte* const stored = plan_->Borrow(position_);
    const std::int64_t end = plan_->StretchEnd(
        position_, range_.end,
        std::min(context_.limits.max_chunk_bytes, kChunkBytes));
    const auto size = static_cast<std::size_t>(end - position_);
    absl::StatusOr<grpc::Slice> slice =
        stored != nullptr
            ? BorrowedSlice(stored, size, plan_->source().buffer())
            : Encoded(size);
    if (!slice.ok()) return slice.status();
    std::optional<std::uint32_t> crc32c;
    if (send_checksums_) crc32c = Crc32c(Bytes(*slice));
    std::vector<grpc::Slice> data;
    data.push_back(*std::move(slice));
    next_ = ChunkMessage(position_, crc32c, std::move(data));
    context_.events->ArrayBytesSent(end - position_);
    position_ = end;
    return absl::OkStatus();
  }

  absl::StatusOr<grpc::Slice> Encoded(std::size_t size) {
    auto block = context_.chunk_arena->Allocate(size);
    if (!block.ok()) return block.status();
    std::byte* const data = block->get();
    const absl::Time start = absl::Now();
    absl::Status status =
        plan_->Copy(position_, static_cast<std::int64_t>(size), data);
    conversion_time_ += absl::Now() - start;
    if (!status.ok()) return status;
    return BorrowedSlice(data, size, *std::move(block));
  }

  absl::Status Verdict() {
    const Tensor& source = plan_->source();
    context_.events->Converted(source.dtype(), plan_->format().dtype,
                               source.device(), kCpuDevice, conversion_time_);
    return plan_->Verdict();
  }

  void Conclude(const absl::Status& status) {
    if (stored_ != nullptr) context_.store->EndUse(*stored_);
    stored_.reset();
    plan_.reset();
    message_.Clear();
    next_.Clear();
    admitted_.reset();
    watched_.Finishes();
    HandOver(this);
    Finish(tensord::Conclude(status, call_, *context_.events));
  }

  const ServiceContext& context_;
  // Gone once the call is concluded, as is the plan.
  std::optional<Admitted> admitted_;
  DeviceThreads& device_threads_;
  grpc::CallbackServerContext& call_;
  StreamWatch::Stream watched_;
  // The device that the tensor is on if that may wait.
  std::optional<Device> device_;
  std::optional<ReadPlan> plan_;
  // What is read. Null before that, and after.
  std::shared_ptr<const StoredTensor> stored_;
  // Bytes of the encoded result that are wanted, and where the next chunk
  // starts.
  ByteRange range_;
  std::int64_t position_ = 0;
  bool send_checksums_ = false;
  // What is being sent, and what is made meanwhile.
  grpc::ByteBuffer message_;
  grpc::ByteBuffer next_;
  // What is not done yet of sending and making, and how either went.
  std::atomic<int> pending_ = 0;
  bool is_ahead_ = false;
  bool write_ok_ = false;
  absl::Status made_;
  absl::Duration conversion_time_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeDownload(
    Admitted admitted, DeviceThreads& device_threads,
    grpc::CallbackServerContext& call, const grpc::ByteBuffer& request) {
  return new DownloadReactor(std::move(admitted), device_threads, call,
                             request);
}

}  // namespace tensord
