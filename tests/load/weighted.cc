#include "tests/load/weighted.h"

#include <cmath>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tensord::load {
namespace {

constexpr std::int64_t kMaxSizeBytes = std::int64_t{1} << 30;

absl::Status Bad(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\": ", std::string(what)));
}

std::optional<std::int64_t> SizeFromText(absl::string_view text) {
  int shift = 0;
  if (absl::ConsumeSuffix(&text, "KiB")) shift = 10;
  if (absl::ConsumeSuffix(&text, "MiB")) shift = 20;
  std::int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number <= 0 ||
      number > kMaxSizeBytes >> shift) {
    return std::nullopt;
  }
  return number << shift;
}

// Choices of T, of which `value` makes one from its name.
template <class T, class Value>
absl::StatusOr<Weighted<T>> Parse(std::string_view text, std::string_view what,
                                  const Value& value) {
  const auto named = ParseWeights(text);
  if (!named.ok()) return named.status();
  std::vector<typename Weighted<T>::Choice> choices;
  for (const auto& [name, weight] : *named) {
    const std::optional<T> found = value(name);
    if (!found.has_value()) return Bad(name, what);
    choices.push_back({*found, weight});
  }
  return Weighted<T>(std::move(choices));
}

}  // namespace

absl::StatusOr<std::vector<Weighted<std::string>::Choice>> ParseWeights(
    std::string_view text) {
  std::vector<Weighted<std::string>::Choice> choices;
  for (const absl::string_view part : absl::StrSplit(std::string(text), ',')) {
    const std::pair<std::string, std::string> named =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    double weight = 1;
    const bool is_weighted = part.find('=') != part.npos;
    if (is_weighted && !absl::SimpleAtod(named.second, &weight)) weight = 0;
    if (named.first.empty() || !(weight > 0) || std::isinf(weight)) {
      return Bad(text,
                 "expected NAME=WEIGHT, separated by commas, with "
                 "weights above 0");
    }
    choices.push_back({named.first, weight});
  }
  return choices;
}

absl::StatusOr<Weighted<std::int64_t>> ParseSizes(std::string_view text) {
  return Parse<std::int64_t>(
      text, "expected bytes, above 0 and at most 1 GiB, as in 64KiB or 4MiB",
      [](const std::string& name) { return SizeFromText(name); });
}

absl::StatusOr<Weighted<DType>> ParseDTypes(std::string_view text) {
  return Parse<DType>(text, "no such dtype", [](const std::string& name) {
    return DTypeFromName(name);
  });
}

}  // namespace tensord::load
