#include "server/observe/call_series.h"

#include <array>
#include <atomic>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "prometheus/counter.h"
#include "server/absl_text.h"
#include "server/observe/code_name.h"
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
  const google::protobuf::ServiceDescriptor& service =
      *v1::Tensor::descriptor()->file()->FindServiceByName("TensorService");
  for (int i = 0; i < service.method_count(); ++i) {
    const google::protobuf::MethodDescriptor& method = *service.method(i);
    methods.push_back(MethodLabels(
        service.full_name(), method.name(),
        TypeName(method.client_streaming(), method.server_streaming())));
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
      : started(prometheus::BuildCounter()
                    .Name("grpc_server_started_total")
                    .Help("Calls that began.")
                    .Register(registry)),
        handled(prometheus::BuildCounter()
                    .Name("grpc_server_handled_total")
                    .Help("Calls that ended, by status code.")
                    .Register(registry)),
        handling(prometheus::BuildHistogram()
                     .Name("grpc_server_handling_seconds")
                     .Help("Time from the arrival of a call to its status.")
                     .Register(registry)) {}

  prometheus::Family<Counter>& started;
  prometheus::Family<Counter>& handled;
  prometheus::Family<Histogram>& handling;
};

// The series of one method. Those of codes other than OK are made when they are
// first needed: most of them never are.
class CallSeries::MethodSeries {
 public:
  MethodSeries(Families& families, const Labels& labels)
      : families_(families),
        labels_(labels),
        started_(families.started.Add(labels)),
        handling_(families.handling.Add(labels, SecondsBuckets())) {
    Handled(grpc::StatusCode::OK);
  }

  void Start() { started_.Increment(); }

  void Finish(grpc::StatusCode code, absl::Duration duration) {
    Handled(code).Increment();
    handling_.Observe(absl::ToDoubleSeconds(duration));
  }

 private:
  // Where two threads come first at a time, the family gives both the same.
  Counter& Handled(grpc::StatusCode code) {
    std::atomic<Counter*>& cell = handled_[CodeIndex(code)];
    Counter* counter = cell.load(std::memory_order_acquire);
    if (counter == nullptr) {
      Labels labels = labels_;
      labels["grpc_code"] = CodeName(code);
      counter = &families_.handled.Add(labels);
      cell.store(counter, std::memory_order_release);
    }
    return *counter;
  }

  Families& families_;
  const Labels labels_;
  Counter& started_;
  Histogram& handling_;
  std::array<std::atomic<Counter*>, kCodeNames.size()> handled_{};
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

void CallSeries::Finish(std::string_view method, grpc::StatusCode code,
                        absl::Duration duration) {
  Of(method).Finish(code, duration);
}

}  // namespace tensord
