#include "tests/load/percentiles.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace tensord::load {

Percentiles::Percentiles(std::vector<std::int64_t> samples)
    : sorted_(std::move(samples)) {
  std::sort(sorted_.begin(), sorted_.end());
}

std::int64_t Percentiles::At(double percent) const {
  if (sorted_.empty()) return 0;
  const auto count = static_cast<double>(sorted_.size());
  // Without the margin 99.9 % of 1000, which is 999.0000000000001 in doubles,
  // would be the thousandth.
  const double rank = std::ceil(percent / 100 * count - 1e-6);
  return sorted_[static_cast<std::size_t>(std::clamp(rank, 1.0, count)) - 1];
}

double Percentiles::Mean() const {
  if (sorted_.empty()) return 0;
  return std::accumulate(sorted_.begin(), sorted_.end(), 0.0) /
         static_cast<double>(sorted_.size());
}

}  // namespace tensord::load
