#include "client/cpp/src/parts.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "core/error.h"
#include "core/mutex.h"

namespace tensord::client {
namespace {

// No element is larger, and all sizes of elements divide it.
constexpr std::int64_t kLargestElement = 16;

// Keeps the first error.
class Outcome {
 public:
  explicit Outcome(CallGroup& group) : group_(group) {}

  void Add(absl::Status status) {
    if (status.ok()) return;
    {
      MutexLock lock(mutex_);
      if (!status_.ok()) return;
      status_ = std::move(status);
    }
    group_.Cancel();
  }

  absl::Status status() const {
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  CallGroup& group_;
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

absl::Status WithoutExceptions(
    absl::FunctionRef<absl::Status(std::size_t)> work, std::size_t i) noexcept {
  try {
    return work(i);
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kMemoryExhausted, "out of memory");
  } catch (...) {
    return MakeError(absl::StatusCode::kInternal, reason::kInternal,
                     "a part of a transfer failed");
  }
}

}  // namespace

std::vector<ByteRange> CutIntoParts(std::int64_t total_bytes,
                                    std::int64_t chunk_bytes, int max_parts) {
  const std::int64_t parts =
      std::clamp(total_bytes / kMinPartBytes, std::int64_t{1},
                 std::int64_t{std::max(max_parts, 1)});
  const std::int64_t unit =
      std::max(chunk_bytes / kLargestElement, std::int64_t{1}) *
      kLargestElement;
  const std::int64_t units = total_bytes / unit;
  std::vector<ByteRange> ranges;
  std::int64_t begin = 0;
  for (std::int64_t i = 1; i < parts; ++i) {
    const std::int64_t end = units * i / parts * unit;
    if (end > begin) ranges.push_back({begin, end});
    begin = end;
  }
  ranges.push_back({begin, total_bytes});
  return ranges;
}

absl::Status RunParts(std::size_t count, CallGroup& group,
                      absl::FunctionRef<absl::Status(std::size_t)> work) {
  Outcome outcome(group);
  const auto run = [&](std::size_t i) {
    outcome.Add(WithoutExceptions(work, i));
  };
  std::vector<std::jthread> threads;
  threads.reserve(count);
  std::size_t started = 1;
  try {
    for (; started < count; ++started) {
      threads.emplace_back([&run, started] { run(started); });
    }
  } catch (const std::system_error&) {
    // The system has no more threads: the rest follows here.
  }
  if (count > 0) run(0);
  for (; started < count; ++started) run(started);
  threads.clear();
  return outcome.status();
}

}  // namespace tensord::client
