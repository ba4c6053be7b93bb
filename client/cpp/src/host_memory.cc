#include "client/cpp/src/host_memory.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord::client {
namespace {

// What HostArray promises.
constexpr std::align_val_t kAlignment{64};

}  // namespace

absl::StatusOr<std::shared_ptr<std::byte[]>> AllocateHostMemory(
    std::size_t size_bytes) {
  void* memory = ::operator new[](size_bytes, kAlignment, std::nothrow);
  if (memory == nullptr) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kMemoryExhausted,
                     absl::StrCat("no memory for a result of ", size_bytes,
                                  " bytes on the client"));
  }
  return std::shared_ptr<std::byte[]>(
      static_cast<std::byte*>(memory),
      [](std::byte* bytes) { ::operator delete[](bytes, kAlignment); });
}

}  // namespace tensord::client
