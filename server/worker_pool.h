// The threads that share large casts.
#ifndef TENSORD_SERVER_WORKER_POOL_H_
#define TENSORD_SERVER_WORKER_POOL_H_

#include <cstddef>
#include <functional>
#include <memory>

namespace tensord {

// A bounded number of threads beside the callers'. Thread-safe.
class WorkerPool {
 public:
  explicit WorkerPool(std::size_t threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // A ParallelFor. The caller works too, and waits for no thread that has not
  // begun: a pool that is busy, or calls from bodies, delay nothing.
  void Run(std::size_t count, const std::function<void(std::size_t)>& body);

 private:
  class Threads;

  std::size_t thread_count_;
  std::unique_ptr<Threads> threads_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_WORKER_POOL_H_
