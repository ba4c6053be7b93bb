// tensord's C++ client, as the benchmark of transfers drives it.
//
// Arrays of BYTES: connect ADDRESS BYTES CONNECTIONS, or connect_checked for
//   the same with checksums; fill DTYPE; verify;
//   upload DTYPE STORED_AS; keep SLOT DTYPE STORED_AS; download SLOT DTYPE;
//   drop SLOT
// Many tensors, COUNT of them, numbered FIRST, FIRST + STEP and so on:
//   create FIRST STEP COUNT THREADS BYTES; open FIRST STEP COUNT;
//   read COUNT THREADS BYTES; get and delete FIRST STEP COUNT THREADS
// Many arrays, COUNT of them, WAY being `batch` or `single`:
//   batch_create WAY COUNT BYTES, then of the same: batch_transform WAY;
//   batch_read WAY; batch_delete WAY
// Many clients, as they are by default: crowd CLIENTS ARRAYS BYTES
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cast/cast.h"
#include "core/dtype.h"
#include "tensord/client.h"
#include "tests/bench/support.h"

namespace tensord::bench {
namespace {

template <class T>
T Value(absl::StatusOr<T> result) {
  Check(result.ok(), result.status().ToString());
  return *std::move(result);
}

void Done(const absl::Status& status) { Check(status.ok(), status.ToString()); }

DType Dtype(const Arguments& arguments, std::size_t index) {
  const auto dtype = DTypeFromName(arguments.Word(index));
  Check(dtype.has_value(), arguments.Word(index) + " is no dtype");
  return *dtype;
}

ArrayView View(const void* data, DType dtype, std::size_t size_bytes) {
  return {.data = data,
          .dtype = dtype,
          .shape = {static_cast<std::int64_t>(size_bytes / ItemSize(dtype))}};
}

// Neighbours in number are far apart in the order of names.
std::string Name(std::int64_t number) {
  const std::uint64_t scattered =
      static_cast<std::uint64_t>(number) * 0x9E3779B97F4A7C15u;
  return absl::StrCat("bench/", absl::Hex(scattered, absl::kZeroPad16));
}

// Numbers of tensors, as three arguments of a command say.
struct Range {
  explicit Range(const Arguments& arguments)
      : first(arguments.Number(0)),
        step(arguments.Number(1)),
        count(static_cast<int>(arguments.Number(2))) {}

  std::string NameOf(int index) const { return Name(first + index * step); }

  std::int64_t first;
  std::int64_t step;
  int count;
};

// A large array goes back and forth between the same memory every time.
class Arrays {
 public:
  Arrays(Client client, std::size_t size_bytes)
      : client_(std::move(client)),
        source_(size_bytes),
        destination_(size_bytes) {
    FillWithNumbers(source_.data(), size_bytes);
  }

  void Fill(DType dtype) {
    constexpr std::size_t kBlock = 1 << 16;
    std::vector<std::byte> numbers(kBlock * sizeof(float));
    FillWithNumbers(numbers.data(), numbers.size());
    const std::size_t count = source_.size() / ItemSize(dtype);
    for (std::size_t i = 0; i < count; i += kBlock) {
      CastPacked(DType::kFloat32, numbers.data(), dtype,
                 source_.data() + i * ItemSize(dtype),
                 std::min(kBlock, count - i), Overflow::kSaturate, nullptr);
    }
  }

  double Upload(DType dtype, DType stored) {
    const Timer timer;
    RemoteTensor tensor = Create(dtype, stored);
    const double seconds = timer.Seconds();
    Done(tensor.Delete());
    return seconds;
  }

  // Leaves a tensor in the server, in place of the one that was in the slot.
  void Keep(const std::string& slot, DType dtype, DType stored) {
    Drop(slot);
    kept_.emplace(slot, Create(dtype, stored));
  }

  void Drop(const std::string& slot) { kept_.erase(slot); }

  double Download(const std::string& slot, DType dtype) {
    const auto kept = kept_.find(slot);
    Check(kept != kept_.end(), "nothing to download");
    const Timer timer;
    Done(kept->second.ReadInto(destination_.data(), destination_.size(),
                               {.dtype = dtype}));
    return timer.Seconds();
  }

  void Verify() {
    constexpr char kSlot[] = "verify";
    Keep(kSlot, DType::kFloat32, DType::kFloat32);
    std::memset(destination_.data(), 0, destination_.size());
    Download(kSlot, DType::kFloat32);
    Check(std::memcmp(source_.data(), destination_.data(), source_.size()) == 0,
          "other bytes came back from the server");
    Drop(kSlot);
  }

 private:
  RemoteTensor Create(DType dtype, DType stored) {
    return Value(client_.Create(View(source_.data(), dtype, source_.size()),
                                {.dtype = stored}));
  }

  Client client_;
  WarmMemory source_;
  WarmMemory destination_;
  std::map<std::string, RemoteTensor> kept_;
};

// One call after the other, or some at a time, about tensors that are small.
class Calls {
 public:
  explicit Calls(Client client) : client_(std::move(client)) {}

  Answer Create(const Arguments& arguments) {
    const Range range(arguments);
    const std::vector<std::byte> bytes(Size(arguments, 4));
    const ArrayView view = View(bytes.data(), DType::kFloat32, bytes.size());
    return TimeCalls(range.count, Threads(arguments, 3), [&](int, int i) {
      Value(client_.Create(view, {.id = range.NameOf(i)}));
    });
  }

  void Open(const Arguments& arguments) {
    const Range range(arguments);
    handles_.clear();
    for (int i = 0; i < range.count; ++i) {
      handles_.push_back(Value(client_.Get(range.NameOf(i))));
    }
  }

  Answer Read(const Arguments& arguments) {
    const auto count = static_cast<int>(arguments.Number(0));
    const int threads = Threads(arguments, 1);
    const std::size_t size = Size(arguments, 2);
    Check(static_cast<std::size_t>(count) <= handles_.size(), "not opened");
    std::vector<std::vector<std::byte>> destinations(
        static_cast<std::size_t>(threads), std::vector<std::byte>(size));
    return TimeCalls(count, threads, [&](int thread, int i) {
      Done(handles_[static_cast<std::size_t>(i)].ReadInto(
          destinations[static_cast<std::size_t>(thread)].data(), size));
    });
  }

  Answer Get(const Arguments& arguments) {
    const Range range(arguments);
    return TimeCalls(range.count, Threads(arguments, 3),
                     [&](int, int i) { Value(client_.Get(range.NameOf(i))); });
  }

  Answer Delete(const Arguments& arguments) {
    const Range range(arguments);
    return TimeCalls(range.count, Threads(arguments, 3), [&](int, int i) {
      Done(client_.Delete(range.NameOf(i)));
    });
  }

 private:
  static int Threads(const Arguments& arguments, std::size_t index) {
    return static_cast<int>(arguments.Number(index));
  }
  static std::size_t Size(const Arguments& arguments, std::size_t index) {
    return static_cast<std::size_t>(arguments.Number(index));
  }

  Client client_;
  std::vector<RemoteTensor> handles_;
};

// The same work on many small arrays as one batch, and as a call for each.
class Batches {
 public:
  explicit Batches(Client client) : client_(std::move(client)) {}

  Answer Create(const Arguments& arguments) {
    const auto count = static_cast<std::size_t>(arguments.Number(1));
    const auto size = static_cast<std::size_t>(arguments.Number(2));
    source_.resize(count * size);
    FillWithNumbers(source_.data(), source_.size());
    std::vector<ArrayView> views;
    for (std::size_t i = 0; i < count; ++i) {
      views.push_back(View(source_.data() + i * size, DType::kFloat32, size));
    }
    tensors_.clear();
    tensors_.reserve(count);
    const Timer timer;
    if (IsBatch(arguments)) {
      Keep(client_.CreateBatch(views));
    } else {
      for (const ArrayView& view : views) {
        tensors_.push_back(Value(client_.Create(view)));
      }
    }
    return {timer.Seconds()};
  }

  // Puts copies in the places of the tensors.
  Answer Transform(const Arguments& arguments) {
    std::vector<RemoteTensor> old = std::move(tensors_);
    tensors_.clear();
    tensors_.reserve(old.size());
    std::vector<const RemoteTensor*> sources;
    for (const RemoteTensor& tensor : old) sources.push_back(&tensor);
    const Timer timer;
    if (IsBatch(arguments)) {
      Keep(client_.TransformBatch(sources, {CloneOperation{}}));
    } else {
      for (const RemoteTensor& tensor : old) {
        tensors_.push_back(Value(tensor.Transform({CloneOperation{}})));
      }
    }
    const double seconds = timer.Seconds();
    Done(client_.DeleteBatch(Pointers(old)));
    return {seconds};
  }

  Answer Read(const Arguments& arguments) {
    const std::size_t size = source_.size() / tensors_.size();
    std::vector<std::byte> memory(source_.size());
    std::vector<ReadDestination> reads;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      reads.push_back({&tensors_[i], memory.data() + i * size, size});
    }
    const Timer timer;
    if (IsBatch(arguments)) {
      for (const absl::Status& status : Value(client_.ReadBatchInto(reads))) {
        Done(status);
      }
    } else {
      for (const ReadDestination& read : reads) {
        Done(read.tensor->ReadInto(read.destination, read.size_bytes));
      }
    }
    const double seconds = timer.Seconds();
    Check(memory == source_, "other bytes came back from the server");
    return {seconds};
  }

  Answer Delete(const Arguments& arguments) {
    const Timer timer;
    if (IsBatch(arguments)) {
      Done(client_.DeleteBatch(Pointers(tensors_)));
    } else {
      for (RemoteTensor& tensor : tensors_) Done(tensor.Delete());
    }
    return {timer.Seconds()};
  }

 private:
  static bool IsBatch(const Arguments& arguments) {
    return arguments.Word(0) == "batch";
  }

  static std::vector<RemoteTensor*> Pointers(
      std::vector<RemoteTensor>& tensors) {
    std::vector<RemoteTensor*> pointers;
    for (RemoteTensor& tensor : tensors) pointers.push_back(&tensor);
    return pointers;
  }

  void Keep(absl::StatusOr<std::vector<absl::StatusOr<RemoteTensor>>> made) {
    for (auto& tensor : Value(std::move(made))) {
      tensors_.push_back(Value(std::move(tensor)));
    }
  }

  Client client_;
  std::vector<std::byte> source_;
  std::vector<RemoteTensor> tensors_;
};

// Connections that move an array each, all at the same time.
class Crowd {
 public:
  Crowd(const std::string& address, int clients, std::size_t size_bytes)
      : source_(size_bytes) {
    FillWithNumbers(source_.data(), size_bytes);
    for (int i = 0; i < clients; ++i) {
      clients_.push_back(Value(Client::Connect(address)));
      destinations_.emplace_back(size_bytes);
    }
  }

  // Seconds that every client takes for so many uploads and as many downloads.
  std::pair<std::vector<double>, std::vector<double>> Run(int arrays) {
    std::vector<double> up(clients_.size()), down(clients_.size());
    std::vector<std::optional<RemoteTensor>> tensors(clients_.size());
    const auto everyone = static_cast<int>(clients_.size());
    TimeCalls(everyone, everyone, [&](int, int i) {
      const auto client = static_cast<std::size_t>(i);
      const Timer timer;
      for (int array = 0; array < arrays; ++array) {
        tensors[client].reset();
        tensors[client].emplace(Value(clients_[client].Create(
            View(source_.data(), DType::kFloat32, source_.size()))));
      }
      up[client] = timer.Seconds();
    });
    TimeCalls(everyone, everyone, [&](int, int i) {
      const auto client = static_cast<std::size_t>(i);
      const Timer timer;
      for (int array = 0; array < arrays; ++array) {
        Done(tensors[client]->ReadInto(destinations_[client].data(),
                                       source_.size()));
      }
      down[client] = timer.Seconds();
    });
    return {std::move(up), std::move(down)};
  }

 private:
  WarmMemory source_;
  std::vector<WarmMemory> destinations_;
  std::vector<Client> clients_;
};

// Of both directions: seconds until the last client was done, and how many
// times as long that one took as the one in the middle.
Answer RunCrowd(const std::string& address, const Arguments& arguments) {
  Crowd crowd(address, static_cast<int>(arguments.Number(0)),
              static_cast<std::size_t>(arguments.Number(2)));
  // Connections are made by the first array, and know their speed afterwards.
  crowd.Run(1);
  auto [up, down] = crowd.Run(static_cast<int>(arguments.Number(1)));
  Answer answer;
  for (std::vector<double>* seconds : {&up, &down}) {
    std::sort(seconds->begin(), seconds->end());
    answer.push_back(seconds->back());
    answer.push_back(seconds->back() / (*seconds)[(seconds->size() - 1) / 2]);
  }
  return answer;
}

int Obey() {
  std::string address;
  std::optional<Arrays> arrays;
  std::optional<Calls> calls;
  std::optional<Batches> batches;
  const auto connect = [&](const Arguments& arguments, bool checksums) {
    address = arguments.Word(0);
    const Client client = Value(Client::Connect(
        address,
        {.checksums = checksums,
         .max_connections = static_cast<int>(arguments.Number(2))}));
    arrays.emplace(client, static_cast<std::size_t>(arguments.Number(1)));
    calls.emplace(client);
    batches.emplace(client);
    return Answer{};
  };
  return ServeCommands({
      {"connect",
       [&](const Arguments& arguments) { return connect(arguments, false); }},
      {"connect_checked",
       [&](const Arguments& arguments) {
         return connect(arguments, true);
       }},
      {"fill",
       [&](const Arguments& arguments) {
         arrays->Fill(Dtype(arguments, 0));
         return Answer{};
       }},
      {"verify",
       [&](const Arguments&) {
         arrays->Verify();
         return Answer{};
       }},
      {"upload",
       [&](const Arguments& arguments) {
         return Answer{
             arrays->Upload(Dtype(arguments, 0), Dtype(arguments, 1))};
       }},
      {"keep",
       [&](const Arguments& arguments) {
         arrays->Keep(arguments.Word(0), Dtype(arguments, 1),
                      Dtype(arguments, 2));
         return Answer{};
       }},
      {"drop",
       [&](const Arguments& arguments) {
         arrays->Drop(arguments.Word(0));
         return Answer{};
       }},
      {"download",
       [&](const Arguments& arguments) {
         return Answer{
             arrays->Download(arguments.Word(0), Dtype(arguments, 1))};
       }},
      {"create",
       [&](const Arguments& arguments) { return calls->Create(arguments); }},
      {"open",
       [&](const Arguments& arguments) {
         calls->Open(arguments);
         return Answer{};
       }},
      {"read",
       [&](const Arguments& arguments) { return calls->Read(arguments); }},
      {"get",
       [&](const Arguments& arguments) { return calls->Get(arguments); }},
      {"delete",
       [&](const Arguments& arguments) { return calls->Delete(arguments); }},
      {"batch_create",
       [&](const Arguments& arguments) { return batches->Create(arguments); }},
      {"batch_transform",
       [&](const Arguments& arguments) {
         return batches->Transform(arguments);
       }},
      {"batch_read",
       [&](const Arguments& arguments) { return batches->Read(arguments); }},
      {"batch_delete",
       [&](const Arguments& arguments) { return batches->Delete(arguments); }},
      {"crowd",
       [&](const Arguments& arguments) {
         return RunCrowd(address, arguments);
       }},
  });
}

}  // namespace
}  // namespace tensord::bench

int main() { return tensord::bench::Obey(); }
