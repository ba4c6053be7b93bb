#include "core/crc32c.h"

#include <isa-l/crc.h>

#include <cstddef>

namespace tensord {

std::uint32_t ExtendCrc32c(std::uint32_t crc32c, std::string_view bytes) {
  // The library counts bytes in an int.
  constexpr std::size_t kMaxStep = std::size_t{1} << 30;
  std::uint32_t state = ~crc32c;
  while (!bytes.empty()) {
    const std::string_view step = bytes.substr(0, kMaxStep);
    // It takes a pointer to non-const and only reads.
    state = crc32_iscsi(
        reinterpret_cast<unsigned char*>(const_cast<char*>(step.data())),
        static_cast<int>(step.size()), state);
    bytes.remove_prefix(step.size());
  }
  return ~state;
}

}  // namespace tensord
