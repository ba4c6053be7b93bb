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
#include "native/convert.h"
#include "tensord/client.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

using Made = absl::StatusOr<std::vector<absl::StatusOr<RemoteTensor>>>;

// Runs `call` while other Python threads may run.
template <typename Call>
auto WithoutGil(Call call) {
  nb::gil_scoped_release release;
  return call();
}

// The tensors behind a sequence of handles.
template <typename Pointer>
std::vector<Pointer> ToTensors(nb::handle handles) {
  std::vector<Pointer> tensors;
  for (nb::handle handle : handles) {
    tensors.push_back(&*nb::cast<TensorHandle&>(handle));
  }
  return tensors;
}

absl::Status FirstRefusal(const Made& made) {
  if (!made.ok()) return made.status();
  for (const auto& tensor : *made) {
    if (!tensor.ok()) return tensor.status();
  }
  return absl::OkStatus();
}

nb::list ToHandles(Made made) {
  Check(FirstRefusal(made));
  nb::list handles;
  for (auto& tensor : *made) {
    handles.append(nb::cast(TensorHandle(*std::move(tensor))));
  }
  return handles;
}

// Deletes what was made if not everything was.
void AllOrNothing(const Client& client, Made& made) {
  if (!made.ok() || FirstRefusal(made).ok()) return;
  std::vector<RemoteTensor*> tensors;
  for (auto& tensor : *made) {
    if (tensor.ok()) tensors.push_back(&*tensor);
  }
  client.DeleteBatch(tensors).IgnoreError();
  // Those that could not be deleted would not be one by one either.
  for (RemoteTensor* const tensor : tensors) tensor->Release();
}

// `sources` are tuples (buffer, dtype, big_endian).
nb::list CreateBatch(const Client& client, nb::handle sources,
                     const std::vector<std::string>& ids,
                     std::optional<int> target_dtype, std::string device,
                     bool requires_grad, int overflow,
                     std::optional<double> ttl, std::optional<double> lease,
                     bool replace, bool report) {
  std::deque<PinnedBuffer> buffers;
  std::vector<ArrayView> arrays;
  for (nb::handle source : sources) {
    buffers.emplace_back(source[0], PinnedBuffer::kReadable);
    const bool big_endian = nb::cast<bool>(source[2]);
    arrays.push_back(buffers.back().AsArray(
        ToDType(nb::cast<int>(source[1])),
        big_endian ? ByteOrder::kBig : ByteOrder::kLittle));
  }
  const CreateOptions options{.dtype = ToDType(target_dtype),
                              .device = std::move(device),
                              .requires_grad = requires_grad,
                              .overflow = ToOverflow(overflow),
                              .ttl = ToDuration(ttl),
                              .lease = ToDuration(lease),
                              .replace = replace,
                              .report_conversion = report};
  return ToHandles(WithoutGil([&] {
    Made made = client.CreateBatch(arrays, options, ids);
    AllOrNothing(client, made);
    return made;
  }));
}

nb::list TransformBatch(const Client& client, nb::handle tensors,
                        nb::handle operations,
                        const std::vector<std::string>& ids,
                        std::optional<double> ttl) {
  const auto sources = ToTensors<const RemoteTensor*>(tensors);
  const std::vector<Operation> steps = ToOperations(operations);
  const std::optional<absl::Duration> lifetime = ToDuration(ttl);
  return ToHandles(WithoutGil([&] {
    Made made = client.TransformBatch(sources, steps, ids, lifetime);
    AllOrNothing(client, made);
    return made;
  }));
}

nb::list GetBatch(const Client& client, const std::vector<std::string>& ids) {
  return ToHandles(WithoutGil([&] { return client.GetBatch(ids); }));
}

void ReadBatch(const Client& client, nb::handle tensors,
               nb::handle destinations, std::optional<int> dtype, int overflow,
               bool force) {
  const auto sources = ToTensors<const RemoteTensor*>(tensors);
  std::deque<PinnedBuffer> buffers;
  std::vector<ReadDestination> reads;
  for (nb::handle destination : destinations) {
    buffers.emplace_back(destination, PinnedBuffer::kWritable);
    reads.push_back({sources.at(reads.size()), buffers.back().data(),
                     buffers.back().size_bytes()});
  }
  const ReadOptions options{.dtype = ToDType(dtype),
                            .overflow = ToOverflow(overflow),
                            .force = force};
  for (const absl::Status& status :
       Take(WithoutGil([&] { return client.ReadBatchInto(reads, options); }))) {
    Check(status);
  }
}

void DeleteBatch(const Client& client, nb::handle tensors) {
  const auto doomed = ToTensors<RemoteTensor*>(tensors);
  Check(WithoutGil([&] { return client.DeleteBatch(doomed); }));
}

}  // namespace

void BindBatch(nb::module_& module) {
  module.def("create_batch", &CreateBatch, nb::arg("client"),
             nb::arg("sources"), nb::arg("ids"), nb::arg("target_dtype").none(),
             nb::arg("device"), nb::arg("requires_grad"), nb::arg("overflow"),
             nb::arg("ttl").none(), nb::arg("lease").none(), nb::arg("replace"),
             nb::arg("report"));
  module.def("transform_batch", &TransformBatch, nb::arg("client"),
             nb::arg("tensors"), nb::arg("operations"), nb::arg("ids"),
             nb::arg("ttl").none());
  module.def("get_batch", &GetBatch);
  module.def("read_batch", &ReadBatch, nb::arg("client"), nb::arg("tensors"),
             nb::arg("destinations"), nb::arg("dtype").none(),
             nb::arg("overflow"), nb::arg("force"));
  module.def("delete_batch", &DeleteBatch);
}

}  // namespace tensord::python
