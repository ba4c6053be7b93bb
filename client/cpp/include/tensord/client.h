// The C++ client.
//
//   auto client = tensord::Client::Connect("localhost:50051");
//   const std::vector<float> values = {1, 2, 3};
//   auto tensor = client->Put<float>(values, {3},
//                                    {.dtype = tensord::DType::kBFloat16});
//   auto read = tensor->Get<double>();
//
// Each of the three is an absl::StatusOr, to be looked at before it is used.
// What ends in Async does the same without a thread that waits:
//
//   auto future = client->PutAsync<float>(values);
//   auto tensor = std::move(future).Get();
//
// Arrays whose types are known only when a program runs are ArrayViews
// (tensord/array.h) for Create and Read; tensord/view.h makes them of C++
// types. client/cpp/examples has whole programs.
#ifndef TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CLIENT_H_
#define TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tensord/array.h"
#include "tensord/call_options.h"
#include "tensord/future.h"
#include "tensord/remote_tensor.h"
#include "tensord/view.h"

namespace tensord {

struct ClientOptions {
  // Bound on connecting, and on each call that moves no array or one of a few
  // kilobytes. Calls that move more may take as long as they make progress:
  // they end when nothing went or came for this long. A call that fails returns
  // when the connection has let go of the caller's memory, which for a server
  // that hangs without closing takes some seconds more over TCP, and over a
  // Unix socket lasts until that server ends.
  absl::Duration timeout = absl::Seconds(30);
  // Encrypts; implied by any of the files below.
  bool tls = false;
  // PEM files. Without a CA the system's are trusted; certificate and key are
  // for servers that ask for them.
  std::string tls_ca_file = {};
  std::string tls_cert_file = {};
  std::string tls_key_file = {};
  // Says who calls, to servers that ask for it (`--auth_tokens`): a b64token of
  // RFC 6750, which goes with every call. Without TLS only to a Unix socket or
  // to this host.
  std::string token = {};
  // Lets the token go to other hosts without TLS, as where a proxy on the way
  // encrypts.
  bool insecure = false;
  // How often a call is made at most, the first included, where the connection
  // fails or the server asks to come again: after 0.1 s, then twice as long
  // each time, a second at most. That is safe: what changes something has an
  // id by which the server knows it again. Transfers go on where they stopped,
  // and count anew once they get further. Fewer calls are repeated while most
  // fail, and none by Connect; batches are not.
  int max_attempts = 4;
  // Sends a CRC-32C with every chunk of a stream, which the server checks, and
  // asks for the server's and checks those: INVALID_ARGUMENT or DATA_LOSS
  // (CHECKSUM_MISMATCH) tell of bytes that changed on the way. Makes transfers
  // an eighth slower (tests/bench/README.md).
  bool checksums = false;
  // Most connections that one array is created or read over at a time, from 8
  // MiB on; taken as 1 or 64 beyond these. The others than the first are opened
  // when they are needed, and stay. More move a large array faster where a
  // single one leaves cores or the network idle (tests/bench/README.md);
  // conversions, .npy files in memory and reads under Overflow::kError take
  // one.
  int max_connections = 2;
};

struct CreateOptions {
  // See tensord.v1.CreateTensorRequest.tensor_id. Empty: the server makes one
  // up, and the handle owns the tensor.
  std::string id = {};
  // Keeps the array's dtype when not given.
  std::optional<DType> dtype = {};
  // Empty: "cpu".
  std::string device = {};
  bool requires_grad = false;
  Overflow overflow = Overflow::kTorch;
  std::optional<absl::Duration> ttl = {};
  // The tensor is deleted when it was not used for that long; not together with
  // `ttl`.
  std::optional<absl::Duration> lease = {};
  // Replaces the tensor that has the id, if there is one, when this one is
  // complete.
  bool replace = false;
  // Replaces only the tensor with this etag (TensorInfo::etag): NOT_FOUND,
  // ABORTED (ETAG_MISMATCH) else.
  std::string if_match = {};
  // Asks for TensorInfo::conversion_report, which costs the server some time.
  bool report_conversion = false;
};

struct DeviceInfo {
  std::string name = {};
  std::string description = {};
  std::int64_t memory_limit_bytes = 0;
  std::int64_t memory_used_bytes = 0;
  // Why it is out of service until the server is started again; empty while it
  // works.
  std::string out_of_service = {};
};

struct ServerInfo {
  std::string version = {};
  bool cuda_built = false;
  std::vector<DType> dtypes = {};
  std::int64_t max_tensor_bytes = 0;
  std::int64_t max_message_bytes = 0;
  std::int64_t max_chunk_bytes = 0;
  std::int64_t memory_limit_bytes = 0;
  int max_dimensions = 0;
  // 0: arrays are not taken over several connections.
  int max_upload_parts = 0;
  // 0: the server does not say.
  std::int64_t max_tensors = 0;
  absl::Time start_time = {};
  // "cpu", "cuda:0" and so on.
  std::vector<std::string> devices = {};
  // Why there are no CUDA devices although cuda_built; else empty.
  std::string cuda_unavailable = {};
};

struct ListOptions {
  // See tensord.v1.ListTensorsRequest.filter: `dtype = float32 AND
  // name = "tensors/run-1/*"`. All when empty.
  std::string filter = {};
  // See tensord.v1.ListTensorsRequest.order_by: "create_time desc". Names when
  // empty.
  std::string order_by = {};
};

struct TensorPage {
  std::vector<TensorInfo> tensors = {};
  // Empty on the last page.
  std::string next_page_token = {};
};

// Where Client::ReadBatchInto writes one of its results.
struct ReadDestination {
  const RemoteTensor* tensor = nullptr;
  // Laid out as tensor->ReadLayout says, and of its size.
  void* destination = nullptr;
  std::size_t size_bytes = 0;
};

// A connection to a server. Copies share it. Thread-safe. Errors are
// absl::Status with ErrorDetails (tensord/error.h); no exception leaves a call.
// Whether an array travels in one message or as a stream is chosen by its size.
//
// Every call has two forms. One blocks. The other, whose name ends in Async,
// returns at once, and any number of such calls takes the same few threads;
// what it is given by value may go, but memory that views, spans and pointers
// lead to has to stay until the future is ready. A connection that only calls
// under way hold stays until these end.
//
// In a process that is forked from one that has connected, every call returns
// FAILED_PRECONDITION (FORKED): gRPC does not outlive that. Futures from before
// the fork are not to be touched there.
class Client {
 public:
  // `target` is "host:port" or "unix:PATH". INVALID_ARGUMENT (TARGET_INVALID,
  // TLS_INVALID) for anything else and for PEM files that can not be read;
  // UNAVAILABLE, at once, when nobody listens there or TLS fails;
  // DEADLINE_EXCEEDED when no server answers. A connection that breaks later is
  // made again with the next call.
  //
  // The first call in a process sets glibc's allocator up (mallopt), for good
  // and for the whole process, as core/memory/freed_memory.h says: up to 64 MiB
  // of freed memory stay with each heap, and blocks of up to 32 MiB come from
  // heaps. Without that every download pays for its memory page by page. Not
  // where the environment has TENSORD_KEEP_FREED_MEMORY=0.
  static absl::StatusOr<Client> Connect(std::string_view target,
                                        const ClientOptions& options = {});
  static Future<absl::StatusOr<Client>> ConnectAsync(
      std::string target, const ClientOptions& options = {},
      const CallOptions& call = {});

  // Stores an array. Memory beyond the array's own stays within a few chunks.
  absl::StatusOr<RemoteTensor> Create(const ArrayView& array,
                                      const CreateOptions& options = {},
                                      const CallOptions& call = {}) const;
  Future<absl::StatusOr<RemoteTensor>> CreateAsync(
      ArrayView array, CreateOptions options = {},
      const CallOptions& call = {}) const;

  // Stores the array of a whole .npy file.
  absl::StatusOr<RemoteTensor> CreateFromNpy(
      absl::Span<const std::byte> file, const CreateOptions& options = {},
      const CallOptions& call = {}) const;
  Future<absl::StatusOr<RemoteTensor>> CreateFromNpyAsync(
      absl::Span<const std::byte> file, CreateOptions options = {},
      const CallOptions& call = {}) const;

  // Stores the array of a .npy file on this machine, of any size: it is read as
  // it is sent, and over several connections. Of elements that the file does
  // not name, bfloat16 and 8-bit floats, options.dtype says what they are.
  // INVALID_ARGUMENT: what is wrong with the file (NPY_...), DTYPE_AMBIGUOUS.
  // FILE_ERROR, with the code that fits, where it can not be read (NOT_FOUND,
  // PERMISSION_DENIED).
  absl::StatusOr<RemoteTensor> LoadNpy(const std::string& path,
                                       const CreateOptions& options = {},
                                       const CallOptions& call = {}) const;
  Future<absl::StatusOr<RemoteTensor>> LoadNpyAsync(
      std::string path, CreateOptions options = {},
      const CallOptions& call = {}) const;

  // Stores contiguous elements of a C++ type, any that is an Element:
  //
  //   client->Put<float>(values);
  //   client->Put<float>(pixels, {height, -1, 3}, {.id = "frame"});
  //
  // `values` is a vector, an array, a span of T. `shape` may leave one
  // dimension to be inferred, as -1. INVALID_ARGUMENT (SIZE_MISMATCH) if it is
  // of another number of elements. ViewOf (tensord/view.h) gives Create what
  // has strides.
  template <class T>
  absl::StatusOr<RemoteTensor> Put(
      std::span<const std::type_identity_t<T>> values, const Dims& shape = {-1},
      const CreateOptions& options = {}, const CallOptions& call = {}) const {
    const auto array = internal::ShapedView<T>(values, shape);
    if (!array.ok()) return array.status();
    return Create(*array, options, call);
  }
  template <class T>
  Future<absl::StatusOr<RemoteTensor>> PutAsync(
      std::span<const std::type_identity_t<T>> values, const Dims& shape = {-1},
      const CreateOptions& options = {}, const CallOptions& call = {}) const {
    auto array = internal::ShapedView<T>(values, shape);
    if (!array.ok()) {
      return internal::ReadyFuture<absl::StatusOr<RemoteTensor>>(
          array.status());
    }
    return CreateAsync(*std::move(array), options, call);
  }
  // A compiler's error that can be read.
  template <class T, class... Rest>
  void Put(const std::vector<bool>&, const Rest&...) const {
    static_assert(!std::is_same_v<T, T>, TENSORD_NO_BOOLS);
  }

  // A handle that does not own the tensor. NOT_FOUND.
  absl::StatusOr<RemoteTensor> Get(std::string_view id,
                                   const CallOptions& call = {}) const;
  Future<absl::StatusOr<RemoteTensor>> GetAsync(
      std::string id, const CallOptions& call = {}) const;

  // Tensors in ascending order of ids if `options` say nothing else; page_size
  // 0 leaves it to the server. A token is good for the options that it came
  // with. INVALID_ARGUMENT (PAGE_SIZE_INVALID, PAGE_TOKEN_INVALID,
  // FILTER_INVALID, ORDER_BY_INVALID).
  absl::StatusOr<TensorPage> List(int page_size = 0,
                                  std::string_view page_token = {},
                                  const ListOptions& options = {},
                                  const CallOptions& call = {}) const;
  Future<absl::StatusOr<TensorPage>> ListAsync(
      int page_size = 0, std::string page_token = {}, ListOptions options = {},
      const CallOptions& call = {}) const;

  // NOT_FOUND unless `allow_missing`.
  absl::Status Delete(std::string_view id, bool allow_missing = false,
                      const CallOptions& call = {}) const;
  Future<absl::Status> DeleteAsync(std::string id, bool allow_missing = false,
                                   const CallOptions& call = {}) const;

  // Casts an array on the server without storing it, into memory laid out as
  // the array is: of its shape, dense, in C order unless the array is dense in
  // another. `destination` has to have room for the elements in `dtype`
  // (size_bytes).
  absl::Status Convert(const ArrayView& array, DType dtype, Overflow overflow,
                       void* destination, std::size_t size_bytes,
                       const CallOptions& call = {}) const;
  Future<absl::Status> ConvertAsync(ArrayView array, DType dtype,
                                    Overflow overflow, void* destination,
                                    std::size_t size_bytes,
                                    const CallOptions& call = {}) const;

  // Batches: what many calls do, at a fraction of their cost where the arrays
  // are small, because all travel in one stream. Arrays of more than a few
  // kilobytes follow one by one, each as a stream of its own.
  //
  // Calls run in the order of the arguments, though other clients' calls may
  // run in between, and results are in that order too, one for each argument:
  // each is what the single call would have returned, and a refusal is its
  // own call's alone. The status of the whole tells of arguments that are wrong
  // for all, which send nothing, and of a connection that failed: then some
  // calls may have run, and tensors that were made for nobody are deleted if
  // the server can still be reached. Pointers to tensors that are null, or of
  // another connection's tensors, are refused in their place: INVALID_ARGUMENT
  // (NAME_INVALID). No tensor may be changed or moved while a batch runs.
  template <class T>
  using Results = std::vector<absl::StatusOr<T>>;

  // As Create. `ids`, unless empty, has one for each array; options.id has to
  // be empty: INVALID_ARGUMENT (NAME_INVALID) otherwise. Without ids handles
  // own their tensors: hand them to DeleteBatch rather than have each wait for
  // a call of its own.
  absl::StatusOr<Results<RemoteTensor>> CreateBatch(
      absl::Span<const ArrayView> arrays, const CreateOptions& options = {},
      absl::Span<const std::string> ids = {},
      const CallOptions& call = {}) const;
  Future<absl::StatusOr<Results<RemoteTensor>>> CreateBatchAsync(
      std::vector<ArrayView> arrays, CreateOptions options = {},
      std::vector<std::string> ids = {}, const CallOptions& call = {}) const;

  // As RemoteTensor::Transform of each, with the same operations.
  absl::StatusOr<Results<RemoteTensor>> TransformBatch(
      absl::Span<const RemoteTensor* const> tensors,
      absl::Span<const Operation> operations,
      absl::Span<const std::string> ids = {},
      std::optional<absl::Duration> ttl = {},
      const CallOptions& call = {}) const;
  Future<absl::StatusOr<Results<RemoteTensor>>> TransformBatchAsync(
      std::vector<const RemoteTensor*> tensors,
      std::vector<Operation> operations, std::vector<std::string> ids = {},
      std::optional<absl::Duration> ttl = {},
      const CallOptions& call = {}) const;

  // As Get of each.
  absl::StatusOr<Results<RemoteTensor>> GetBatch(
      absl::Span<const std::string> ids, const CallOptions& call = {}) const;
  Future<absl::StatusOr<Results<RemoteTensor>>> GetBatchAsync(
      std::vector<std::string> ids, const CallOptions& call = {}) const;

  // As RemoteTensor::ReadInto and RemoteTensor::Read of each. What a read that
  // failed wrote is unspecified.
  absl::StatusOr<std::vector<absl::Status>> ReadBatchInto(
      absl::Span<const ReadDestination> reads, const ReadOptions& options = {},
      const CallOptions& call = {}) const;
  Future<absl::StatusOr<std::vector<absl::Status>>> ReadBatchIntoAsync(
      std::vector<ReadDestination> reads, ReadOptions options = {},
      const CallOptions& call = {}) const;
  absl::StatusOr<Results<HostArray>> ReadBatch(
      absl::Span<const RemoteTensor* const> tensors,
      const ReadOptions& options = {}, const CallOptions& call = {}) const;
  Future<absl::StatusOr<Results<HostArray>>> ReadBatchAsync(
      std::vector<const RemoteTensor*> tensors, ReadOptions options = {},
      const CallOptions& call = {}) const;

  // As RemoteTensor::Delete of each: those that are deleted, or were gone, are
  // not owned any more. The first refusal, if there is one; the others are
  // deleted even so.
  absl::Status DeleteBatch(absl::Span<RemoteTensor* const> tensors,
                           const CallOptions& call = {}) const;
  Future<absl::Status> DeleteBatchAsync(std::vector<RemoteTensor*> tensors,
                                        const CallOptions& call = {}) const;

  absl::StatusOr<std::vector<DeviceInfo>> Devices(
      const CallOptions& call = {}) const;
  Future<absl::StatusOr<std::vector<DeviceInfo>>> DevicesAsync(
      const CallOptions& call = {}) const;
  absl::StatusOr<ServerInfo> GetServerInfo(const CallOptions& call = {}) const;
  Future<absl::StatusOr<ServerInfo>> GetServerInfoAsync(
      const CallOptions& call = {}) const;

 private:
  explicit Client(std::shared_ptr<ClientImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<ClientImpl> impl_;
};

// The layout of what Client::Convert writes.
ArrayLayout ConvertLayout(const ArrayView& array, DType dtype);

}  // namespace tensord

#endif  // TENSORD_CLIENT_CPP_INCLUDE_TENSORD_CLIENT_H_
