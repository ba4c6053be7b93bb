#include "server/worker_pool.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <cstddef>
#include <functional>
#include <latch>
#include <memory>

namespace tensord {
namespace {

class Job {
 public:
  Job(std::size_t count, const std::function<void(std::size_t)>& body)
      : count_(count), body_(body), left_(static_cast<std::ptrdiff_t>(count)) {}

  // Calls the body as long as there are indices that nobody has taken.
  void Work() {
    for (std::size_t i = next_++; i < count_; i = next_++) {
      body_(i);
      left_.count_down();
    }
  }

  void Wait() const { left_.wait(); }

 private:
  std::size_t count_;
  // Of the caller, who stays as long as an index is left.
  const std::function<void(std::size_t)>& body_;
  std::atomic<std::size_t> next_ = 0;
  std::latch left_;
};

}  // namespace

class WorkerPool::Threads {
 public:
  explicit Threads(std::size_t count) : pool_(count) {}

  template <class Task>
  void Post(const Task& task) {
    asio::post(pool_, task);
  }

 private:
  asio::thread_pool pool_;
};

WorkerPool::WorkerPool(std::size_t threads)
    : thread_count_(threads), threads_(std::make_unique<Threads>(threads)) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::Run(std::size_t count,
                     const std::function<void(std::size_t)>& body) {
  if (count == 0) return;
  // Outlives this call in threads that come too late.
  const auto job = std::make_shared<Job>(count, body);
  for (std::size_t i = 0; i < std::min(count - 1, thread_count_); ++i) {
    threads_->Post([job] { job->Work(); });
  }
  job->Work();
  job->Wait();
}

}  // namespace tensord
