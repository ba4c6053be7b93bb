#include "core/store/quota.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {

struct Quota::State {
  explicit State(std::int64_t limit) : limit_bytes(limit) {}

  // Takes `size_bytes` if they fit; otherwise leaves in `used` what did not
  // leave room for them.
  bool Take(std::int64_t size_bytes, std::int64_t& used) {
    used = used_bytes.load(std::memory_order_relaxed);
    do {
      // 0 <= used <= limit, so this can not overflow.
      if (size_bytes > limit_bytes - used) return false;
    } while (!used_bytes.compare_exchange_weak(used, used + size_bytes,
                                               std::memory_order_relaxed));
    return true;
  }

  const std::int64_t limit_bytes;
  std::atomic<std::int64_t> used_bytes{0};
};

namespace {

absl::Status LimitReached(std::int64_t limit, std::int64_t used,
                          std::int64_t requested) {
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kMemoryExhausted,
      absl::StrCat("memory limit reached: ", requested, " bytes asked for, ",
                   used, " of ", limit, " bytes in use"));
  AddErrorMetadata(status, "limitBytes", absl::StrCat(limit));
  AddErrorMetadata(status, "usedBytes", absl::StrCat(used));
  AddErrorMetadata(status, "requestedBytes", absl::StrCat(requested));
  return status;
}

}  // namespace

Quota::Quota(std::int64_t limit_bytes)
    : state_(std::make_shared<State>(std::max(limit_bytes, std::int64_t{0}))) {}

absl::StatusOr<std::shared_ptr<void>> Quota::Reserve(std::int64_t size_bytes) {
  std::int64_t used = 0;
  if (!state_->Take(size_bytes, used)) {
    return LimitReached(state_->limit_bytes, used, size_bytes);
  }
  try {
    return std::shared_ptr<void>(
        state_.get(), [state = state_, size_bytes](void*) {
          state->used_bytes.fetch_sub(size_bytes, std::memory_order_relaxed);
        });
  } catch (const std::bad_alloc&) {
    // The constructor has run the deleter.
    return LimitReached(state_->limit_bytes, used, size_bytes);
  }
}

std::int64_t Quota::limit_bytes() const { return state_->limit_bytes; }

std::int64_t Quota::used_bytes() const {
  return state_->used_bytes.load(std::memory_order_relaxed);
}

}  // namespace tensord
