#include "server/observe/call_series.h"

#include <array>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "prometheus/counter.h"
#include "server/absl_text.h"
#include "server/observe/code_name.h"
#include "server/observe/metric_families.h"
#include "tensord/v1/admin.pb.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {
namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Labels;

// Type and names as go-grpc-prometheus has them.
Labels MethodLabels(std::string_view service, std::string_view method,
                    std::string_view type) {
  return {{"grpc_service", std::string(service)},
          {"grpc_method", std::string(method)},
          {"grpc_type", std::string(type)}};
}

std::string_view TypeName(bool client_streams, bool server_streams) {
  if (client_streams) return server_streams ? "bidi_stream" : "client_stream";
  return server_streams ? "server_stream" : "unary";
}

std::vector<Labels> KnownMethods() {
  // The services that gRPC brings along have no descriptors here.
  std::vector<Labels> methods = {
      MethodLabels("grpc.health.v1.Health", "Check", "unary"),
      MethodLabels("grpc.health.v1.Health", "Watch", "server_stream"),
      MethodLabels("grpc.reflection.v1alpha.ServerReflection",
                   "ServerReflectionInfo", "bidi_stream"),
  };
  for (const google::protobuf::ServiceDescriptor* service :
       {v1::Tensor::descriptor()->file()->FindServiceByName("TensorService"),
        v1::TenantUsage::descriptor()->file()->FindServiceByName(
            "AdminService")}) {
    for (int i = 0; i < service->method_count(); ++i) {
      const google::protobuf::MethodDescriptor& method = *service->method(i);
      methods.push_back(MethodLabels(
          service->full_name(), method.name(),
          TypeName(method.client_streaming(), method.server_streaming())));
    }
  }
  return methods;
}

}  // namespace

const Histogram::BucketBoundaries& SecondsBuckets() {
  static const auto& buckets = *new Histogram::BucketBoundaries{
      .0001, .0003, .001, .003, .006, .01, .02, .05,
      .1,    .25,   .5,   1,    2,    5,   10,  30};
  return buckets;
}

struct CallSeries::Families {
  explicit Families(prometheus::Registry& registry)
      : started(CounterFamily(registry, "grpc_server_started_total",
                              "Calls that began.")),
        handled(CounterFamily(registry, "grpc_server_handled_total",
                              "Calls that ended, by status code.")),
        handling(
            HistogramFamily(registry, "grpc_server_handling_seconds",
                            "Time from the arrival of a call to its status.")),
        received(CounterFamily(registry, "grpc_server_msg_received_total",
                               "Messages that came.")),
        sent(CounterFamily(registry, "grpc_server_msg_sent_total",
                           "Messages that were sent.")),
        received_bytes(CounterFamily(registry,
                                     "tensord_call_received_bytes_total",
                                     "Bytes of messages that came.")),
        sent_bytes(CounterFamily(registry, "tensord_call_sent_bytes_total",
                                 "Bytes of messages that were sent.")) {}

  prometheus::Family<Counter>& started;
  prometheus::Family<Counter>& handled;
  prometheus::Family<Histogram>& handling;
  prometheus::Family<Counter>& received;
  prometheus::Family<Counter>& sent;
  prometheus::Family<Counter>& received_bytes;
  prometheus::Family<Counter>& sent_bytes;
};

// The series of one method. Those of codes other than OK are made when they are
// first needed: most of them never are.
class CallSeries::MethodSeries {
 public:
  MethodSeries(Families& families, const Labels& labels)
      : families_(families),
        labels_(labels),
        started_(families.started.Add(labels)),
        handling_(families.handling.Add(labels, SecondsBuckets())),
        received_(families.received.Add(labels)),
        sent_(families.sent.Add(labels)) {
    OfCode(grpc::StatusCode::OK);
  }

  void Start() { started_.Increment(); }

  void Finish(const FinishedCall& call) {
    const CodeSeries& series = OfCode(call.code);
    series.handled.Increment();
    series.received_bytes.Increment(static_cast<double>(call.received_bytes));
    series.sent_bytes.Increment(static_cast<double>(call.sent_bytes));
    received_.Increment(static_cast<double>(call.received_messages));
    sent_.Increment(static_cast<double>(call.sent_messages));
    handling_.Observe(absl::ToDoubleSeconds(call.duration));
  }

 private:
  struct CodeSeries {
    Counter& handled;
    Counter& received_bytes;
    Counter& sent_bytes;
  };

  const CodeSeries& OfCode(grpc::StatusCode code) {
    const std::size_t index = CodeIndex(code);
    std::call_once(made_[index], [&] {
      Labels labels = labels_;
      labels["grpc_code"] = CodeName(code);
      codes_[index].emplace(CodeSeries{families_.handled.Add(labels),
                                       families_.received_bytes.Add(labels),
                                       families_.sent_bytes.Add(labels)});
    });
    return *codes_[index];
  }

  Families& families_;
  const Labels labels_;
  Counter& started_;
  Histogram& handling_;
  Counter& received_;
  Counter& sent_;
  std::array<std::once_flag, kCodeNames.size()> made_;
  std::array<std::optional<CodeSeries>, kCodeNames.size()> codes_;
};

CallSeries::CallSeries(prometheus::Registry& registry)
    : families_(std::make_unique<Families>(registry)),
      other_(std::make_unique<MethodSeries>(
          *families_, MethodLabels("other", "other", "unknown"))) {
  for (const Labels& labels : KnownMethods()) {
    known_.emplace(absl::StrCat("/", labels.at("grpc_service"), "/",
                                labels.at("grpc_method")),
                   std::make_unique<MethodSeries>(*families_, labels));
  }
}

CallSeries::~CallSeries() = default;

CallSeries::MethodSeries& CallSeries::Of(std::string_view method) {
  const auto it = known_.find(ToAbsl(method));
  return it == known_.end() ? *other_ : *it->second;
}

void CallSeries::Start(std::string_view method) { Of(method).Start(); }

void CallSeries::Finish(const FinishedCall& call) {
  Of(call.method).Finish(call);
}

}  // namespace tensord
