#include "server/rpc/find_tensor.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_convert.h"

namespace tensord {

absl::Status NameIfNotFound(const ServiceContext& context, absl::Status status,
                            std::string_view name) {
  if (status.code() != absl::StatusCode::kNotFound) return status;
  if (context.own_quotas != nullptr) {
    status =
        MakeError(absl::StatusCode::kPermissionDenied, reason::kTensorDenied,
                  absl::StrCat("permission denied on ", QuoteForMessage(name),
                               " (or it might not exist)"));
  }
  AddErrorMetadata(status, "name", name);
  return status;
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> FindTensor(
    const ServiceContext& context, std::string_view name) {
  const absl::StatusOr<std::string> id = ParseTensorName(name);
  if (!id.ok()) return id.status();
  auto stored = context.store->Get(*id);
  if (!stored.ok()) return NameIfNotFound(context, stored.status(), name);
  return stored;
}

absl::StatusOr<TensorStore::Claim> ClaimTensorId(const ServiceContext& context,
                                                 std::string_view id) {
  auto claim = context.store->ClaimId(id);
  const bool is_free =
      GetErrorReason(claim.status()) == reason::kUploadConflict &&
      context.uploads->DropClaimOf(id);
  return is_free ? context.store->ClaimId(id) : std::move(claim);
}

}  // namespace tensord
