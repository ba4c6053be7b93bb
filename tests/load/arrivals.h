// When calls are due.
#ifndef TENSORD_TESTS_LOAD_ARRIVALS_H_
#define TENSORD_TESTS_LOAD_ARRIVALS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tensord::load {

using Random = std::mt19937_64;

// A time of one offered rate.
struct Segment {
  double rate = 0;  // Calls per second.
  double seconds = 0;
};

// "2000x5,8000x2": 2000 calls per second for 5 seconds, then 8000 for 2.
// INVALID_ARGUMENT for anything else, for rates and times that are not above 0,
// and for more than 100 million calls.
absl::StatusOr<std::vector<Segment>> ParseSegments(std::string_view text);

enum class ArrivalProcess : std::uint8_t {
  // Independent of each other, as calls of many users are.
  kPoisson,
  // At equal distances.
  kFixed,
};

// "poisson" or "fixed"; INVALID_ARGUMENT for others.
absl::StatusOr<ArrivalProcess> ParseArrivalProcess(std::string_view text);

struct Arrival {
  std::int64_t time_ns = 0;  // From the begin of the first segment.
  std::size_t segment = 0;
};

// Every arrival in all segments, one behind the other, in ascending order. It
// does not depend on anything that happens later: the load is an open loop.
std::vector<Arrival> PlanArrivals(const std::vector<Segment>& segments,
                                  ArrivalProcess process, Random& random);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_ARRIVALS_H_
