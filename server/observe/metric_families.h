// Short ways to register metrics.
#ifndef TENSORD_SERVER_OBSERVE_METRIC_FAMILIES_H_
#define TENSORD_SERVER_OBSERVE_METRIC_FAMILIES_H_

#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace tensord {

// Registered under `name`; owned by `registry`.
inline prometheus::Family<prometheus::Counter>& CounterFamily(
    prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

inline prometheus::Family<prometheus::Histogram>& HistogramFamily(
    prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_METRIC_FAMILIES_H_
