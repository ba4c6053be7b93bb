#include "server/wire/crc32c.h"

#include <isa-l/crc.h>

namespace tensord {

std::uint32_t Crc32c(absl::Span<const std::string_view> pieces) {
  // The library counts bytes in an int.
  constexpr std::size_t kMaxStep = std::size_t{1} << 30;
  std::uint32_t crc = 0xffffffff;
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const std::string_view step = piece.substr(0, kMaxStep);
      // It takes a pointer to non-const and only reads.
      crc = crc32_iscsi(
          reinterpret_cast<unsigned char*>(const_cast<char*>(step.data())),
          static_cast<int>(step.size()), crc);
      piece.remove_prefix(step.size());
    }
  }
  return ~crc;
}

}  // namespace tensord
