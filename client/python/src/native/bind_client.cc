#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "native/bind.h"
#include "native/buffer.h"
#include "native/convert.h"
#include "tensord/client.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

// Runs `call` while other Python threads may run.
template <typename Call>
auto WithoutGil(Call call) {
  nb::gil_scoped_release release;
  return call();
}

Client Connect(const std::string& target, double timeout, bool tls,
               std::string ca_file, std::string cert_file, std::string key_file,
               std::string token, bool insecure, int max_attempts,
               bool checksums, int max_connections) {
  const ClientOptions options{.timeout = absl::Seconds(timeout),
                              .tls = tls,
                              .tls_ca_file = std::move(ca_file),
                              .tls_cert_file = std::move(cert_file),
                              .tls_key_file = std::move(key_file),
                              .token = std::move(token),
                              .insecure = insecure,
                              .max_attempts = max_attempts,
                              .checksums = checksums,
                              .max_connections = max_connections};
  return Take(WithoutGil([&] { return Client::Connect(target, options); }));
}

ByteOrder ToByteOrder(bool big_endian) {
  return big_endian ? ByteOrder::kBig : ByteOrder::kLittle;
}

TensorHandle Create(const Client& self, nb::handle buffer, int dtype,
                    bool big_endian, std::string id,
                    std::optional<int> target_dtype, std::string device,
                    bool requires_grad, int overflow, std::optional<double> ttl,
                    std::optional<double> lease, bool replace,
                    std::string if_match, bool report) {
  const PinnedBuffer memory(buffer, PinnedBuffer::kReadable);
  const ArrayView array =
      memory.AsArray(ToDType(dtype), ToByteOrder(big_endian));
  const CreateOptions options{.id = std::move(id),
                              .dtype = ToDType(target_dtype),
                              .device = std::move(device),
                              .requires_grad = requires_grad,
                              .overflow = ToOverflow(overflow),
                              .ttl = ToDuration(ttl),
                              .lease = ToDuration(lease),
                              .replace = replace,
                              .if_match = std::move(if_match),
                              .report_conversion = report};
  return TensorHandle(
      Take(WithoutGil([&] { return self.Create(array, options); })));
}

// Keeps the connection for ever.
void Leak(const Client& self) { new Client(self); }

TensorHandle Get(const Client& self, const std::string& id) {
  return TensorHandle(Take(WithoutGil([&] { return self.Get(id); })));
}

nb::tuple List(const Client& self, int page_size, const std::string& token,
               std::string filter, std::string order_by) {
  const ListOptions options{.filter = std::move(filter),
                            .order_by = std::move(order_by)};
  const TensorPage page =
      Take(WithoutGil([&] { return self.List(page_size, token, options); }));
  nb::list tensors;
  for (const TensorInfo& info : page.tensors) {
    tensors.append(FromTensorInfo(info));
  }
  return nb::make_tuple(tensors, page.next_page_token);
}

void Delete(const Client& self, const std::string& id, bool allow_missing) {
  Check(WithoutGil([&] { return self.Delete(id, allow_missing); }));
}

nb::tuple LayoutOfConvert(const Client&, nb::handle buffer, int dtype,
                          int target_dtype) {
  const PinnedBuffer memory(buffer, PinnedBuffer::kReadable);
  return FromLayout(
      ConvertLayout(memory.AsArray(ToDType(dtype), ByteOrder::kLittle),
                    ToDType(target_dtype)));
}

void Convert(const Client& self, nb::handle buffer, int dtype, bool big_endian,
             int target_dtype, int overflow, nb::handle destination) {
  const PinnedBuffer source(buffer, PinnedBuffer::kReadable);
  const PinnedBuffer target(destination, PinnedBuffer::kWritable);
  const ArrayView array =
      source.AsArray(ToDType(dtype), ToByteOrder(big_endian));
  const DType to = ToDType(target_dtype);
  const Overflow policy = ToOverflow(overflow);
  Check(WithoutGil([&] {
    return self.Convert(array, to, policy, target.data(), target.size_bytes());
  }));
}

nb::list Devices(const Client& self) {
  nb::list result;
  for (const DeviceInfo& device :
       Take(WithoutGil([&] { return self.Devices(); }))) {
    nb::dict entry;
    entry["device"] = device.name;
    entry["description"] = device.description;
    entry["memory_limit_bytes"] = device.memory_limit_bytes;
    entry["memory_used_bytes"] = device.memory_used_bytes;
    entry["out_of_service"] = device.out_of_service;
    result.append(entry);
  }
  return result;
}

nb::dict GetServerInfo(const Client& self) {
  const ServerInfo info =
      Take(WithoutGil([&] { return self.GetServerInfo(); }));
  nb::list dtypes;
  for (const DType dtype : info.dtypes) dtypes.append(static_cast<int>(dtype));
  nb::dict result;
  result["version"] = info.version;
  result["cuda_built"] = info.cuda_built;
  result["dtypes"] = dtypes;
  result["max_tensor_bytes"] = info.max_tensor_bytes;
  result["max_message_bytes"] = info.max_message_bytes;
  result["max_chunk_bytes"] = info.max_chunk_bytes;
  result["memory_limit_bytes"] = info.memory_limit_bytes;
  result["max_dimensions"] = info.max_dimensions;
  result["max_upload_parts"] = info.max_upload_parts;
  result["max_tensors"] = info.max_tensors;
  result["start_time"] = FromTime(info.start_time);
  nb::list devices;
  for (const std::string& device : info.devices) devices.append(device);
  result["devices"] = devices;
  result["cuda_unavailable"] = info.cuda_unavailable;
  return result;
}

}  // namespace

void BindClient(nb::module_& module) {
  nb::class_<Client>(module, "Client")
      .def_static("connect", &Connect, nb::arg("target"), nb::arg("timeout"),
                  nb::arg("tls"), nb::arg("ca_file"), nb::arg("cert_file"),
                  nb::arg("key_file"), nb::arg("token"), nb::arg("insecure"),
                  nb::arg("max_attempts"), nb::arg("checksums"),
                  nb::arg("max_connections"))
      .def("create", &Create, nb::arg("buffer"), nb::arg("dtype"),
           nb::arg("big_endian"), nb::arg("id"), nb::arg("target_dtype").none(),
           nb::arg("device"), nb::arg("requires_grad"), nb::arg("overflow"),
           nb::arg("ttl").none(), nb::arg("lease").none(), nb::arg("replace"),
           nb::arg("if_match"), nb::arg("report"))
      .def("leak", &Leak)
      .def("get", &Get)
      .def("list", &List)
      .def("delete", &Delete)
      .def("convert_layout", &LayoutOfConvert)
      .def("convert", &Convert)
      .def("devices", &Devices)
      .def("server_info", &GetServerInfo);
}

}  // namespace tensord::python
