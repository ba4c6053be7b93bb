#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "nanobind/stl/vector.h"
#include "native/bind.h"
#include "native/buffer.h"
#include "native/call.h"
#include "native/convert.h"
#include "tensord/client.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

using Tensors = Client::Results<RemoteTensor>;

absl::Status FirstRefusal(const absl::StatusOr<Tensors>& made) {
  if (!made.ok()) return made.status();
  for (const auto& tensor : *made) {
    if (!tensor.ok()) return tensor.status();
  }
  return absl::OkStatus();
}

// Deletes what was made if not everything was.
absl::StatusOr<Tensors> AllOrNothing(const Client& client,
                                     absl::StatusOr<Tensors> made) {
  if (!made.ok() || FirstRefusal(made).ok()) return made;
  std::vector<RemoteTensor*> tensors;
  for (auto& tensor : *made) {
    if (tensor.ok()) tensors.push_back(&*tensor);
  }
  client.DeleteBatch(tensors).IgnoreError();
  // Those that could not be deleted would not be one by one either.
  for (RemoteTensor* const tensor : tensors) tensor->Release();
  return made;
}

// All handles, or the first refusal; then what was made goes with its handles.
nb::object ToHandles(Tensors made, Going going) {
  nb::list handles;
  absl::Status status;
  for (auto& tensor : made) {
    if (tensor.ok()) {
      handles.append(FromTensor(*std::move(tensor), going));
    } else {
      status.Update(tensor.status());
    }
  }
  Check(status);
  return handles;
}

// The tensors behind a sequence of handles, which stay meanwhile.
template <class Pointer>
class TensorsCall {
 protected:
  explicit TensorsCall(nb::handle handles) {
    for (nb::handle handle : handles) {
      tensors_.push_back(&*nb::cast<TensorHandle&>(handle));
      kept_.emplace_back(nb::borrow(handle));
    }
  }

  const std::vector<Pointer>& tensors() const { return tensors_; }

 private:
  std::vector<Pointer> tensors_;
  std::vector<Kept> kept_;
};

class CreateBatchCall {
 public:
  using Result = absl::StatusOr<Tensors>;

  // `sources` are tuples (buffer, dtype, big_endian).
  CreateBatchCall(const CreateBatchCall&) = delete;
  CreateBatchCall(const Client& client, nb::handle sources,
                  std::vector<std::string> ids, std::optional<int> target_dtype,
                  std::string device, bool requires_grad, int overflow,
                  std::optional<double> ttl, std::optional<double> lease,
                  bool replace, bool report)
      : client_(client),
        ids_(std::move(ids)),
        options_{.dtype = ToDType(target_dtype),
                 .device = std::move(device),
                 .requires_grad = requires_grad,
                 .overflow = ToOverflow(overflow),
                 .ttl = ToDuration(ttl),
                 .lease = ToDuration(lease),
                 .replace = replace,
                 .report_conversion = report} {
    for (nb::handle source : sources) {
      buffers_.emplace_back(source[0], PinnedBuffer::kReadable);
      arrays_.push_back(
          buffers_.back().AsArray(ToDType(nb::cast<int>(source[1])),
                                  ToByteOrder(nb::cast<bool>(source[2]))));
    }
  }

  Result Run() const {
    return AllOrNothing(client_, client_.CreateBatch(arrays_, options_, ids_));
  }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.CreateBatchAsync(arrays_, options_, ids_, call);
  }
  static nb::object ToPython(Tensors made, Going going) {
    return ToHandles(std::move(made), going);
  }

 private:
  const Client client_;
  const std::vector<std::string> ids_;
  const CreateOptions options_;
  std::deque<PinnedBuffer> buffers_;
  std::vector<ArrayView> arrays_;
};

class TransformBatchCall final : TensorsCall<const RemoteTensor*> {
 public:
  using Result = absl::StatusOr<Tensors>;

  TransformBatchCall(const Client& client, nb::handle tensors,
                     nb::handle operations, std::vector<std::string> ids,
                     std::optional<double> ttl)
      : TensorsCall(tensors),
        client_(client),
        operations_(ToOperations(operations)),
        ids_(std::move(ids)),
        ttl_(ToDuration(ttl)) {}

  Result Run() const {
    return AllOrNothing(
        client_, client_.TransformBatch(tensors(), operations_, ids_, ttl_));
  }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.TransformBatchAsync(tensors(), operations_, ids_, ttl_,
                                       call);
  }
  static nb::object ToPython(Tensors made, Going going) {
    return ToHandles(std::move(made), going);
  }

 private:
  const Client client_;
  const std::vector<Operation> operations_;
  const std::vector<std::string> ids_;
  const std::optional<absl::Duration> ttl_;
};

class GetBatchCall {
 public:
  using Result = absl::StatusOr<Tensors>;

  GetBatchCall(const Client& client, std::vector<std::string> ids)
      : client_(client), ids_(std::move(ids)) {}

  Result Run() const { return client_.GetBatch(ids_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.GetBatchAsync(ids_, call);
  }
  static nb::object ToPython(Tensors found, Going going) {
    return ToHandles(std::move(found), going);
  }

 private:
  const Client client_;
  const std::vector<std::string> ids_;
};

class ReadBatchCall final : TensorsCall<const RemoteTensor*> {
 public:
  using Result = absl::StatusOr<std::vector<absl::Status>>;

  ReadBatchCall(const ReadBatchCall&) = delete;
  ReadBatchCall(const Client& client, nb::handle tensors,
                nb::handle destinations, std::optional<int> dtype, int overflow,
                bool force)
      : TensorsCall(tensors),
        client_(client),
        options_{.dtype = ToDType(dtype),
                 .overflow = ToOverflow(overflow),
                 .force = force} {
    for (nb::handle destination : destinations) {
      buffers_.emplace_back(destination, PinnedBuffer::kWritable);
      reads_.push_back({this->tensors().at(reads_.size()),
                        buffers_.back().data(), buffers_.back().size_bytes()});
    }
  }

  Result Run() const { return client_.ReadBatchInto(reads_, options_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.ReadBatchIntoAsync(reads_, options_, call);
  }
  static nb::object ToPython(const std::vector<absl::Status>& outcomes, Going) {
    for (const absl::Status& outcome : outcomes) Check(outcome);
    return nb::none();
  }

 private:
  const Client client_;
  const ReadOptions options_;
  std::deque<PinnedBuffer> buffers_;
  std::vector<ReadDestination> reads_;
};

class DeleteBatchCall final : TensorsCall<RemoteTensor*> {
 public:
  using Result = absl::Status;

  DeleteBatchCall(const Client& client, nb::handle tensors)
      : TensorsCall(tensors), client_(client) {}

  Result Run() const { return client_.DeleteBatch(tensors()); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.DeleteBatchAsync(tensors(), call);
  }

 private:
  const Client client_;
};

}  // namespace

void BindBatch(nb::module_& module) {
  nb::class_<CreateBatchCall> create(module, "CreateBatchCall");
  create.def(
      nb::init<const Client&, nb::handle, std::vector<std::string>,
               std::optional<int>, std::string, bool, int,
               std::optional<double>, std::optional<double>, bool, bool>(),
      nb::arg("client"), nb::arg("sources"), nb::arg("ids"),
      nb::arg("target_dtype").none(), nb::arg("device"),
      nb::arg("requires_grad"), nb::arg("overflow"), nb::arg("ttl").none(),
      nb::arg("lease").none(), nb::arg("replace"), nb::arg("report"));
  BindCall(create);
  nb::class_<TransformBatchCall> transform(module, "TransformBatchCall");
  transform.def(nb::init<const Client&, nb::handle, nb::handle,
                         std::vector<std::string>, std::optional<double>>(),
                nb::arg("client"), nb::arg("tensors"), nb::arg("operations"),
                nb::arg("ids"), nb::arg("ttl").none());
  BindCall(transform);
  nb::class_<GetBatchCall> get(module, "GetBatchCall");
  get.def(nb::init<const Client&, std::vector<std::string>>());
  BindCall(get);
  nb::class_<ReadBatchCall> read(module, "ReadBatchCall");
  read.def(nb::init<const Client&, nb::handle, nb::handle, std::optional<int>,
                    int, bool>(),
           nb::arg("client"), nb::arg("tensors"), nb::arg("destinations"),
           nb::arg("dtype").none(), nb::arg("overflow"), nb::arg("force"));
  BindCall(read);
  nb::class_<DeleteBatchCall> remove(module, "DeleteBatchCall");
  remove.def(nb::init<const Client&, nb::handle>());
  BindCall(remove);
}

}  // namespace tensord::python
