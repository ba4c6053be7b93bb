#include "server/rpc/update.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/wire/proto_convert.h"
#include "server/wire/status.h"

namespace tensord {
namespace {

// What of a tensor is to be changed.
struct Paths {
  bool requires_grad = false;
  bool ttl = false;
  bool expire_time = false;
  bool lease = false;
};

absl::Status BadPath(const std::string& path) {
  constexpr std::size_t kMaxShown = 64;
  return InvalidArgument(
      reason::kFieldMaskInvalid,
      absl::StrCat("'", PrintableUtf8(path, kMaxShown),
                   "' is not one of requires_grad, ttl, expire_time, lease"));
}

// Whichever fields are set. Who sends back what it got has an expire_time
// beside the lease, which means nothing.
Paths ImpliedPaths(const v1::Tensor& tensor) {
  return {.requires_grad = tensor.requires_grad(),
          .ttl = tensor.has_ttl(),
          .expire_time = tensor.has_expire_time() && !tensor.has_lease(),
          .lease = tensor.has_lease()};
}

Paths ParsePaths(const v1::UpdateTensorRequest& request,
                 Violations& violations) {
  if (request.update_mask().paths().empty()) {
    return ImpliedPaths(request.tensor());
  }
  Paths paths;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "requires_grad") {
      paths.requires_grad = true;
    } else if (path == "ttl") {
      paths.ttl = true;
    } else if (path == "expire_time") {
      paths.expire_time = true;
    } else if (path == "lease") {
      paths.lease = true;
    } else {
      violations.Check(BadPath(path), "update_mask");
      break;
    }
  }
  return paths;
}

absl::StatusOr<absl::Time> ParseEnd(const v1::Tensor& tensor, absl::Time now) {
  if (tensor.has_expire_time()) {
    return ParseExpireTime(tensor.expire_time(), now);
  }
  if (!tensor.has_ttl()) return absl::InfiniteFuture();
  const absl::StatusOr<absl::Duration> ttl = ParseTtl(tensor.ttl());
  if (!ttl.ok()) return ttl.status();
  return now + *ttl;
}

}  // namespace

TensorStore::Changes ParseChanges(const v1::UpdateTensorRequest& request,
                                  absl::Time now, Violations& violations) {
  const v1::Tensor& tensor = request.tensor();
  const Paths paths = ParsePaths(request, violations);
  TensorStore::Changes changes;
  if (paths.requires_grad) changes.requires_grad = tensor.requires_grad();
  if (paths.lease) {
    if (paths.ttl || paths.expire_time) {
      violations.Check(TwoLifetimes(), "tensor.lease");
    }
    if (tensor.has_lease()) {
      changes.lease =
          violations.Take(ParseLease(tensor.lease()), "tensor.lease");
    } else {
      changes.expire_time = absl::InfiniteFuture();
    }
    return changes;
  }
  if (!paths.ttl && !paths.expire_time) return changes;
  if ((tensor.has_ttl() && !paths.ttl) ||
      (tensor.has_expire_time() && !paths.expire_time)) {
    violations.Check(
        InvalidArgument(reason::kFieldMaskInvalid,
                        "the mask names one of ttl and expire_time, and the "
                        "value is given in the other"),
        "update_mask");
    return changes;
  }
  changes.expire_time =
      violations.Take(ParseEnd(tensor, now),
                      tensor.has_ttl() ? "tensor.ttl" : "tensor.expire_time");
  return changes;
}

}  // namespace tensord
