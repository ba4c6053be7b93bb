#include "server/observe/call_observer.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/server_context.h"
#include "server/rpc/tsan.h"

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

struct Watchers {
  InflightCalls* inflight;
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
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_CLOSE)) {
      closed_ = true;
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
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
    const auto slack = (SteadyClock::now() - start_) / 64 + kTransit;
    return context_->deadline() - slack <= std::chrono::system_clock::now()
               ? grpc::StatusCode::DEADLINE_EXCEEDED
               : grpc::StatusCode::CANCELLED;
  }

  void Finish(grpc::StatusCode code) {
    if (finished_.exchange(true)) return;
    const FinishedCall call{
        .method = method_,
        .peer = peer_,
        .code = code,
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
  // Written before the service learns of the call.
  std::string peer_;
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
    return new CallInterceptor(&watchers_, info);
  }

 private:
  const Watchers watchers_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
NewCallInterceptorFactory(InflightCalls* inflight,
                          std::vector<CallObserver*> observers) {
  return std::make_unique<CallInterceptorFactory>(
      Watchers{inflight, std::move(observers)});
}

}  // namespace tensord
