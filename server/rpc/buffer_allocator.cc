#include "server/rpc/buffer_allocator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

// What a buffer's owner keeps: the memory goes before what was paid for it.
struct Charged {
  std::shared_ptr<void> own_reservation;
  std::shared_ptr<void> reservation;
  std::shared_ptr<Buffer> memory;
};

absl::Status QuotaExceeded(Device device, const Quota& quota,
                           std::int64_t requested_bytes) {
  const std::int64_t limit = quota.limit_bytes();
  const std::int64_t used = quota.used_bytes();
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kQuotaExceeded,
      absl::StrCat("memory limit of the tenant on ", DeviceString(device),
                   " reached: ", requested_bytes, " bytes asked for, ", used,
                   " of ", limit, " bytes in use"));
  AddErrorMetadata(status, "limitBytes", absl::StrCat(limit));
  AddErrorMetadata(status, "usedBytes", absl::StrCat(used));
  AddErrorMetadata(status, "requestedBytes", absl::StrCat(requested_bytes));
  return status;
}

}  // namespace

BufferAllocator::BufferAllocator(const DeviceRegistry& devices,
                                 DeviceQuotas& quotas, DeviceQuotas* own_quotas,
                                 std::int64_t max_buffer_bytes,
                                 MakeRoom make_room)
    : devices_(devices),
      quotas_(quotas),
      own_quotas_(own_quotas),
      max_buffer_bytes_(max_buffer_bytes),
      make_room_(std::move(make_room)) {}

absl::StatusOr<std::shared_ptr<Buffer>> BufferAllocator::Allocate(
    Device device, std::int64_t size_bytes) {
  const absl::StatusOr<DeviceBackend*> backend = devices_.Find(device);
  if (!backend.ok()) return backend.status();
  if (size_bytes > max_buffer_bytes_) {
    return InvalidArgument(
        reason::kTensorTooLarge,
        absl::StrCat("the tensor would take ", size_bytes,
                     " bytes; the largest that is accepted takes ",
                     max_buffer_bytes_));
  }
  auto buffer = TryAllocate(**backend, size_bytes);
  while (absl::IsResourceExhausted(buffer.status()) &&
         CanEverFit(device, size_bytes) && make_room_(device)) {
    buffer = TryAllocate(**backend, size_bytes);
  }
  return buffer;
}

bool BufferAllocator::CanEverFit(Device device, std::int64_t size_bytes) const {
  return size_bytes <= quotas_.Of(device).limit_bytes() &&
         (own_quotas_ == nullptr ||
          size_bytes <= own_quotas_->Of(device).limit_bytes());
}

absl::StatusOr<std::shared_ptr<void>> BufferAllocator::ReserveOwn(
    Device device, std::int64_t size_bytes) {
  if (own_quotas_ == nullptr) return nullptr;
  auto reserved = own_quotas_->Reserve(device, size_bytes);
  if (reserved.ok()) return reserved;
  return QuotaExceeded(device, own_quotas_->Of(device), size_bytes);
}

absl::StatusOr<std::shared_ptr<Buffer>> BufferAllocator::TryAllocate(
    DeviceBackend& backend, std::int64_t size_bytes) {
  const Device device = backend.device();
  auto own_reservation = ReserveOwn(device, size_bytes);
  if (!own_reservation.ok()) return own_reservation.status();
  auto reservation = quotas_.Reserve(device, size_bytes);
  if (!reservation.ok()) return reservation.status();
  auto memory = backend.Allocate(static_cast<std::size_t>(size_bytes));
  if (!memory.ok()) return memory.status();
  std::byte* const data = (*memory)->data();
  return std::make_shared<Buffer>(
      device, data, static_cast<std::size_t>(size_bytes),
      std::make_shared<Charged>(Charged{*std::move(own_reservation),
                                        *std::move(reservation),
                                        *std::move(memory)}));
}

}  // namespace tensord
