#include "server/probe.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/wrappers.pb.h"
#include "grpc/grpc.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/slice.h"
#include "server/access/tls_files.h"
#include "server/observe/health.h"

namespace tensord {
namespace {

// On the wire, grpc.health.v1.HealthCheckRequest, whose service has the number
// 1, and HealthCheckResponse, whose status has it, look like these. gRPC has no
// header of them.
using HealthRequest = google::protobuf::StringValue;
using HealthResponse = google::protobuf::Int32Value;
constexpr int kServing = 1;

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsFor(
    const ListenAddress& address, const ServerOptions& options) {
  if (address.is_unix() || options.tls_cert_file.empty()) {
    return grpc::InsecureChannelCredentials();
  }
  std::vector<grpc::experimental::IdentityKeyCertPair> own;
  if (!options.tls_client_ca_file.empty()) {
    auto pem = ReadTlsFiles({.cert = options.tls_cert_file,
                             .key = options.tls_key_file,
                             .client_ca = {}});
    if (!pem.ok()) return pem.status();
    own.push_back({.private_key = std::move(pem->key),
                   .certificate_chain = std::move(pem->cert)});
  }
  // Only credentials that are made of them free these.
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_verify_server_certs(false);
  tls.set_check_call_host(false);
  tls.set_certificate_verifier(
      std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  if (!own.empty()) {
    tls.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
            std::move(own)));
    tls.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(tls);
}

std::shared_ptr<grpc::Channel> Connect(
    const ListenAddress& address, const ServerOptions& options,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  // gRPC's servers log an error for names that they have no certificate for.
  const std::string host = CertifiedHost(options.tls_cert_file);
  if (!host.empty()) arguments.SetSslTargetNameOverride(host);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(ListenAddressString(address), credentials,
                                   arguments);
}

grpc::ByteBuffer Encode(const HealthRequest& request) {
  const grpc::Slice slice(request.SerializeAsString());
  return {&slice, 1};
}

// 0, for an unknown state, if it is no such message.
int DecodeState(const grpc::ByteBuffer& encoded) {
  grpc::Slice slice;
  HealthResponse response;
  if (!encoded.DumpToSingleSlice(&slice).ok() ||
      !response.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return 0;
  }
  return response.value();
}

grpc::Status Check(const std::shared_ptr<grpc::Channel>& channel,
                   const char* name, absl::Time deadline, int& state) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  HealthRequest request;
  request.set_value(name);
  grpc::CompletionQueue queue;
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call = grpc::GenericStub(channel).PrepareUnaryCall(
      &context, "/grpc.health.v1.Health/Check", Encode(request), &queue);
  call->StartCall();
  call->Finish(&response, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (status.ok()) state = DecodeState(response);
  return status;
}

}  // namespace

absl::StatusOr<ListenAddress> ProbedAddress(
    const std::vector<std::string>& listen) {
  std::vector<ListenAddress> addresses;
  for (const std::string& text : listen) {
    auto address = ParseListenAddress(text);
    if (!address.ok()) return address.status();
    addresses.push_back(*std::move(address));
  }
  if (addresses.empty()) {
    return absl::InvalidArgumentError("there is no address to probe");
  }
  auto probed = std::find_if(addresses.begin(), addresses.end(),
                             [](const auto& one) { return one.is_unix(); });
  if (probed == addresses.end()) probed = addresses.begin();
  if (!probed->is_unix() && probed->port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("can not probe ", ListenAddressString(*probed),
                     ": name the port that the server picked in --listen"));
  }
  return std::move(*probed);
}

absl::Status Probe(const ServerOptions& options, ProbeKind kind,
                   absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  const auto address = ProbedAddress(options.listen);
  if (!address.ok()) return address.status();
  const auto credentials = CredentialsFor(*address, options);
  if (!credentials.ok()) return credentials.status();
  int state = 0;
  const grpc::Status status = Check(
      Connect(*address, options, *credentials),
      kind == ProbeKind::kLiveness ? kLivenessHealthName : "", deadline, state);
  const std::string where = ListenAddressString(*address);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("no health from ", where, ": ", status.error_message()));
  }
  if (state != kServing) {
    return absl::UnavailableError(absl::StrCat(where, " is not serving"));
  }
  return absl::OkStatus();
}

}  // namespace tensord
