// The calls of a load: which there are, and how each is made.
#ifndef TENSORD_TESTS_LOAD_WORKLOAD_H_
#define TENSORD_TESTS_LOAD_WORKLOAD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "tensord/client.h"
#include "tests/load/arrivals.h"
#include "tests/load/weighted.h"

namespace tensord::load {

enum class CallKind : std::uint8_t {
  // Of small tensors.
  kCreate,
  kRead,
  kGet,
  kDelete,
  kTransform,
  // Of large ones.
  kUpload,
  kDownload,
  kConvert,
};

inline constexpr std::array<std::string_view, 8> kCallKindNames = {
    "create",    "read",   "get",      "delete",
    "transform", "upload", "download", "convert"};

inline std::string_view Name(CallKind kind) {
  return kCallKindNames[static_cast<std::size_t>(kind)];
}

// As ParseWeights, of names of kinds.
absl::StatusOr<Weighted<CallKind>> ParseMix(std::string_view text);

struct WorkloadOptions {
  Weighted<CallKind> mix;
  Weighted<std::int64_t> small_sizes;
  Weighted<std::int64_t> large_sizes;
  // Of the arrays, and of what they become where they are converted.
  Weighted<DType> dtypes;
  int connections = 1;
  // Stored for each size and dtype, for the calls that read.
  int copies = 4;
  // Tensors that creates, uploads and transforms make are replaced by others
  // after that many, so that the server's memory has a bound.
  int made = 1024;
  // Names of tensors begin with it.
  std::string prefix = "load/";
  absl::Duration timeout = absl::Seconds(10);
};

// Everything about a call but when it is made.
struct CallPlan {
  CallKind kind = CallKind::kGet;
  std::uint16_t connection = 0;
  // Of Workload's arrays, for what is sent, and of its stored tensors.
  std::uint32_t array = 0;
  std::uint32_t tensor = 0;
  // What an array becomes.
  DType to = DType::kFloat32;
};

struct Outcome {
  absl::Status status;
  // Of elements, in both directions.
  std::int64_t bytes = 0;
};

// Makes calls through the client's Async forms, without repeating any.
// Thread-safe once made, but for Plan. Calls under way keep it.
class Workload : public std::enable_shared_from_this<Workload> {
 public:
  // Connects, and stores the tensors that are read. Errors of the client, made
  // anew with what was being done.
  static absl::StatusOr<std::shared_ptr<Workload>> Prepare(
      const std::string& target, WorkloadOptions options);

  CallPlan Plan(Random& random);

  // Begins a call and returns. `done` is called once, maybe before that, on
  // this thread or one of the client's. Errors of the call, and DATA_LOSS
  // (WRONG_BYTES) if other elements came than were stored.
  void Start(const CallPlan& plan, const CallOptions& call,
             std::function<void(Outcome)> done);

  // Deletes what Prepare and calls have stored, as far as that is possible.
  void Clear();

 private:
  struct Array {
    DType dtype;
    std::int64_t size_bytes;
    bool is_large;
  };
  // Handles of each connection, of a tensor of an array.
  struct Stored {
    std::size_t array;
    std::string id;
    std::vector<RemoteTensor> handles;
    // Not to store it twice at a time.
    std::atomic<bool> is_restoring{false};
  };
  using Done = std::function<void(Outcome)>;

  explicit Workload(WorkloadOptions options);

  absl::Status Connect(const std::string& target);
  absl::Status Store(std::size_t array, int copy);
  ArrayView View(const Array& array) const;
  // Whether `data` holds what the array does, as `dtype`; its ends are looked
  // at.
  bool IsRight(const Array& array, DType dtype, const std::byte* data) const;
  std::string MadeId(std::int64_t number) const;
  std::uint32_t PickTensor(Random& random, bool is_large);
  // A server that was started anew has lost it.
  void Restore(const CallPlan& plan, const absl::Status& status);

  void Create(const CallPlan& plan, const CallOptions& call, Done done);
  void Read(const CallPlan& plan, const CallOptions& call, Done done);
  void Get(const CallPlan& plan, const CallOptions& call, Done done);
  void Delete(const CallPlan& plan, const CallOptions& call, Done done);
  void Transform(const CallPlan& plan, const CallOptions& call, Done done);
  void Convert(const CallPlan& plan, const CallOptions& call, Done done);

  WorkloadOptions options_;
  std::vector<Client> clients_;
  // Zeros and ones, which every dtype has, as long as the largest array.
  std::map<DType, std::vector<std::byte>> values_;
  std::vector<Array> arrays_;
  std::vector<std::unique_ptr<Stored>> stored_;
  // Indices of `stored_` by size and dtype.
  std::map<std::pair<std::int64_t, DType>, std::vector<std::uint32_t>>
      small_stored_;
  std::map<std::pair<std::int64_t, DType>, std::vector<std::uint32_t>>
      large_stored_;
  std::atomic<std::int64_t> made_count_{0};
  std::atomic<std::int64_t> deleted_count_{0};
};

}  // namespace tensord::load

#endif  // TENSORD_TESTS_LOAD_WORKLOAD_H_
