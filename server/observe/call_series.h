// The time series of calls: one set for each method there is.
#ifndef TENSORD_SERVER_OBSERVE_CALL_SERIES_H_
#define TENSORD_SERVER_OBSERVE_CALL_SERIES_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/observe/call_observer.h"

namespace tensord {

// Upper bounds in seconds; a part of those in gRPC's proposal A66.
const prometheus::Histogram::BucketBoundaries& SecondsBuckets();

// grpc_server_started_total, grpc_server_handled_total,
// grpc_server_handling_seconds, grpc_server_msg_received_total and
// grpc_server_msg_sent_total; and bytes of messages by method and code,
// tensord_call_received_bytes_total and tensord_call_sent_bytes_total. Methods
// that are not there share one set, labelled "other": peers can make up names
// without end. Thread-safe.
class CallSeries {
 public:
  // `registry` outlives this object.
  explicit CallSeries(prometheus::Registry& registry);
  ~CallSeries();

  // `method` is "/package.Service/Method".
  void Start(std::string_view method);
  void Finish(const FinishedCall& call);

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
