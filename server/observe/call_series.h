// The time series of calls: one set for each method there is.
#ifndef TENSORD_SERVER_OBSERVE_CALL_SERIES_H_
#define TENSORD_SERVER_OBSERVE_CALL_SERIES_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "grpcpp/support/status_code_enum.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace tensord {

// Upper bounds in seconds; a part of those in gRPC's proposal A66.
const prometheus::Histogram::BucketBoundaries& SecondsBuckets();

// grpc_server_started_total, grpc_server_handled_total and
// grpc_server_handling_seconds. Methods that are not there share one set,
// labelled "other": peers can make up names without end. Thread-safe.
class CallSeries {
 public:
  // `registry` outlives this object.
  explicit CallSeries(prometheus::Registry& registry);
  ~CallSeries();

  // `method` is "/package.Service/Method".
  void Start(std::string_view method);
  void Finish(std::string_view method, grpc::StatusCode code,
              absl::Duration duration);

 private:
  struct Families;
  class MethodSeries;
  MethodSeries& Of(std::string_view method);

  std::unique_ptr<Families> families_;
  std::unique_ptr<MethodSeries> other_;
  absl::flat_hash_map<std::string, std::unique_ptr<MethodSeries>> known_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_CALL_SERIES_H_
