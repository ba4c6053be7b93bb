// Collects what is wrong with a request, to refuse it with all of it at once.
#ifndef TENSORD_SERVER_WIRE_VIOLATIONS_H_
#define TENSORD_SERVER_WIRE_VIOLATIONS_H_

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/error.h"

namespace tensord {

// `status` with one violation, of `field`, in place of those it has. OK stays
// OK.
absl::Status AtField(absl::Status status, std::string_view field);

// The same for INVALID_ARGUMENT, and for others that name a field already; the
// rest stay as they are.
absl::Status ArgumentAtField(absl::Status status, std::string_view field);

// Where a field is in a request: `name` in the message at `parent`, or in the
// request itself if that is empty. Refers to both, and puts them together only
// when it is asked to.
struct FieldPath {
  template <std::convertible_to<std::string_view> Name>
  // NOLINTNEXTLINE(google-explicit-constructor): a name alone is a path.
  FieldPath(const Name& field) : name(field) {}
  FieldPath(std::string_view message, std::string_view field)
      : parent(message), name(field) {}

  std::string text() const;

  std::string_view parent;
  std::string_view name;
};

// The violations of one request. Not thread-safe.
class Violations {
 public:
  // Keeps what `status` says, if it is not OK, of `field`.
  void Check(absl::Status status, const FieldPath& field);

  // Takes over what `other` has.
  void Add(const Violations& other);

  // The value of `result`; a default one, after Check, if there is none.
  template <class T>
  T Take(absl::StatusOr<T> result, const FieldPath& field) {
    Check(result.status(), field);
    return result.ok() ? *std::move(result) : T{};
  }

  bool empty() const { return status_.ok(); }

  // OK if nothing was wrong; else the first refusal, with the violations of
  // all.
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_VIOLATIONS_H_
