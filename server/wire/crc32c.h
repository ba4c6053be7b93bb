// CRC-32C (Castagnoli) of bytes in pieces.
#ifndef TENSORD_SERVER_WIRE_CRC32C_H_
#define TENSORD_SERVER_WIRE_CRC32C_H_

#include <cstdint>
#include <string_view>

#include "absl/types/span.h"

namespace tensord {

// As in iSCSI, ext4 and google-cloud-storage: "123456789" gives 0xe3069283.
std::uint32_t Crc32c(absl::Span<const std::string_view> pieces);

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_CRC32C_H_
