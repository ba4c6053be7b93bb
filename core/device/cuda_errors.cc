#include "core/device/cuda_errors.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/error.h"

namespace tensord {
namespace {

// As PyTorch's allocator writes sizes: 1024 of a unit are not yet 1 of the
// next.
std::string FormatSize(std::int64_t size_bytes) {
  constexpr std::int64_t kKiB = 1024;
  constexpr std::int64_t kMiB = 1024 * kKiB;
  constexpr std::int64_t kGiB = 1024 * kMiB;
  const auto in = [&](std::int64_t unit, const char* name) {
    return absl::StrFormat(
        "%.2f %s", static_cast<double>(size_bytes) / static_cast<double>(unit),
        name);
  };
  if (size_bytes <= kKiB) return absl::StrCat(size_bytes, " bytes");
  if (size_bytes <= kMiB) return in(kKiB, "KiB");
  return size_bytes <= kGiB ? in(kMiB, "MiB") : in(kGiB, "GiB");
}

}  // namespace

absl::Status CudaOutOfMemory(int device_index, std::int64_t requested_bytes,
                             std::int64_t free_bytes,
                             std::int64_t total_bytes) {
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kDeviceMemoryExhausted,
      absl::StrCat("CUDA out of memory. Tried to allocate ",
                   FormatSize(requested_bytes), ". GPU ", device_index,
                   " has a total capacity of ", FormatSize(total_bytes),
                   " of which ", FormatSize(free_bytes), " is free."));
  AddErrorMetadata(status, "limitBytes", absl::StrCat(total_bytes));
  AddErrorMetadata(status, "usedBytes", absl::StrCat(total_bytes - free_bytes));
  AddErrorMetadata(status, "requestedBytes", absl::StrCat(requested_bytes));
  return status;
}

}  // namespace tensord
