// What a run of a load comes to.
#ifndef TENSORD_TESTS_LOAD_SUMMARY_H_
#define TENSORD_TESTS_LOAD_SUMMARY_H_

#include <ostream>

#include "tests/load/json.h"
#include "tests/load/load_run.h"
#include "tests/load/saturation.h"

namespace tensord::load {

// Totals, and `segments` with rates, outcomes, exact percentiles,
// lags, noise, and what both processes took. A segment has `void` with reasons
// if the generator did not keep up. tests/load/README.md has the fields.
Json Summarize(const LoadOptions& options, const LoadResult& result,
               const SaturationLimits& limits);

// CSV, with a line for every call.
void WriteSamples(const LoadResult& result, std::ostream& out);

// CSV, with a line for every reading of the series.
void WriteSeries(const LoadResult& result, std::ostream& out);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_SUMMARY_H_
