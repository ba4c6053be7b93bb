#include "core/device/device_backend.h"

#include "core/error.h"

namespace tensord {

absl::Status CheckRoom(std::size_t count, DType dtype, const Buffer& buffer) {
  if (count <= buffer.size_bytes() / ItemSize(dtype)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, reason::kInternal,
                   "elements do not fit in the buffer that was made for them");
}

}  // namespace tensord
