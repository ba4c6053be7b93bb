#include "server/rpc/find_tensor.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

// What `find` has under the id in a name.
template <class Find>
absl::StatusOr<std::shared_ptr<const StoredTensor>> LookUp(
    const ServiceContext& context, std::string_view name, Find find) {
  const absl::StatusOr<std::string> id = ParseTensorName(name);
  if (!id.ok()) return id.status();
  auto stored = find(*id);
  if (!stored.ok()) return NameIfNotFound(context, stored.status(), name);
  return stored;
}

}  // namespace

bool AreToldApart(const ServiceContext& context) {
  return context.own_quotas != nullptr;
}

absl::Status Denied(std::string_view reason, std::string_view what) {
  return MakeError(absl::StatusCode::kPermissionDenied, reason,
                   absl::StrCat("permission denied on ", std::string(what),
                                " (or it might not exist)"));
}

absl::Status NameIfNotFound(const ServiceContext& context, absl::Status status,
                            std::string_view name) {
  if (status.code() != absl::StatusCode::kNotFound) return status;
  if (AreToldApart(context)) {
    status = Denied(reason::kTensorDenied, QuoteForMessage(name));
  }
  AddErrorMetadata(status, "name", name);
  return status;
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> FindTensor(
    const ServiceContext& context, std::string_view name) {
  return LookUp(context, name,
                [&](const std::string& id) { return context.store->Get(id); });
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> UseTensor(
    const ServiceContext& context, std::string_view name) {
  return LookUp(context, name,
                [&](const std::string& id) { return context.store->Use(id); });
}

absl::StatusOr<TensorStore::Claim> ClaimTensorId(const ServiceContext& context,
                                                 std::string_view id,
                                                 const ClaimOptions& options) {
  auto claim = context.store->ClaimId(id, options);
  if (claim.ok()) return claim;
  const bool is_free =
      GetErrorReason(claim.status()) == reason::kUploadConflict &&
      context.uploads->DropClaimOf(id);
  if (is_free) return context.store->ClaimId(id, options);
  return NameIfNotFound(context, claim.status(), WriteTensorName(id));
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> CommitTensor(
    const ServiceContext& context, TensorStore::Claim&& claim, Tensor tensor,
    const Lifetime& lifetime,
    absl::FunctionRef<void(const StoredTensor&)> write_answer) {
  const std::string name = WriteTensorName(claim.id());
  auto stored =
      std::move(claim).Commit(std::move(tensor), lifetime, write_answer);
  if (!stored.ok()) return NameIfNotFound(context, stored.status(), name);
  return stored;
}

}  // namespace tensord
