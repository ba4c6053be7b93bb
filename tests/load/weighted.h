// Choices at random, some more often than others.
#ifndef TENSORD_TESTS_LOAD_WEIGHTED_H_
#define TENSORD_TESTS_LOAD_WEIGHTED_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "tests/load/arrivals.h"

namespace tensord::load {

template <class T>
class Weighted {
 public:
  struct Choice {
    T value;
    double weight;
  };

  // REQUIRES: there is a choice, and weights are above 0.
  explicit Weighted(std::vector<Choice> choices)
      : choices_(std::move(choices)) {
    std::vector<double> weights;
    for (const Choice& choice : choices_) weights.push_back(choice.weight);
    index_ =
        std::discrete_distribution<std::size_t>(weights.begin(), weights.end());
  }

  const std::vector<Choice>& choices() const { return choices_; }

  const T& Pick(Random& random) { return choices_[index_(random)].value; }

 private:
  std::vector<Choice> choices_;
  std::discrete_distribution<std::size_t> index_;
};

// "read=60,create=40", or names alone where all are as likely.
// INVALID_ARGUMENT without a name, and for weights that are not above 0.
absl::StatusOr<std::vector<Weighted<std::string>::Choice>> ParseWeights(
    std::string_view text);

// As ParseWeights, of sizes in bytes: a number, with KiB or MiB behind it;
// above 0 and at most 1 GiB.
absl::StatusOr<Weighted<std::int64_t>> ParseSizes(std::string_view text);

// As ParseWeights, of names of dtypes.
absl::StatusOr<Weighted<DType>> ParseDTypes(std::string_view text);

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_WEIGHTED_H_
