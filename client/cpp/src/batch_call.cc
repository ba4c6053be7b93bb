#include "client/cpp/src/batch_call.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/envelope.h"
#include "client/cpp/src/status.h"
#include "client/cpp/src/stream_call.h"
#include "google/protobuf/arena.h"
#include "google/protobuf/io/coded_stream.h"

namespace tensord::client {
namespace {

using google::protobuf::Arena;
using google::protobuf::io::CodedOutputStream;

constexpr char kMethod[] = "/tensord.v1.TensorService/Batch";
// Field 1 of BatchRequest, of bytes that a length precedes.
constexpr char kCallTag = 1 << 3 | 2;

// Appends a message after its tag and length.
void AppendCall(const v1::BatchCall& call, std::string& out) {
  const std::size_t size = call.ByteSizeLong();
  std::uint8_t prefix[8] = {kCallTag};
  const std::uint8_t* const end = CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(size), prefix + 1);
  out.append(reinterpret_cast<const char*>(prefix),
             static_cast<std::size_t>(end - prefix));
  const std::size_t begin = out.size();
  out.resize(begin + size);
  call.SerializeWithCachedSizesToArray(
      reinterpret_cast<std::uint8_t*>(out.data()) + begin);
}

absl::Status FromProto(const v1::BatchError& error) {
  const absl::Status status =
      FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(error.code()),
                                  error.message(), error.SerializeAsString()));
  return status.ok() ? MalformedAnswer("a refusal without a code") : status;
}

// The places whose calls were sent, in order.
using Places = std::vector<std::size_t>;

class CallSource final : public MessageSource {
 public:
  CallSource(std::size_t count, FillCall fill, std::size_t message_bytes,
             Places& sent)
      : count_(count),
        fill_(fill),
        message_bytes_(message_bytes),
        sent_(sent) {}

  grpc::ByteBuffer Next(bool* last) override {
    message_.clear();
    Arena arena;
    while (next_ < count_ && message_.size() < message_bytes_) {
      auto& call = *Arena::CreateMessage<v1::BatchCall>(&arena);
      const std::size_t place = next_++;
      if (!fill_(place, call)) continue;
      AppendCall(call, message_);
      sent_.push_back(place);
    }
    *last = next_ == count_;
    const grpc::Slice slice(message_);
    return grpc::ByteBuffer(&slice, 1);
  }

 private:
  const std::size_t count_;
  const FillCall fill_;
  const std::size_t message_bytes_;
  Places& sent_;
  std::size_t next_ = 0;
  // Kept for its capacity.
  std::string message_;
};

class ResultSink final : public MessageSink {
 public:
  ResultSink(TakeResult take, TakeRefusal refuse, const Places& sent)
      : take_(take), refuse_(refuse), sent_(sent) {}

  absl::Status Take(const grpc::ByteBuffer& message) override {
    Arena arena;
    auto& response = *Arena::CreateMessage<v1::BatchResponse>(&arena);
    if (absl::Status status = ParseMessage(message, &response); !status.ok()) {
      return status;
    }
    for (const v1::BatchResult& result : response.results()) {
      if (taken_ == sent_.size()) {
        return MalformedAnswer("more results than calls");
      }
      const std::size_t place = sent_[taken_++];
      if (result.has_error()) {
        refuse_(place, FromProto(result.error()));
      } else {
        take_(place, result);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckComplete() const {
    if (taken_ == sent_.size()) return absl::OkStatus();
    return MalformedAnswer(
        absl::StrCat(taken_, " results of ", sent_.size(), " calls"));
  }

 private:
  const TakeResult take_;
  const TakeRefusal refuse_;
  const Places& sent_;
  std::size_t taken_ = 0;
};

}  // namespace

Task<absl::Status> RunBatchCall(const Execution& execution,
                                Connection& connection, std::size_t count,
                                FillCall fill, TakeResult take,
                                TakeRefusal refuse, std::size_t message_bytes) {
  if (count == 0) co_return absl::OkStatus();
  Places sent;
  CallSource source(count, fill, message_bytes, sent);
  ResultSink sink(take, refuse, sent);
  absl::Status status =
      co_await RunStreamCall(execution, connection, kMethod, source, sink);
  co_return status.ok() ? sink.CheckComplete() : status;
}

}  // namespace tensord::client
