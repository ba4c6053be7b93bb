// Fuzz target: bytes are operations on streams of uploads, several at a time,
// of whole arrays and of parts, that end in every way. Whatever they do, what
// is stored is what was sent, and nothing else is kept.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cast/cast.h"
#include "core/crc32c.h"
#include "core/device/cpu_backend.h"
#include "core/device/device_registry.h"
#include "core/error.h"
#include "core/npy.h"
#include "core/store/device_quotas.h"
#include "core/store/tensor_store.h"
#include "server/rpc/request_log.h"
#include "server/rpc/service_context.h"
#include "server/rpc/upload_session.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_enums.h"
#include "tests/core/store/list_stored.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

// Some uploads fit beside each other, not all.
constexpr std::int64_t kQuotaBytes = 4096;
constexpr std::int64_t kMaxChunkBytes = 64;
constexpr std::size_t kStreams = 6;

class NoEvents final : public ServiceEvents {
 public:
  void ArrayBytesReceived(std::int64_t) override {}
  void ArrayBytesSent(std::int64_t) override {}
  void Converted(DType, DType, Device, Device, absl::Duration) override {}
  void Queued(Device, absl::Duration) override {}
  void RefusedBytes(std::int64_t) override {}
  void Expired(Device) override {}
  void Evicted(Device) override {}
  void Refused(std::string_view) override {}
};

// An upload that clients know of.
struct Plan {
  v1::UploadDeclaration declaration;
  std::string bytes;
  DType stored_dtype = DType::kUInt8;
  std::string stored;
};

struct PlanSpec {
  const char* tensor_id;
  // 0: none.
  int request;
  DType from;
  DType to;
  std::int64_t count;
  Overflow overflow;
  bool is_npy;
};

constexpr std::array<PlanSpec, 12> kPlans = {{
    {"a", 1, DType::kFloat32, DType::kBFloat16, 100, Overflow::kTorch, false},
    {"b", 2, DType::kUInt8, DType::kUInt8, 300, Overflow::kTorch, false},
    // The request of the first, for something else.
    {"a", 1, DType::kFloat32, DType::kFloat16, 100, Overflow::kTorch, false},
    {"a", 3, DType::kFloat64, DType::kInt16, 70, Overflow::kSaturate, false},
    {"a", 0, DType::kInt64, DType::kFloat32, 40, Overflow::kTorch, false},
    {"", 4, DType::kInt16, DType::kComplex128, 60, Overflow::kTorch, false},
    {"", 0, DType::kComplex64, DType::kBool, 33, Overflow::kTorch, false},
    {"b", 5, DType::kFloat32, DType::kInt8, 50, Overflow::kError, false},
    {"c", 6, DType::kFloat16, DType::kFloat64, 37, Overflow::kTorch, true},
    {"b", 0, DType::kUInt16, DType::kUInt16, 0, Overflow::kTorch, false},
    // Too large in the end.
    {"c", 7, DType::kUInt8, DType::kComplex128, 200, Overflow::kTorch, false},
    {"a/../b", 0, DType::kUInt8, DType::kUInt8, 10, Overflow::kTorch, false},
}};

v1::OverflowPolicy ToProto(Overflow overflow) {
  switch (overflow) {
    case Overflow::kTorch:
      return v1::OVERFLOW_POLICY_TORCH;
    case Overflow::kSaturate:
      return v1::OVERFLOW_POLICY_SATURATE;
    case Overflow::kError:
      return v1::OVERFLOW_POLICY_ERROR;
  }
  return v1::OVERFLOW_POLICY_UNSPECIFIED;
}

std::vector<Plan> MakePlans() {
  std::vector<Plan> plans;
  for (const PlanSpec& spec : kPlans) {
    Plan& plan = plans.emplace_back();
    const auto count = static_cast<std::size_t>(spec.count);
    plan.bytes.resize(count * ItemSize(spec.from));
    for (std::size_t i = 0; i < plan.bytes.size(); ++i) {
      plan.bytes[i] =
          static_cast<char>(i * 131 + plans.size() * 29 + (i >> 5) * 7);
    }
    plan.stored_dtype = spec.to;
    plan.stored.resize(count * ItemSize(spec.to));
    CastFailures failures;
    CastPacked(spec.from, reinterpret_cast<const std::byte*>(plan.bytes.data()),
               spec.to, reinterpret_cast<std::byte*>(plan.stored.data()), count,
               spec.overflow, &failures);
    v1::ArrayDeclaration& array = *plan.declaration.mutable_array();
    if (spec.is_npy) {
      array.mutable_npy();
      plan.bytes.insert(0, WriteNpyHeader(spec.from, ByteOrder::kLittle,
                                          Order::kC, Dims{spec.count}));
    } else {
      array.mutable_raw()->set_dtype(ToProto(spec.from));
      array.mutable_raw()->add_shape(spec.count);
    }
    array.set_total_bytes(static_cast<std::int64_t>(plan.bytes.size()));
    plan.declaration.set_tensor_id(spec.tensor_id);
    if (spec.request != 0) {
      plan.declaration.set_request_id(
          absl::StrCat("00000000-0000-4000-8000-00000000000", spec.request));
    }
    plan.declaration.mutable_options()->set_dtype(ToProto(spec.to));
    plan.declaration.mutable_options()->set_overflow(ToProto(spec.overflow));
  }
  return plans;
}

// Reads the operations; zeros at the end.
class Operations {
 public:
  explicit Operations(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return position_ >= bytes_.size(); }
  std::size_t Below(std::size_t bound) {
    return done() ? 0 : static_cast<std::uint8_t>(bytes_[position_++]) % bound;
  }
  bool OneIn(std::size_t n) { return Below(n) == n - 1; }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;
};

class Streams {
 public:
  explicit Streams(std::string_view input) : input_(input) {
    static const std::unique_ptr<DeviceRegistry> devices = [] {
      auto registry = std::make_unique<DeviceRegistry>();
      registry->Add(NewCpuBackend({}));
      return registry;
    }();
    quotas_.Add(*devices->backends().front(), kQuotaBytes);
    context_ = {
        .devices = devices.get(),
        .store = &store_,
        .quotas = &quotas_,
        .requests = &requests_,
        .uploads = &uploads_,
        .limits = {.max_tensor_bytes = 3000, .max_chunk_bytes = kMaxChunkBytes},
        .events = &events_,
        .version = {},
        .start_time = now_};
    allocator_.emplace(
        *devices, quotas_, nullptr, context_.limits.max_tensor_bytes,
        [this](Device device) { return uploads_.DropOldest(device); });
  }

  void Run() {
    Operations operations(input_);
    while (!operations.done()) Step(operations);
    for (Stream& stream : streams_) stream = {};
    uploads_.Clear();
    Require(uploads_.suspended() == 0, "no upload is kept", input_);
    CheckStore();
    std::size_t stored_bytes = 0;
    for (const auto& [id, plan] : stored_) stored_bytes += plan->stored.size();
    Require(quotas_.Of(kCpuDevice).used_bytes() ==
                static_cast<std::int64_t>(stored_bytes),
            "memory is counted for what is stored", input_);
    for (const auto& [id, plan] : stored_) {
      Require(store_.Delete(id, "").ok(), "what is stored can go", input_);
    }
    Require(quotas_.Of(kCpuDevice).used_bytes() == 0, "no memory is kept",
            input_);
    for (const char* const id : {"a", "b", "c"}) {
      Require(store_.ClaimId(id).ok(), "no id is kept", input_);
    }
  }

 private:
  struct Stream {
    std::unique_ptr<UploadSession> session;
    const Plan* plan = nullptr;
    // Of the next chunk, and behind the last.
    std::int64_t next = 0;
    std::int64_t end = 0;
    bool is_finished = false;
    // Whether another stream of the request was refused, and this one may be.
    bool is_doomed = false;
  };

  static const std::vector<Plan>& Plans() {
    static const auto* const plans = new std::vector<Plan>(MakePlans());
    return *plans;
  }

  void Step(Operations& operations) {
    Stream& stream = streams_[operations.Below(kStreams)];
    switch (operations.Below(16)) {
      case 0:
      case 1:
      case 2:
        return Open(stream, operations);
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
        return Send(stream, operations);
      case 9:
        return SendAll(stream);
      case 10:
        return SendSpoilt(stream, operations);
      case 11:
        return End(stream);
      case 12:
        if (stream.session != nullptr) stream.session->Suspend();
        stream = {};
        return;
      case 13:
        if (stream.session != nullptr && operations.OneIn(2)) {
          stream.session->Refuse(absl::AbortedError("refused"));
        }
        return Doom(stream);
      case 14:
        now_ += absl::Seconds(static_cast<std::int64_t>(operations.Below(12)));
        uploads_.Sweep();
        return;
      default:
        return Drop(operations);
    }
  }

  // Where a stream with this declaration has to go on.
  std::int64_t NextByte(const v1::UploadDeclaration& declaration) {
    const std::int64_t first =
        declaration.has_part() ? declaration.part().begin() : 0;
    if (declaration.request_id().empty()) return first;
    const auto upload = uploads_.Find(declaration.request_id());
    if (upload == nullptr) return first;
    std::optional<ByteRange> part;
    if (declaration.has_part()) {
      part = {declaration.part().begin(), declaration.part().end()};
    }
    return upload->NextByte(part).value_or(first);
  }

  void Open(Stream& stream, Operations& operations) {
    const Plan& plan = Plans()[operations.Below(kPlans.size())];
    v1::UploadDeclaration declaration = plan.declaration;
    std::int64_t end = declaration.array().total_bytes();
    const std::size_t part = operations.Below(8);
    if (part >= 4) {
      // A half or a quarter, or what is none.
      const std::int64_t begin =
          part == 4 ? 0 : end / 4 * static_cast<std::int64_t>(part - 4);
      end = part == 4 ? end / 2 : begin + end / 4;
      declaration.mutable_part()->set_begin(begin);
      declaration.mutable_part()->set_end(end);
    }
    if (stream.session == nullptr) {
      stream.session = std::make_unique<UploadSession>(context_, *allocator_,
                                                       [this] { return now_; });
      stream.plan = &plan;
      stream.next = NextByte(declaration);
      stream.end = end;
    }
    Envelope envelope;
    envelope.payload = Envelope::Payload::kDeclaration;
    envelope.finish = stream.end == stream.next && operations.OneIn(4);
    stream.is_finished = envelope.finish;
    if (!Take(stream, envelope, declaration)) return;
    if (const auto& answer = stream.session->earlier_answer()) {
      Require(answer->empty() || answers_.contains(*answer),
              "the answer is one that was given", input_);
      stream = {};
    }
  }

  // A chunk as it should be.
  void Send(Stream& stream, Operations& operations) {
    if (stream.session == nullptr) return;
    const std::int64_t size = std::min(
        static_cast<std::int64_t>(operations.Below(kMaxChunkBytes + 1)),
        stream.end - stream.next);
    SendChunk(stream, std::max<std::int64_t>(size, 0), operations.OneIn(3));
  }

  void SendAll(Stream& stream) {
    while (stream.session != nullptr && stream.next < stream.end) {
      SendChunk(stream, std::min(kMaxChunkBytes, stream.end - stream.next),
                true);
    }
    if (stream.session != nullptr && stream.next == stream.end &&
        stream.is_finished) {
      End(stream);
    }
  }

  void SendChunk(Stream& stream, std::int64_t size, bool finishes) {
    const bool is_in_order = !stream.is_finished && !stream.is_doomed;
    const std::string_view data =
        std::string_view(stream.plan->bytes)
            .substr(static_cast<std::size_t>(stream.next),
                    static_cast<std::size_t>(size));
    Envelope envelope = Chunk(stream.next, data);
    envelope.chunk.crc32c = ExtendCrc32c(0, data);
    stream.next += size;
    envelope.finish = finishes && stream.next == stream.end;
    stream.is_finished |= envelope.finish;
    absl::Status status;
    if (Take(stream, envelope, {}, &status) || !is_in_order) return;
    const std::string reason = GetErrorReason(status);
    Require(reason != reason::kOffsetMismatch &&
                reason != reason::kChecksumMismatch &&
                reason != reason::kUploadOverrun &&
                reason != reason::kOffsetInvalid &&
                reason != reason::kUploadIncomplete,
            "a chunk that is in its place is taken", input_);
  }

  static Envelope Chunk(std::int64_t offset, std::string_view data) {
    Envelope envelope;
    envelope.payload = Envelope::Payload::kChunk;
    envelope.chunk.offset = offset;
    envelope.chunk.data = {data.substr(0, data.size() / 3),
                           data.substr(data.size() / 3)};
    envelope.chunk.data_bytes = data.size();
    return envelope;
  }

  // A message that has something wrong with it, or means nothing.
  void SendSpoilt(Stream& stream, Operations& operations) {
    if (stream.session == nullptr) return;
    static const std::string bytes(2 * kMaxChunkBytes, 'x');
    const std::size_t size = operations.Below(2 * kMaxChunkBytes);
    Envelope envelope =
        Chunk(stream.next, std::string_view(bytes).substr(0, size));
    bool is_refused = true;
    switch (operations.Below(6)) {
      case 0:
        envelope.chunk.offset += 1 + static_cast<std::int64_t>(size);
        break;
      case 1:
        envelope.chunk.offset = -1;
        break;
      case 2:
        envelope.chunk.offset = INT64_MAX;
        break;
      case 3:
        envelope.chunk.crc32c =
            1 + ExtendCrc32c(0, std::string_view(bytes).substr(0, size));
        break;
      case 4:
        envelope = {};
        envelope.finish = operations.OneIn(2);
        is_refused =
            !envelope.finish || stream.is_finished || stream.next != stream.end;
        stream.is_finished = true;
        break;
      default:
        envelope = Chunk(stream.end, "y");
        break;
    }
    const bool is_taken = Take(stream, envelope, {});
    Require(!is_taken || !is_refused, "what is wrong is refused", input_);
  }

  // As a stream does. False if it is over.
  bool Take(Stream& stream, const Envelope& envelope,
            const v1::UploadDeclaration& declaration,
            absl::Status* refusal = nullptr) {
    const absl::Status status = stream.session->Take(envelope, declaration);
    if (refusal != nullptr) *refusal = status;
    if (status.ok()) return true;
    CheckRefusal(status);
    stream.session->Refuse(status);
    Doom(stream);
    return false;
  }

  // The end of a stream that takes the others of its request with it.
  void Doom(Stream& stream) {
    for (Stream& other : streams_) {
      if (stream.plan == nullptr || other.plan == nullptr) continue;
      other.is_doomed |= other.plan->declaration.request_id() ==
                         stream.plan->declaration.request_id();
    }
    stream = {};
  }

  // The client sends no more.
  void End(Stream& stream) {
    if (stream.session == nullptr) return;
    std::string answer;
    const auto stored = stream.session->Commit(
        [&](const std::string& given) { answer = given; });
    if (!stored.ok()) {
      CheckRefusal(stored.status());
      if (GetErrorReason(stored.status()) == reason::kUploadIncomplete) {
        stream.session->Suspend();
      }
      stream.session->Refuse(stored.status());
      return Doom(stream);
    }
    if (*stored != nullptr) {
      Require(stream.is_finished, "a client says that it is finished", input_);
      const std::string& id = (*stored)->id;
      Require(stored_.emplace(id, stream.plan).second, "an id is taken once",
              input_);
      CheckStored(**stored, *stream.plan);
      answers_.insert(std::move(answer));
    }
    stream = {};
  }

  // What others than streams do.
  void Drop(Operations& operations) {
    static constexpr std::array kIds = {"a", "b", "c"};
    const std::string id = kIds[operations.Below(kIds.size())];
    switch (operations.Below(3)) {
      case 0:
        uploads_.DropOldest(kCpuDevice);
        break;
      case 1:
        uploads_.DropClaimOf(id);
        break;
      default:
        Require(store_.Delete(id, "").ok() == (stored_.erase(id) > 0),
                "what is stored can go", input_);
        break;
    }
  }

  void CheckRefusal(const absl::Status& status) const {
    // A stream that is dropped or told to refuse gives no reason.
    Require(status.code() == absl::StatusCode::kCancelled ||
                status.code() == absl::StatusCode::kAborted ||
                !GetErrorReason(status).empty(),
            "a refusal has a reason", input_);
    Require(status.code() != absl::StatusCode::kInternal, "no error of ours",
            input_);
  }

  void CheckStored(const StoredTensor& stored, const Plan& plan) const {
    const Tensor& tensor = stored.tensor;
    Require(tensor.dtype() == plan.stored_dtype, "the dtype is what was asked",
            input_);
    Require(tensor.buffer()->size_bytes() >= plan.stored.size() &&
                std::memcmp(tensor.buffer()->data(), plan.stored.data(),
                            plan.stored.size()) == 0,
            "the elements are those that were sent", input_);
  }

  void CheckStore() const {
    const auto all = ListStored(store_);
    Require(all.size() == stored_.size(), "what was committed is stored",
            input_);
    for (const auto& stored : all) {
      const auto it = stored_.find(stored->id);
      Require(it != stored_.end(), "what is stored was committed", input_);
      CheckStored(*stored, *it->second);
    }
  }

  const std::string_view input_;
  absl::Time now_ = absl::UnixEpoch();
  NoEvents events_;
  TensorStore store_{{.clock = [this] { return now_; }}};
  DeviceQuotas quotas_;
  RequestLog requests_{[this] { return now_; }};
  Uploads uploads_{absl::Seconds(10), [this] { return now_; }};
  ServiceContext context_;
  std::optional<BufferAllocator> allocator_;
  std::array<Stream, kStreams> streams_;
  // By id: what was committed, and not deleted.
  std::map<std::string, const Plan*> stored_;
  std::set<std::string> answers_;
};

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  // What more operations do, others do as well.
  constexpr std::size_t kMaxBytes = 4096;
  const std::string input(data, data + std::min(size, kMaxBytes));
  tensord::Streams(input).Run();
  return 0;
}
