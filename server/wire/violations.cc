#include "server/wire/violations.h"

namespace tensord {

absl::Status AtField(absl::Status status, std::string_view field) {
  if (status.ok()) return status;
  ErrorDetails details = GetErrorDetails(status);
  details.violations = {{std::string(field), std::string(status.message())}};
  SetErrorDetails(status, details);
  return status;
}

absl::Status ArgumentAtField(absl::Status status, std::string_view field) {
  const bool at_fault = status.code() == absl::StatusCode::kInvalidArgument ||
                        !GetErrorDetails(status).violations.empty();
  return at_fault ? AtField(std::move(status), field) : status;
}

std::string FieldPath::text() const {
  std::string path(parent);
  if (!path.empty()) path += '.';
  return path.append(name);
}

void Violations::Check(absl::Status status, const FieldPath& field) {
  if (status.ok()) return;
  Violations found;
  found.status_ = AtField(std::move(status), field.text());
  Add(found);
}

void Violations::Add(const Violations& other) {
  // Far more than a response has room for.
  constexpr std::size_t kMaxViolations = 100;
  if (other.empty()) return;
  if (empty()) {
    status_ = other.status_;
    return;
  }
  ErrorDetails all = GetErrorDetails(status_);
  for (FieldViolation& violation : GetErrorDetails(other.status_).violations) {
    if (all.violations.size() == kMaxViolations) break;
    all.violations.push_back(std::move(violation));
  }
  SetErrorDetails(status_, all);
}

}  // namespace tensord
