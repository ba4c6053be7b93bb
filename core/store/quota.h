// A limit on bytes, with reservations that give back what they took.
#ifndef TENSORD_CORE_STORE_QUOTA_H_
#define TENSORD_CORE_STORE_QUOTA_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace tensord {

// Counts bytes against a limit. Thread-safe. Reservations may outlive the
// quota.
class Quota {
 public:
  explicit Quota(std::int64_t limit_bytes);

  // Takes `size_bytes` until the last copy of the result goes.
  // RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED), with the limit, what is in use and
  // what was asked for. REQUIRES: size_bytes >= 0.
  absl::StatusOr<std::shared_ptr<void>> Reserve(std::int64_t size_bytes);

  std::int64_t limit_bytes() const;
  std::int64_t used_bytes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_QUOTA_H_
