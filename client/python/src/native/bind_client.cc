#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nanobind/nanobind.h"
#include "nanobind/stl/optional.h"
#include "nanobind/stl/string.h"
#include "native/bind.h"
#include "native/buffer.h"
#include "native/call.h"
#include "native/convert.h"
#include "tensord/client.h"

namespace nb = nanobind;

namespace tensord::python {
namespace {

class ConnectCall {
 public:
  using Result = absl::StatusOr<Client>;

  ConnectCall(std::string target, double timeout, bool tls, std::string ca_file,
              std::string cert_file, std::string key_file, std::string token,
              bool insecure, int max_attempts, bool checksums,
              int max_connections)
      : target_(std::move(target)),
        options_{.timeout = absl::Seconds(timeout),
                 .tls = tls,
                 .tls_ca_file = std::move(ca_file),
                 .tls_cert_file = std::move(cert_file),
                 .tls_key_file = std::move(key_file),
                 .token = std::move(token),
                 .insecure = insecure,
                 .max_attempts = max_attempts,
                 .checksums = checksums,
                 .max_connections = max_connections} {}

  Result Run() const { return Client::Connect(target_, options_); }
  Future<Result> Begin(const CallOptions& call) const {
    return Client::ConnectAsync(target_, options_, call);
  }
  static nb::object ToPython(Client client, Going) {
    return nb::cast(std::move(client));
  }

 private:
  const std::string target_;
  const ClientOptions options_;
};

class CreateCall {
 public:
  using Result = absl::StatusOr<RemoteTensor>;

  CreateCall(const Client& client, nb::handle buffer, int dtype,
             bool big_endian, std::string id, std::optional<int> target_dtype,
             std::string device, bool requires_grad, int overflow,
             std::optional<double> ttl, std::optional<double> lease,
             bool replace, std::string if_match, bool report)
      : client_(client),
        memory_(buffer, PinnedBuffer::kReadable),
        array_(memory_.AsArray(ToDType(dtype), ToByteOrder(big_endian))),
        options_{.id = std::move(id),
                 .dtype = ToDType(target_dtype),
                 .device = std::move(device),
                 .requires_grad = requires_grad,
                 .overflow = ToOverflow(overflow),
                 .ttl = ToDuration(ttl),
                 .lease = ToDuration(lease),
                 .replace = replace,
                 .if_match = std::move(if_match),
                 .report_conversion = report} {}

  Result Run() const { return client_.Create(array_, options_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.CreateAsync(array_, options_, call);
  }
  static nb::object ToPython(RemoteTensor tensor, Going going) {
    return FromTensor(std::move(tensor), going);
  }

 private:
  const Client client_;
  const PinnedBuffer memory_;
  const ArrayView array_;
  const CreateOptions options_;
};

class ConvertCall {
 public:
  using Result = absl::Status;

  ConvertCall(const Client& client, nb::handle buffer, int dtype,
              bool big_endian, int target_dtype, int overflow,
              nb::handle destination)
      : client_(client),
        source_(buffer, PinnedBuffer::kReadable),
        destination_(destination, PinnedBuffer::kWritable),
        array_(source_.AsArray(ToDType(dtype), ToByteOrder(big_endian))),
        dtype_(ToDType(target_dtype)),
        overflow_(ToOverflow(overflow)) {}

  Result Run() const {
    return client_.Convert(array_, dtype_, overflow_, destination_.data(),
                           destination_.size_bytes());
  }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.ConvertAsync(array_, dtype_, overflow_, destination_.data(),
                                destination_.size_bytes(), call);
  }

 private:
  const Client client_;
  const PinnedBuffer source_;
  const PinnedBuffer destination_;
  const ArrayView array_;
  const DType dtype_;
  const Overflow overflow_;
};

class GetCall {
 public:
  using Result = absl::StatusOr<RemoteTensor>;

  GetCall(const Client& client, std::string id)
      : client_(client), id_(std::move(id)) {}

  Result Run() const { return client_.Get(id_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.GetAsync(id_, call);
  }
  static nb::object ToPython(RemoteTensor tensor, Going going) {
    return FromTensor(std::move(tensor), going);
  }

 private:
  const Client client_;
  const std::string id_;
};

class ListCall {
 public:
  using Result = absl::StatusOr<TensorPage>;

  ListCall(const Client& client, int page_size, std::string token,
           std::string filter, std::string order_by)
      : client_(client),
        page_size_(page_size),
        token_(std::move(token)),
        options_{.filter = std::move(filter), .order_by = std::move(order_by)} {
  }

  Result Run() const { return client_.List(page_size_, token_, options_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.ListAsync(page_size_, token_, options_, call);
  }
  static nb::object ToPython(const TensorPage& page, Going) {
    nb::list tensors;
    for (const TensorInfo& info : page.tensors) {
      tensors.append(FromTensorInfo(info));
    }
    return nb::make_tuple(tensors, page.next_page_token);
  }

 private:
  const Client client_;
  const int page_size_;
  const std::string token_;
  const ListOptions options_;
};

class DeleteCall {
 public:
  using Result = absl::Status;

  DeleteCall(const Client& client, std::string id)
      : client_(client), id_(std::move(id)) {}

  Result Run() const { return client_.Delete(id_); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.DeleteAsync(id_, /*allow_missing=*/false, call);
  }

 private:
  const Client client_;
  const std::string id_;
};

class DevicesCall {
 public:
  using Result = absl::StatusOr<std::vector<DeviceInfo>>;

  explicit DevicesCall(const Client& client) : client_(client) {}

  Result Run() const { return client_.Devices(); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.DevicesAsync(call);
  }
  static nb::object ToPython(const std::vector<DeviceInfo>& devices, Going) {
    nb::list result;
    for (const DeviceInfo& device : devices) {
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

 private:
  const Client client_;
};

class ServerInfoCall {
 public:
  using Result = absl::StatusOr<ServerInfo>;

  explicit ServerInfoCall(const Client& client) : client_(client) {}

  Result Run() const { return client_.GetServerInfo(); }
  Future<Result> Begin(const CallOptions& call) const {
    return client_.GetServerInfoAsync(call);
  }
  static nb::object ToPython(const ServerInfo& info, Going) {
    nb::list dtypes;
    for (const DType dtype : info.dtypes) {
      dtypes.append(static_cast<int>(dtype));
    }
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

 private:
  const Client client_;
};

// Keeps the connection for ever.
void Leak(const Client& self) { new Client(self); }

nb::tuple LayoutOfConvert(nb::handle buffer, int dtype, int target_dtype) {
  const PinnedBuffer memory(buffer, PinnedBuffer::kReadable);
  return FromLayout(
      ConvertLayout(memory.AsArray(ToDType(dtype), ByteOrder::kLittle),
                    ToDType(target_dtype)));
}

}  // namespace

void BindClient(nb::module_& module) {
  nb::class_<Client>(module, "Client").def("leak", &Leak);
  nb::class_<ConnectCall> connect(module, "ConnectCall");
  connect.def(nb::init<std::string, double, bool, std::string, std::string,
                       std::string, std::string, bool, int, bool, int>(),
              nb::arg("target"), nb::arg("timeout"), nb::arg("tls"),
              nb::arg("ca_file"), nb::arg("cert_file"), nb::arg("key_file"),
              nb::arg("token"), nb::arg("insecure"), nb::arg("max_attempts"),
              nb::arg("checksums"), nb::arg("max_connections"));
  BindCall(connect);
  nb::class_<CreateCall> create(module, "CreateCall");
  create.def(nb::init<const Client&, nb::handle, int, bool, std::string,
                      std::optional<int>, std::string, bool, int,
                      std::optional<double>, std::optional<double>, bool,
                      std::string, bool>(),
             nb::arg("client"), nb::arg("buffer"), nb::arg("dtype"),
             nb::arg("big_endian"), nb::arg("id"),
             nb::arg("target_dtype").none(), nb::arg("device"),
             nb::arg("requires_grad"), nb::arg("overflow"),
             nb::arg("ttl").none(), nb::arg("lease").none(), nb::arg("replace"),
             nb::arg("if_match"), nb::arg("report"));
  BindCall(create);
  nb::class_<ConvertCall> convert(module, "ConvertCall");
  convert.def(
      nb::init<const Client&, nb::handle, int, bool, int, int, nb::handle>());
  BindCall(convert);
  nb::class_<GetCall> get(module, "GetCall");
  get.def(nb::init<const Client&, std::string>());
  BindCall(get);
  nb::class_<ListCall> list(module, "ListCall");
  list.def(
      nb::init<const Client&, int, std::string, std::string, std::string>());
  BindCall(list);
  nb::class_<DeleteCall> remove(module, "DeleteCall");
  remove.def(nb::init<const Client&, std::string>());
  BindCall(remove);
  nb::class_<DevicesCall> devices(module, "DevicesCall");
  devices.def(nb::init<const Client&>());
  BindCall(devices);
  nb::class_<ServerInfoCall> server_info(module, "ServerInfoCall");
  server_info.def(nb::init<const Client&>());
  BindCall(server_info);
  module.def("convert_layout", &LayoutOfConvert);
}

}  // namespace tensord::python
