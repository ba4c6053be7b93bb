#include "server/rpc/list_tensors.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/store/tensor_store.h"
#include "server/rpc/tensor_filter.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// Tensors that the store goes through while others wait for it.
constexpr std::size_t kStretch = 1000;

using Place = TensorOrder::Place;

absl::StatusOr<std::size_t> ParsePageSize(int page_size) {
  if (page_size < 0) {
    return InvalidArgument(reason::kPageSizeInvalid,
                           absl::StrCat("the page size is ", page_size,
                                        "; it can not be negative"));
  }
  if (page_size == 0) return kDefaultPageSize;
  return static_cast<std::size_t>(std::min(page_size, kMaxPageSize));
}

std::string PlaceText(const Place& place) {
  std::string text(sizeof place.key, '\0');
  std::memcpy(text.data(), &place.key, sizeof place.key);
  return text + place.id;
}

// REQUIRES: `text` is one of PlaceText.
Place ReadPlace(std::string_view text) {
  Place place;
  std::memcpy(&place.key, text.data(), sizeof place.key);
  place.id = text.substr(sizeof place.key);
  return place;
}

// What is listed, and from where on.
struct Query {
  TensorFilter filter;
  TensorOrder order;
  // Behind this; from the start if nothing.
  std::optional<Place> after;
};

struct Found {
  Place place;
  std::shared_ptr<const StoredTensor> stored;
};

// The first tensors behind a place. Not thread-safe.
class Page {
  auto Before() const {
    return [this](const Found& a, const Found& b) {
      return query_.order.Before(a.place, b.place);
    };
  }

 public:
  Page(const Query& query, std::size_t max_tensors)
      : query_(query), max_tensors_(max_tensors) {}

  // Whether tensors that come later in the order of names can change nothing.
  bool is_complete() const {
    return query_.order.is_by_name() && found_.size() == max_tensors_;
  }

  void Add(std::shared_ptr<const StoredTensor> stored) {
    Found found{query_.order.PlaceOf(*stored), std::move(stored)};
    if (query_.after.has_value() &&
        !query_.order.Before(*query_.after, found.place)) {
      return;
    }
    const auto before = Before();
    if (found_.size() == max_tensors_) {
      if (!before(found, found_.front())) return;
      std::pop_heap(found_.begin(), found_.end(), before);
      found_.pop_back();
    }
    found_.push_back(std::move(found));
    std::push_heap(found_.begin(), found_.end(), before);
  }

  std::vector<Found> Take() && {
    std::sort_heap(found_.begin(), found_.end(), Before());
    return std::move(found_);
  }

 private:
  const Query& query_;
  const std::size_t max_tensors_;
  // A heap whose front is the last.
  std::vector<Found> found_;
};

// Up to `max_tensors` that match, in order.
std::vector<Found> Find(const TensorStore& store, const Query& query,
                        std::size_t max_tensors) {
  const std::string& prefix = query.filter.id_prefix();
  std::optional<std::string> next = prefix;
  if (query.order.is_by_name() && query.after.has_value()) {
    // The id right behind that one.
    next = std::max(prefix, query.after->id + '\0');
  }
  const bool takes_all = query.filter.matches_all() && query.order.is_by_name();
  const std::size_t stretch =
      takes_all ? std::min(max_tensors, kStretch) : kStretch;
  Page page(query, max_tensors);
  // Kept until the store is not locked: they may be the last to hold a tensor.
  std::vector<std::shared_ptr<const StoredTensor>> matches;
  while (next.has_value() && !page.is_complete()) {
    bool is_past = false;
    next = store.Walk(*next, stretch, [&](const auto& stored) {
      is_past = !stored->id.starts_with(prefix);
      if (!is_past && query.filter.Matches(*stored)) matches.push_back(stored);
      return !is_past;
    });
    for (auto& stored : matches) page.Add(std::move(stored));
    matches.clear();
    if (is_past) break;
  }
  return std::move(page).Take();
}

}  // namespace

bool TakesLong(const v1::ListTensorsRequest& request) {
  return !request.filter().empty() || !request.order_by().empty();
}

absl::Status ListTensors(const Tenant& tenant, const PageTokens& tokens,
                         const v1::ListTensorsRequest& request,
                         v1::ListTensorsResponse& response) {
  Violations violations;
  const std::size_t page_size =
      violations.Take(ParsePageSize(request.page_size()), "page_size");
  Query query;
  query.filter =
      violations.Take(TensorFilter::Parse(request.filter()), "filter");
  query.order =
      violations.Take(TensorOrder::Parse(request.order_by()), "order_by");
  const std::string bound_to =
      absl::StrCat(query.order.text(), request.filter().size(), ":",
                   request.filter(), tenant.name());
  if (!request.page_token().empty()) {
    const auto text = tokens.Read(request.page_token(), bound_to);
    violations.Check(text.status(), "page_token");
    if (text.ok()) query.after = ReadPlace(*text);
  }
  if (!violations.empty()) return violations.status();
  // One more tells whether there is another page.
  std::vector<Found> found =
      Find(*tenant.context().store, query, page_size + 1);
  if (found.size() > page_size) {
    found.pop_back();
    response.set_next_page_token(
        tokens.Make(PlaceText(found.back().place), bound_to));
  }
  for (const Found& tensor : found) {
    WriteTensor(*tensor.stored, std::nullopt, *response.add_tensors());
  }
  return absl::OkStatus();
}

}  // namespace tensord
