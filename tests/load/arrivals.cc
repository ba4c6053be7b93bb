#include "tests/load/arrivals.h"

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tensord::load {
namespace {

constexpr double kMaxCalls = 1e8;
constexpr double kNanosPerSecond = 1e9;

absl::Status Bad(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text),
                   "\" is not RATExSECONDS, separated by commas, with both "
                   "above 0 and 100 million calls at most"));
}

}  // namespace

absl::StatusOr<std::vector<Segment>> ParseSegments(std::string_view text) {
  std::vector<Segment> segments;
  double calls = 0;
  for (const absl::string_view part : absl::StrSplit(std::string(text), ',')) {
    const std::vector<std::string> numbers = absl::StrSplit(part, 'x');
    Segment segment;
    if (numbers.size() != 2 || !absl::SimpleAtod(numbers[0], &segment.rate) ||
        !absl::SimpleAtod(numbers[1], &segment.seconds)) {
      return Bad(text);
    }
    // Written so that NaN is refused.
    if (!(segment.rate > 0) || !(segment.seconds > 0)) return Bad(text);
    calls += segment.rate * segment.seconds;
    segments.push_back(segment);
  }
  if (!(calls <= kMaxCalls)) return Bad(text);
  return segments;
}

absl::StatusOr<ArrivalProcess> ParseArrivalProcess(std::string_view text) {
  if (text == "poisson") return ArrivalProcess::kPoisson;
  if (text == "fixed") return ArrivalProcess::kFixed;
  return absl::InvalidArgumentError(
      absl::StrCat("arrivals are \"poisson\" or \"fixed\", not \"",
                   std::string(text), "\""));
}

std::vector<Arrival> PlanArrivals(const std::vector<Segment>& segments,
                                  ArrivalProcess process, Random& random) {
  std::vector<Arrival> arrivals;
  double begin = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    std::exponential_distribution<double> gap(segment.rate);
    double at = process == ArrivalProcess::kPoisson ? gap(random) : 0;
    for (std::size_t number = 1; at < segment.seconds; ++number) {
      arrivals.push_back(
          {static_cast<std::int64_t>((begin + at) * kNanosPerSecond), i});
      // Not a sum for equal distances: errors would add up to calls.
      at = process == ArrivalProcess::kPoisson
               ? at + gap(random)
               : static_cast<double>(number) / segment.rate;
    }
    begin += segment.seconds;
  }
  return arrivals;
}

}  // namespace tensord::load
