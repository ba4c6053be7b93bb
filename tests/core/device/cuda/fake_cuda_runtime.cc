#include "tests/core/device/cuda/fake_cuda_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <new>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/dtype.h"
#include "core/mutex.h"
#include "tests/core/device/cuda/host_kernels.h"
#include "tests/core/gate.h"

namespace tensord::testing {
namespace {

constexpr std::size_t kAlignment = 256;
// What is in memory that nobody wrote, and that nobody may read any more; as
// far as it is worth the time.
constexpr int kFresh = 0xa5;
constexpr int kFreed = 0xdd;
constexpr std::size_t kMaxFilledBytes = std::size_t{64} << 10;
constexpr int kHost = -1;

std::byte* NewMemory(std::size_t size_bytes) {
  return static_cast<std::byte*>(
      ::operator new (size_bytes, std::align_val_t{kAlignment}, std::nothrow));
}

void DeleteMemory(std::byte* memory) {
  ::operator delete (memory, std::align_val_t{kAlignment});
}

// Memory of devices and page-locked memory, by address. Thread-safe.
class Memory {
 public:
  explicit Memory(FakeCudaMachine::Options options) : options_(options) {}
  ~Memory() {
    for (auto& [address, block] : blocks_) DeleteMemory(address);
  }

  // Null if there is no more. `place` is a device or kHost.
  std::byte* Reserve(int place, std::size_t size_bytes, bool from_pool) {
    MutexLock lock(mutex_);
    const std::size_t limit = place == kHost ? options_.pinned_memory_bytes
                                             : options_.device_memory_bytes;
    std::size_t& used = used_[place];
    if (size_bytes > limit - used) return nullptr;
    std::byte* const memory = NewMemory(size_bytes);
    if (memory == nullptr) return nullptr;
    used += size_bytes;
    if (from_pool) {
      std::size_t& pooled = pool_used_[place];
      pooled += size_bytes;
      pool_reserved_[place] = std::max(pool_reserved_[place], pooled);
    }
    blocks_[memory] = {.place = place,
                       .size_bytes = size_bytes,
                       .from_pool = from_pool,
                       .exists = false,
                       .users = 0};
    return memory;
  }

  void Begin(std::byte* address) {
    MutexLock lock(mutex_);
    Block& block = blocks_.at(address);
    std::memset(address, kFresh, std::min(block.size_bytes, kMaxFilledBytes));
    block.exists = true;
  }

  // False if there is no such block, or work is at it that is not waited for.
  bool End(std::byte* address, int place, bool waits) {
    MutexLock lock(mutex_);
    const auto it = blocks_.find(address);
    if (it == blocks_.end() || it->second.place != place) return false;
    while (waits && it->second.users > 0) unused_.Wait(mutex_);
    const bool is_unused = it->second.users == 0 && it->second.exists;
    used_[place] -= it->second.size_bytes;
    if (it->second.from_pool) pool_used_[place] -= it->second.size_bytes;
    if (is_unused) {
      std::memset(address, kFreed,
                  std::min(it->second.size_bytes, kMaxFilledBytes));
      DeleteMemory(address);
    }
    blocks_.erase(it);
    return is_unused;
  }

  // Marks [address, address + size_bytes) of one block as touched by work;
  // false if it can not be.
  bool Use(const std::byte* address, std::size_t size_bytes, int place) {
    MutexLock lock(mutex_);
    Block* const block = Find(address, size_bytes);
    if (block == nullptr || block->place != place || !block->exists) {
      return false;
    }
    ++block->users;
    return true;
  }
  void Unuse(const std::byte* address) {
    MutexLock lock(mutex_);
    if (Block* const block = Find(address, 0)) --block->users;
    unused_.NotifyAll();
  }

  std::size_t count() const {
    MutexLock lock(mutex_);
    return blocks_.size();
  }
  std::size_t FreeBytes(int place) {
    MutexLock lock(mutex_);
    return options_.device_memory_bytes - used_[place];
  }
  void PoolBytes(int place, std::size_t* reserved, std::size_t* used) {
    MutexLock lock(mutex_);
    *reserved = pool_reserved_[place];
    *used = pool_used_[place];
  }
  void TrimPool(int place, std::size_t kept_bytes) {
    MutexLock lock(mutex_);
    std::size_t& reserved = pool_reserved_[place];
    reserved = std::min(reserved, std::max(kept_bytes, pool_used_[place]));
  }
  std::size_t device_memory_bytes() const {
    return options_.device_memory_bytes;
  }

 private:
  struct Block {
    int place;
    std::size_t size_bytes;
    bool from_pool;
    // In the order of streams.
    bool exists;
    int users;
  };

  Block* Find(const std::byte* address, std::size_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto it = blocks_.upper_bound(const_cast<std::byte*>(address));
    if (it == blocks_.begin()) return nullptr;
    --it;
    const auto offset = static_cast<std::size_t>(address - it->first);
    const bool inside = offset <= it->second.size_bytes &&
                        size_bytes <= it->second.size_bytes - offset;
    return inside ? &it->second : nullptr;
  }

  const FakeCudaMachine::Options options_;
  mutable Mutex mutex_;
  Condition unused_;
  std::map<std::byte*, Block> blocks_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::size_t> used_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::size_t> pool_used_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::size_t> pool_reserved_ ABSL_GUARDED_BY(mutex_);
};

// The place in a stream that an event was recorded at: opens when that is
// reached.
class Recording : public Gate {
 public:
  Recording() : Gate(/*is_open=*/false) {}
};

// Whoever waits does so for the last recording before. Thread-safe.
class FakeEvent {
 public:
  FakeEvent() { Record()->Open(); }

  std::shared_ptr<Recording> Record() {
    MutexLock lock(mutex_);
    last_ = std::make_shared<Recording>();
    return last_;
  }
  std::shared_ptr<Recording> last() const {
    MutexLock lock(mutex_);
    return last_;
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<Recording> last_ ABSL_GUARDED_BY(mutex_);
};

// A thread that does work in order, now and then after a pause: what is not
// ordered is not done in the order in which it was enqueued.
class FakeStream {
 public:
  FakeStream(Gate& machine_gate, unsigned seed)
      : machine_gate_(machine_gate),
        random_(seed),
        thread_([this] { Run(); }) {}
  ~FakeStream() {
    Enqueue(nullptr);
    thread_.join();
  }

  Gate& gate() { return gate_; }

  void Enqueue(std::function<void()> work) {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.NotifyOne();
  }

 private:
  void Run() {
    for (;;) {
      std::function<void()> work;
      {
        MutexLock lock(mutex_);
        while (queue_.empty()) changed_.Wait(mutex_);
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      if (work == nullptr) return;
      machine_gate_.Pass();
      gate_.Pass();
      const unsigned draw = random_() % 64;
      if (draw == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      } else if (draw < 24) {
        std::this_thread::yield();
      }
      work();
    }
  }

  Gate& machine_gate_;
  Gate gate_;
  std::mt19937 random_;
  Mutex mutex_;
  Condition changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

class Machine final : public FakeCudaMachine {
 public:
  explicit Machine(Options options) : memory_(options) {}
  ~Machine() override {
    EXPECT_EQ(live_objects(), 0U) << "on a device that is gone";
    EXPECT_THAT(mistakes_, ::testing::IsEmpty());
  }

  std::unique_ptr<CudaRuntime> NewDevice(int index) override;

  void FailAfter(int calls, Fault fault) override {
    MutexLock lock(mutex_);
    calls_left_ = calls;
    fault_ = fault;
    fired_ = false;
  }
  bool fired() const override {
    MutexLock lock(mutex_);
    return fired_;
  }
  void SpoilCasts(int index) override { spoilt_ = index; }
  bool spoils_casts(int index) const { return spoilt_ == index; }
  void Pause() override { gate_.Close(); }
  void Resume() override { gate_.Open(); }
  void Pause(CudaStream stream) override {
    reinterpret_cast<FakeStream*>(stream)->gate().Close();
  }
  void Resume(CudaStream stream) override {
    reinterpret_cast<FakeStream*>(stream)->gate().Open();
  }
  std::size_t live_objects() const override {
    return memory_.count() + handles_;
  }
  std::vector<std::string> TakeMistakes() override {
    MutexLock lock(mutex_);
    return std::exchange(mistakes_, {});
  }
  Traffic traffic() const override {
    MutexLock lock(mutex_);
    return traffic_;
  }

  // Whether the call that asks is the one to fail.
  bool TakeFault(Fault* fault) {
    MutexLock lock(mutex_);
    if (calls_left_ < 0 || calls_left_-- > 0) return false;
    fired_ = true;
    *fault = fault_;
    return true;
  }
  void NoteMistake(std::string mistake) {
    MutexLock lock(mutex_);
    mistakes_.push_back(std::move(mistake));
  }
  void CountTraffic(std::size_t Traffic::*direction, std::size_t size_bytes) {
    MutexLock lock(mutex_);
    traffic_.*direction += size_bytes;
  }

  Memory& memory() { return memory_; }
  Gate& gate() { return gate_; }
  std::atomic<std::size_t>& handles() { return handles_; }

 private:
  Memory memory_;
  Gate gate_;
  std::atomic<std::size_t> handles_ = 0;
  mutable Mutex mutex_;
  int calls_left_ ABSL_GUARDED_BY(mutex_) = -1;
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kOnce;
  bool fired_ ABSL_GUARDED_BY(mutex_) = false;
  // The index of a device, or none.
  std::atomic<int> spoilt_ = -1;
  std::vector<std::string> mistakes_ ABSL_GUARDED_BY(mutex_);
  Traffic traffic_ ABSL_GUARDED_BY(mutex_);
};

// Bytes that a piece of work touches, and where they have to be.
struct Touched {
  const std::byte* address;
  std::size_t size_bytes;
  int place;
};

class FakeRuntime final : public CudaRuntime {
 public:
  FakeRuntime(std::shared_ptr<Machine> machine, int index)
      : machine_(std::move(machine)), index_(index) {}

  int device_index() const override { return index_; }
  std::string device_name() const override { return "Stand-in"; }
  std::size_t memory_bytes() const override {
    return memory().device_memory_bytes();
  }

  std::string ErrorText(CudaError error) const override {
    switch (error) {
      case CudaError::kMemoryAllocation:
        return "out of memory (cudaErrorMemoryAllocation)";
      case CudaError::kIllegalAddress:
        return "an illegal memory access was encountered "
               "(cudaErrorIllegalAddress)";
      case CudaError::kLaunchFailure:
        return "unspecified launch failure (cudaErrorLaunchFailure)";
      default:
        return absl::StrCat("error ", static_cast<int>(error));
    }
  }
  CudaError Probe() override { return lasting_; }

  CudaError MallocAsync(std::size_t size_bytes, CudaStream stream,
                        std::byte** address) override {
    return Call(
        [&] {
          return Reserve(size_bytes, index_, /*from_pool=*/true, address);
        },
        [&] {
          Stream(stream).Enqueue([this, block = *address] {
            BreakIfPlanned();
            memory().Begin(block);
          });
        },
        CudaError::kMemoryAllocation);
  }
  CudaError FreeAsync(std::byte* address, CudaStream stream) override {
    return Release([&] {
      Stream(stream).Enqueue([this, address] { End(address, index_); });
    });
  }
  CudaError GetPoolBytes(std::size_t* reserved, std::size_t* used) override {
    return Call([&] { memory().PoolBytes(index_, reserved, used); });
  }
  CudaError TrimPool(std::size_t kept_bytes) override {
    return Call([&] { memory().TrimPool(index_, kept_bytes); });
  }
  CudaError GetFreeBytes(std::size_t* free_bytes) override {
    return Call([&] { *free_bytes = memory().FreeBytes(index_); });
  }
  CudaError Malloc(std::size_t size_bytes, std::byte** address) override {
    return Call([&] { return Reserve(size_bytes, index_, false, address); },
                [&] { memory().Begin(*address); },
                CudaError::kMemoryAllocation);
  }
  CudaError Free(std::byte* address) override {
    return Release([&] { End(address, index_); });
  }
  CudaError MallocHost(std::size_t size_bytes, std::byte** address) override {
    return Call([&] { return Reserve(size_bytes, kHost, false, address); },
                [&] { memory().Begin(*address); },
                CudaError::kMemoryAllocation);
  }
  CudaError FreeHost(std::byte* address) override {
    return Release([&] { End(address, kHost); });
  }

  CudaError CreateStream(CudaStream* stream) override {
    return Call([&] {
      *stream = reinterpret_cast<CudaStream>(
          new FakeStream(machine_->gate(), static_cast<unsigned>(++seed_)));
      ++machine_->handles();
    });
  }
  CudaError DestroyStream(CudaStream stream) override {
    return Release([&] {
      delete &Stream(stream);
      --machine_->handles();
    });
  }
  CudaError SynchronizeStream(CudaStream stream) override {
    return Call([&] {
      Recording end;
      Stream(stream).Enqueue([&] { end.Open(); });
      end.Pass();
    });
  }
  CudaError CreateEvent(CudaEvent* event) override {
    return Call([&] {
      *event = reinterpret_cast<CudaEvent>(new FakeEvent);
      ++machine_->handles();
    });
  }
  CudaError DestroyEvent(CudaEvent event) override {
    return Release([&] {
      delete &Event(event);
      --machine_->handles();
    });
  }
  CudaError RecordEvent(CudaEvent event, CudaStream stream) override {
    return Call([&] {
      Stream(stream).Enqueue(
          [recording = Event(event).Record()] { recording->Open(); });
    });
  }
  CudaError WaitEvent(CudaStream stream, CudaEvent event) override {
    return Call([&] {
      Stream(stream).Enqueue(
          [recording = Event(event).last()] { recording->Pass(); });
    });
  }
  CudaError SynchronizeEvent(CudaEvent event) override {
    const CudaError error = Call([&] { Event(event).last()->Pass(); });
    // What broke while it waited.
    return error == CudaError::kSuccess ? lasting_.load() : error;
  }

  CudaError CopyToDevice(std::byte* dst, const std::byte* src,
                         std::size_t size_bytes, CudaStream stream) override {
    return Enqueue("copy to a device", stream,
                   {{dst, size_bytes, index_}, {src, size_bytes, kHost}},
                   [=, this] {
                     std::memcpy(dst, src, size_bytes);
                     machine_->CountTraffic(
                         &FakeCudaMachine::Traffic::to_device, size_bytes);
                   });
  }
  CudaError CopyToHost(std::byte* dst, const std::byte* src,
                       std::size_t size_bytes, CudaStream stream) override {
    return Enqueue("copy to the host", stream,
                   {{dst, size_bytes, kHost}, {src, size_bytes, index_}},
                   [=, this] {
                     std::memcpy(dst, src, size_bytes);
                     machine_->CountTraffic(&FakeCudaMachine::Traffic::to_host,
                                            size_bytes);
                   });
  }
  CudaError CopyOnDevice(std::byte* dst, const std::byte* src,
                         std::size_t size_bytes, CudaStream stream) override {
    return Enqueue("copy within a device", stream,
                   {{dst, size_bytes, index_}, {src, size_bytes, index_}},
                   [=] { std::memcpy(dst, src, size_bytes); });
  }
  CudaError CopyFromPeer(std::byte* dst, const std::byte* src,
                         int src_device_index, std::size_t size_bytes,
                         CudaStream stream) override {
    return Enqueue(
        "copy between devices", stream,
        {{dst, size_bytes, index_}, {src, size_bytes, src_device_index}},
        [=, this] {
          std::memcpy(dst, src, size_bytes);
          machine_->CountTraffic(&FakeCudaMachine::Traffic::between_devices,
                                 size_bytes);
        });
  }
  CudaError Clear(std::byte* dst, std::size_t size_bytes,
                  CudaStream stream) override {
    return Enqueue("clearing of memory", stream, {{dst, size_bytes, index_}},
                   [=] { std::memset(dst, 0, size_bytes); });
  }
  CudaError LaunchCast(const CastLaunch& launch, CudaStream stream) override {
    std::vector<Touched> touched = {
        {launch.src, launch.count * ItemSize(launch.from), index_},
        {launch.dst, launch.count * ItemSize(launch.to), index_}};
    if (launch.failures != nullptr) {
      touched.push_back({reinterpret_cast<const std::byte*>(launch.failures),
                         sizeof(CastFailureRecord), index_});
    }
    return Enqueue("cast", stream, std::move(touched), [this, launch] {
      RunCast(launch);
      if (machine_->spoils_casts(index_)) launch.dst[0] ^= std::byte{1};
    });
  }
  CudaError LaunchGather(const GatherLaunch& launch,
                         CudaStream stream) override {
    // The way from the first element in memory to the last.
    std::int64_t first = 0;
    std::int64_t last = 0;
    for (std::uint32_t i = 0; i < launch.rank; ++i) {
      const std::int64_t way = (launch.shape[i] - 1) * launch.strides[i];
      (way < 0 ? first : last) += way;
    }
    const std::int64_t item_size = launch.item_size;
    return Enqueue(
        "gathering of elements", stream,
        {{launch.src + first * item_size,
          static_cast<std::size_t>((last - first + 1) * item_size), index_},
         {launch.dst, launch.count * launch.item_size, index_}},
        [launch] { RunGather(launch); });
  }

 private:
  static FakeStream& Stream(CudaStream stream) {
    return *reinterpret_cast<FakeStream*>(stream);
  }
  static FakeEvent& Event(CudaEvent event) {
    return *reinterpret_cast<FakeEvent*>(event);
  }
  Memory& memory() const { return machine_->memory(); }

  bool Reserve(std::size_t size_bytes, int place, bool from_pool,
               std::byte** address) {
    std::byte* const block = memory().Reserve(place, size_bytes, from_pool);
    if (block != nullptr) *address = block;
    return block != nullptr;
  }

  void End(std::byte* address, int place) {
    // A broken device stops in the middle of its work.
    const bool waits = lasting_ != CudaError::kSuccess;
    if (!memory().End(address, place, waits)) {
      Blame("memory is freed that is in use, or not there");
    }
  }

  // Makes a call that can fail: `attempt` returns whether it does what it has
  // to, and `then` follows.
  template <class Attempt, class Then>
  CudaError Call(Attempt attempt, Then then, CudaError failure) {
    if (lasting_ != CudaError::kSuccess) return lasting_;
    FakeCudaMachine::Fault fault;
    if (machine_->TakeFault(&fault)) {
      switch (fault) {
        case FakeCudaMachine::Fault::kOnce:
          return failure;
        case FakeCudaMachine::Fault::kLasting:
          lasting_ = CudaError::kLaunchFailure;
          return lasting_;
        case FakeCudaMachine::Fault::kInStream:
          breaks_ = true;
          break;
      }
    }
    if (!attempt()) return failure;
    then();
    return CudaError::kSuccess;
  }
  template <class Attempt>
  CudaError Call(Attempt attempt) {
    return Call(
        [&] {
          attempt();
          return true;
        },
        [] {}, CudaError::kInvalidValue);
  }

  // What gives something back does so whatever it returns: its errors are those
  // of earlier work.
  template <class Action>
  CudaError Release(Action action) {
    const CudaError error = Call([] {});
    action();
    return error;
  }

  CudaError Enqueue(const char* what, CudaStream stream,
                    std::vector<Touched> touched, std::function<void()> work) {
    return Call([&] {
      Stream(stream).Enqueue(
          [this, what, touched = std::move(touched), work = std::move(work)] {
            BreakIfPlanned();
            // A broken device does nothing.
            if (lasting_ == CudaError::kSuccess) Do(what, touched, work);
          });
    });
  }

  void Do(const char* what, const std::vector<Touched>& touched,
          const std::function<void()>& work) {
    std::size_t used = 0;
    while (used < touched.size() &&
           (touched[used].size_bytes == 0 ||
            memory().Use(touched[used].address, touched[used].size_bytes,
                         touched[used].place))) {
      ++used;
    }
    if (used == touched.size()) {
      work();
    } else {
      Blame(absl::StrCat("a ", what, " on cuda:", index_,
                         " touches memory that is not there: operand ", used));
    }
    for (std::size_t i = 0; i < used; ++i) {
      if (touched[i].size_bytes > 0) memory().Unuse(touched[i].address);
    }
  }

  void BreakIfPlanned() {
    if (breaks_.exchange(false)) lasting_ = CudaError::kIllegalAddress;
  }
  // What a broken device does is not judged.
  void Blame(std::string mistake) {
    if (lasting_ != CudaError::kSuccess) return;
    machine_->NoteMistake(std::move(mistake));
    lasting_ = CudaError::kIllegalAddress;
  }

  const std::shared_ptr<Machine> machine_;
  const int index_;
  std::atomic<int> seed_ = 0;
  std::atomic<CudaError> lasting_ = CudaError::kSuccess;
  // Whether the next work breaks the device.
  std::atomic<bool> breaks_ = false;
};

std::unique_ptr<CudaRuntime> Machine::NewDevice(int index) {
  return std::make_unique<FakeRuntime>(
      std::static_pointer_cast<Machine>(shared_from_this()), index);
}

}  // namespace

std::shared_ptr<FakeCudaMachine> FakeCudaMachine::Make(Options options) {
  return std::make_shared<Machine>(options);
}

}  // namespace tensord::testing
