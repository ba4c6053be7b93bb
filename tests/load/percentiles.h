// Exact percentiles.
#ifndef TENSORD_TESTS_LOAD_PERCENTILES_H_
#define TENSORD_TESTS_LOAD_PERCENTILES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tensord::load {

// Of all samples, which are kept: nothing is rounded into buckets.
class Percentiles {
 public:
  // In any order.
  explicit Percentiles(std::vector<std::int64_t> samples);

  std::size_t count() const { return sorted_.size(); }

  // The smallest sample that at least `percent` of all, 0 to 100, do not
  // exceed (nearest rank): always a sample, never a mean of two. 0 if there are
  // no samples.
  std::int64_t At(double percent) const;

  // 0 if there are no samples.
  double Mean() const;
  std::int64_t Max() const { return At(100); }

 private:
  std::vector<std::int64_t> sorted_;
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_PERCENTILES_H_
