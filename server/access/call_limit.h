// A limit on calls at a time.
#ifndef TENSORD_SERVER_ACCESS_CALL_LIMIT_H_
#define TENSORD_SERVER_ACCESS_CALL_LIMIT_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace tensord {

// Thread-safe.
class CallLimit {
 public:
  // A place among the calls, given back when destroyed. The limit has to
  // outlive it.
  class Slot {
   public:
    Slot(Slot&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~Slot() {
      if (of_ != nullptr) of_->calls_.fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class CallLimit;
    explicit Slot(CallLimit* of) : of_(of) {}
    CallLimit* of_;
  };

  explicit CallLimit(std::int64_t max_calls) : max_calls_(max_calls) {}
  CallLimit(const CallLimit&) = delete;
  CallLimit& operator=(const CallLimit&) = delete;

  // Nothing if there are as many calls as there may be.
  std::optional<Slot> Enter() {
    if (calls_.fetch_add(1, std::memory_order_relaxed) < max_calls_) {
      return Slot(this);
    }
    calls_.fetch_sub(1, std::memory_order_relaxed);
    return std::nullopt;
  }

  std::int64_t max_calls() const { return max_calls_; }
  std::int64_t calls() const { return calls_.load(std::memory_order_relaxed); }

 private:
  const std::int64_t max_calls_;
  std::atomic<std::int64_t> calls_{0};
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_CALL_LIMIT_H_
