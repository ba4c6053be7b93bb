#include "server/rpc/tensor_calls.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/error.h"
#include "server/rpc/array_receiver.h"
#include "server/rpc/device_threads.h"
#include "server/rpc/find_tensor.h"
#include "server/rpc/read_plan.h"
#include "server/rpc/update.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

// The arrays of a CreateTensorRequest: what it is, and its bytes.
struct InlineArray {
  DeclaredArray declared;
  std::string_view data;
  std::string_view field;
};

InlineArray ParseInlineArray(const v1::CreateTensorRequest& request,
                             Violations& violations) {
  InlineArray array;
  switch (request.array_case()) {
    case v1::CreateTensorRequest::kRaw:
      array.declared.raw =
          ParseArraySpec(request.raw().spec(), "raw.spec", violations);
      array.data = request.raw().data();
      array.field = "raw.data";
      break;
    case v1::CreateTensorRequest::kNpy:
      array.data = request.npy();
      array.field = "npy";
      break;
    case v1::CreateTensorRequest::ARRAY_NOT_SET:
      violations.Check(
          InvalidArgument(reason::kArrayMissing, "there is no array"), "array");
  }
  array.declared.total_bytes = static_cast<std::int64_t>(array.data.size());
  return array;
}

absl::StatusOr<Tensor> Receive(ArrayReceiver& receiver, std::string_view data) {
  absl::Status status = receiver.Start();
  if (status.ok()) status = receiver.Write(data);
  if (!status.ok()) return status;
  return receiver.Finish();
}

absl::Status CheckResultSize(const ReadPlan& plan, std::int64_t max_bytes,
                             const v1::ReadTensorResponse& response) {
  // The tag and length of the data.
  constexpr std::int64_t kFraming = 16;
  const std::int64_t size = plan.total_bytes() + kFraming +
                            static_cast<std::int64_t>(response.ByteSizeLong());
  if (size <= max_bytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   reason::kResultTooLarge,
                   absl::StrCat("the result has ", plan.total_bytes(),
                                " bytes; a message has room for ", max_bytes,
                                " with everything in it: use DownloadTensor"));
}

absl::Status ReadAll(ReadPlan& plan, ServiceEvents& events,
                     v1::ReadTensorResponse& response) {
  std::string& data = *response.mutable_data();
  data.resize(static_cast<std::size_t>(plan.total_bytes()));
  const absl::Time start = absl::Now();
  absl::Status status = plan.Copy(0, plan.total_bytes(),
                                  reinterpret_cast<std::byte*>(data.data()));
  if (status.ok()) status = plan.Verdict();
  if (!status.ok()) return status;
  const Tensor& source = plan.source();
  events.Converted(source.dtype(), plan.format().dtype, source.device(),
                   kCpuDevice, absl::Now() - start);
  events.ArrayBytesSent(plan.total_bytes());
  return status;
}

}  // namespace

TensorCalls::TensorCalls(const ServiceContext& context,
                         BufferAllocator& allocator)
    : context_(context),
      allocator_(allocator),
      allocate_([&allocator](Device device, std::int64_t size_bytes) {
        return allocator.Allocate(device, size_bytes);
      }) {}

absl::Status TensorCalls::Create(const v1::CreateTensorRequest& request,
                                 v1::Tensor& response) {
  return DoOnce(*context_.requests, request, response,
                [&] { return CreateNew(request, response); });
}

absl::Status TensorCalls::CreateNew(const v1::CreateTensorRequest& request,
                                    v1::Tensor& response) {
  Violations violations;
  const ClaimOptions claiming = ParseClaimOptions(request);
  violations.Check(CheckNewTensorId(request.tensor_id(), claiming),
                   "tensor_id");
  InlineArray array = ParseInlineArray(request, violations);
  const NewTensorOptions options =
      ParseTensorOptions(request.options(), "options", violations);
  if (!violations.empty()) return violations.status();
  auto claim = ClaimTensorId(context_, request.tensor_id(), claiming);
  if (!claim.ok()) return claim.status();
  ArrayReceiver receiver(std::move(array.declared), options, context_,
                         allocator_);
  auto tensor = Receive(receiver, array.data);
  if (!tensor.ok()) {
    return AtRequestField(tensor.status(), "options", array.field);
  }
  context_.events->ArrayBytesReceived(array.declared.total_bytes);
  return CommitTensor(context_, *std::move(claim), *std::move(tensor),
                      options.lifetime,
                      [&](const StoredTensor& stored) {
                        WriteTensor(stored, receiver.report(), response);
                      })
      .status();
}

absl::Status TensorCalls::Prepare(const v1::ReadTensorRequest& request,
                                  Reading& job) {
  Violations violations;
  violations.Check(ParseTensorName(request.name()).status(), "name");
  job.options = ParseReadOptions(request.options(), "options", violations);
  if (!violations.empty()) return violations.status();
  auto source = UseTensor(context_, request.name());
  if (!source.ok()) return source.status();
  job.source = *std::move(source);
  job.device = WaitsFor(*context_.devices, job.source->tensor.device());
  return absl::OkStatus();
}

absl::Status TensorCalls::Read(const Reading& job, std::int64_t max_bytes,
                               v1::ReadTensorResponse& response) {
  auto plan =
      ReadPlan::Make(job.source->tensor, job.options, *context_.devices);
  if (!plan.ok()) return plan.status();
  *response.mutable_spec() = WriteArraySpec(plan->format());
  absl::Status status = CheckResultSize(*plan, max_bytes, response);
  return status.ok() ? ReadAll(*plan, *context_.events, response) : status;
}

absl::Status TensorCalls::Get(const v1::GetTensorRequest& request,
                              v1::Tensor& response) {
  const auto stored = FindTensor(context_, request.name());
  if (stored.ok()) WriteTensor(**stored, std::nullopt, response);
  return stored.status();
}

absl::Status TensorCalls::Update(const v1::UpdateTensorRequest& request,
                                 v1::Tensor& response) {
  return DoOnce(*context_.requests, request, response,
                [&] { return UpdateStored(request, response); });
}

absl::Status TensorCalls::UpdateStored(const v1::UpdateTensorRequest& request,
                                       v1::Tensor& response) {
  const v1::Tensor& tensor = request.tensor();
  Violations violations;
  const std::string id =
      violations.Take(ParseTensorName(tensor.name()), "tensor.name");
  const TensorStore::Changes changes =
      ParseChanges(request, absl::Now(), violations);
  if (!violations.empty()) return violations.status();
  const auto changed = context_.store->Update(
      id, tensor.etag(), changes, [&](const StoredTensor& stored) {
        WriteTensor(stored, std::nullopt, response);
      });
  return ArgumentAtField(
      NameIfNotFound(context_, changed.status(), tensor.name()),
      "tensor.requires_grad");
}

absl::Status TensorCalls::Delete(const v1::DeleteTensorRequest& request,
                                 google::protobuf::Empty& response) {
  return DoOnce(*context_.requests, request, response,
                [&] { return DeleteStored(request); });
}

absl::Status TensorCalls::DeleteStored(const v1::DeleteTensorRequest& request) {
  const absl::StatusOr<std::string> id = ParseTensorName(request.name());
  if (!id.ok()) return id.status();
  absl::Status status = context_.store->Delete(*id, request.etag());
  return absl::IsNotFound(status) && request.allow_missing()
             ? absl::OkStatus()
             : NameIfNotFound(context_, std::move(status), request.name());
}

absl::Status TensorCalls::Prepare(const v1::TransformTensorRequest& request,
                                  Transformation& job) {
  if (!request.request_id().empty()) {
    auto begun =
        context_.requests->Begin(request.request_id(), RequestDigest(request));
    if (!begun.ok()) return begun.status();
    job.answer = std::move(begun->answer);
    job.ticket = std::move(begun->ticket);
    if (job.answer != nullptr) return absl::OkStatus();
  }
  Violations violations;
  violations.Check(ParseTensorName(request.name()).status(), "name");
  const ClaimOptions claiming = ParseClaimOptions(request);
  violations.Check(CheckNewTensorId(request.tensor_id(), claiming),
                   "tensor_id");
  job.operations = ParseOperations(request.operations(), violations);
  job.lifetime = ParseLifetime(request, "", violations);
  if (request.report_conversion()) job.report.emplace();
  if (!violations.empty()) return violations.status();
  auto source = UseTensor(context_, request.name());
  if (!source.ok()) return source.status();
  job.source = *std::move(source);
  auto claim = ClaimTensorId(context_, request.tensor_id(), claiming);
  if (!claim.ok()) return claim.status();
  job.claim.emplace(*std::move(claim));
  job.device = WaitsFor(*context_.devices, job.source->tensor.device());
  for (const v1::Operation& operation : request.operations()) {
    if (job.device.has_value()) break;
    job.device = WaitsFor(*context_.devices, operation.to().device());
  }
  return absl::OkStatus();
}

absl::Status TensorCalls::Transform(Transformation& job,
                                    IsCancelled is_cancelled,
                                    v1::Tensor& response) {
  if (job.answer != nullptr) {
    response.ParseFromString(*job.answer);
    return absl::OkStatus();
  }
  const Tensor& source = job.source->tensor;
  const absl::Time start = absl::Now();
  const TransformContext context{
      *context_.devices, allocate_,
      job.report.has_value() ? &*job.report : nullptr, std::move(is_cancelled)};
  auto tensor = Apply(job.operations, source, context);
  if (!tensor.ok()) return tensor.status();
  if (tensor->buffer() != source.buffer()) {
    context_.events->Converted(source.dtype(), tensor->dtype(), source.device(),
                               tensor->device(), absl::Now() - start);
  }
  const auto stored =
      CommitTensor(context_, *std::move(job.claim), *std::move(tensor),
                   job.lifetime, [&](const StoredTensor& result) {
                     WriteTensor(result, job.report, response);
                   });
  if (stored.ok()) std::move(job.ticket).Answer(response);
  return stored.status();
}

}  // namespace tensord
