#include "server/observe/call_observer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error.h"
#include "core/tsan.h"
#include "grpcpp/server_context.h"
#include "server/observe/call_record.h"
#include "server/queue_probe.h"

namespace tensord {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using SteadyClock = std::chrono::steady_clock;

// Longest that a call is on its way from the peer, as a rule.
constexpr std::chrono::milliseconds kTransit{10};

bool IsProbe(std::string_view method) {
  return method.starts_with("/grpc.health.") ||
         method.starts_with("/grpc.reflection.");
}

constexpr char kRequestIdKey[] = "x-request-id";
constexpr char kTraceparentKey[] = "traceparent";
constexpr std::size_t kMaxRequestIdBytes = 128;

// What may stand in a log and in metadata as it is.
bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isgraph(c) && c < 0x7f;
         });
}

// 16 hexadecimal digits, not all 0.
std::string RandomId() {
  thread_local absl::BitGen random;
  return absl::StrCat(
      absl::Hex(absl::Uniform<std::uint64_t>(absl::IntervalClosedClosed, random,
                                             1, UINT64_MAX),
                absl::kZeroPad16));
}

struct Watchers {
  InflightCalls* inflight;
  QueueProbe* queue_probe;
  std::vector<CallObserver*> observers;
};

// Lives as long as its call. gRPC may run the hooks of one call on two threads
// at a time: that of the reactor, and the one that learns of a cancellation.
class CallInterceptor final : public grpc::experimental::Interceptor {
 public:
  CallInterceptor(const Watchers* watchers, ServerRpcInfo* info)
      : watchers_(watchers),
        context_(info->server_context()),
        method_(info->method()),
        is_probe_(IsProbe(method_)) {
    SetRecord(*context_, record_);
    watchers_->inflight->Enter(is_probe_);
    for (CallObserver* observer : watchers_->observers) {
      observer->CallStarted({.method = method_});
    }
    HandOver(this);
  }

  // The context is being destroyed, so nothing is asked of it here.
  ~CallInterceptor() override {
    TakeOver(this);
    Finish(grpc::StatusCode::CANCELLED);
    watchers_->inflight->Leave(is_probe_);
    HandOver(watchers_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    TakeOver(this);
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      // Later the connection may be gone, and its name with it.
      peer_ = context_->peer();
      ReadMetadata(*methods->GetRecvInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_MESSAGE) &&
        !is_probe_) {
      record_->sent_bytes += static_cast<std::int64_t>(
          methods->GetSerializedSendMessage()->Length());
      ++record_->sent_messages;
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_CLOSE)) {
      closed_ = true;
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      AddTrailers(*methods->GetSendTrailingMetadata());
      Finish(closed_ ? AbandonedCode() : methods->GetSendStatus().error_code());
    }
    HandOver(this);
    methods->Proceed();
  }

 private:
  // What a peer that has gone made of its call. At its deadline it resets the
  // stream, and that is often here before the deadline has passed here too:
  // peers round up the time that they allow by up to a hundredth, and it counts
  // from the arrival of the call.
  grpc::StatusCode AbandonedCode() const {
    TakeOver(record_.get());
    if (record_->reason == reason::kStreamIdle) {
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    }
    const auto slack = (SteadyClock::now() - start_) / 64 + kTransit;
    return context_->deadline() - slack <= std::chrono::system_clock::now()
               ? grpc::StatusCode::DEADLINE_EXCEEDED
               : grpc::StatusCode::CANCELLED;
  }

  void ReadMetadata(
      const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
    const auto find = [&](const char* key) {
      const auto it = metadata.find(key);
      return it == metadata.end()
                 ? std::string_view()
                 : std::string_view(it->second.data(), it->second.size());
    };
    const std::string_view id = find(kRequestIdKey);
    sends_id_ = IsRequestId(id);
    record_->id = sends_id_ ? std::string(id) : RandomId();
    if (const std::string_view parent = find(kTraceparentKey);
        !parent.empty()) {
      record_->trace = ParseTraceparent(parent, RandomId());
    }
  }

  void AddTrailers(std::multimap<std::string, std::string>& trailers) const {
    if (sends_id_) trailers.emplace(kRequestIdKey, record_->id);
    if (record_->trace.has_value()) {
      trailers.emplace(kTraceparentKey, record_->trace->traceparent());
    }
  }

  void Finish(grpc::StatusCode code) {
    if (finished_.exchange(true)) return;
    TakeOver(record_.get());
    const FinishedCall call{
        .method = method_,
        .peer = peer_,
        .code = code,
        .reason = record_->reason,
        .tenant = record_->tenant,
        .id = record_->id,
        .trace = record_->trace.has_value() ? &*record_->trace : nullptr,
        .received_bytes = record_->received_bytes,
        .sent_bytes = record_->sent_bytes,
        .received_messages = record_->received_messages,
        .sent_messages = record_->sent_messages,
        .duration = absl::FromChrono(SteadyClock::now() - start_)};
    for (CallObserver* observer : watchers_->observers) {
      observer->CallFinished(call);
    }
  }

  const Watchers* const watchers_;
  grpc::ServerContextBase* const context_;
  // A copy: gRPC destroys the original before this object where the method is
  // not there.
  const std::string method_;
  const bool is_probe_;
  const SteadyClock::time_point start_ = SteadyClock::now();
  const std::shared_ptr<CallRecord> record_ = std::make_shared<CallRecord>();
  // Written before the service learns of the call, as are the id and the trace
  // in the record.
  std::string peer_;
  bool sends_id_ = false;
  std::atomic<bool> closed_{false};
  std::atomic<bool> finished_{false};
};

class CallInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallInterceptorFactory(Watchers watchers)
      : watchers_(std::move(watchers)) {}

  // The server waits for its calls before it destroys this.
  ~CallInterceptorFactory() override { TakeOver(&watchers_); }

  grpc::experimental::Interceptor* CreateServerInterceptor(
      ServerRpcInfo* info) override {
    // Made by whichever thread read the call.
    TakeOver(info->server_context());
    if (watchers_.queue_probe->Takes(info->method(), *info->server_context())) {
      return nullptr;
    }
    return new CallInterceptor(&watchers_, info);
  }

 private:
  const Watchers watchers_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
NewCallInterceptorFactory(InflightCalls* inflight, QueueProbe* queue_probe,
                          std::vector<CallObserver*> observers) {
  return std::make_unique<CallInterceptorFactory>(
      Watchers{inflight, queue_probe, std::move(observers)});
}

}  // namespace tensord
