// A limit on the number of tensors.
#ifndef TENSORD_CORE_STORE_TENSOR_LIMIT_H_
#define TENSORD_CORE_STORE_TENSOR_LIMIT_H_

#include <atomic>
#include <cstdint>

namespace tensord {

// Counts the tensors of several stores against one limit. Thread-safe; never
// above the limit, not even for a moment.
class TensorLimit {
 public:
  explicit TensorLimit(std::int64_t max_tensors) : max_tensors_(max_tensors) {}
  TensorLimit(const TensorLimit&) = delete;
  TensorLimit& operator=(const TensorLimit&) = delete;

  // Takes the place of one; false if there is none left.
  bool Take() {
    std::int64_t count = tensors_.load(std::memory_order_relaxed);
    do {
      if (count >= max_tensors_) return false;
    } while (!tensors_.compare_exchange_weak(count, count + 1,
                                             std::memory_order_relaxed));
    return true;
  }

  // REQUIRES: as many were taken.
  void GiveBack(std::int64_t count) {
    tensors_.fetch_sub(count, std::memory_order_relaxed);
  }

  std::int64_t max_tensors() const { return max_tensors_; }
  std::int64_t tensors() const {
    return tensors_.load(std::memory_order_relaxed);
  }

 private:
  const std::int64_t max_tensors_;
  std::atomic<std::int64_t> tensors_{0};
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_TENSOR_LIMIT_H_
