// CRC-32C (Castagnoli), as in iSCSI, ext4 and google-cloud-storage.
#ifndef TENSORD_CORE_CRC32C_H_
#define TENSORD_CORE_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace tensord {

// The checksum of what `crc32c` is the checksum of, followed by `bytes`. That
// of nothing is 0, that of "123456789" 0xe3069283.
std::uint32_t ExtendCrc32c(std::uint32_t crc32c, std::string_view bytes);

inline std::uint32_t Crc32c(std::string_view bytes) {
  return ExtendCrc32c(0, bytes);
}

}  // namespace tensord

#endif  // TENSORD_CORE_CRC32C_H_
