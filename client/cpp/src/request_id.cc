#include "client/cpp/src/request_id.h"

#include <cstdint>

#include "absl/random/random.h"
#include "absl/strings/str_format.h"

namespace tensord::client {

std::string NewRequestId() {
  thread_local absl::BitGen random;
  const auto upper = absl::Uniform<std::uint64_t>(random);
  const auto lower = absl::Uniform<std::uint64_t>(random);
  constexpr unsigned kVersion = 4;
  constexpr unsigned kVariant = 0x8000;
  return absl::StrFormat("%08x-%04x-%x%03x-%04x-%012x", upper >> 32,
                         upper >> 16 & 0xffff, kVersion, upper & 0xfff,
                         kVariant | (lower >> 48 & 0x3fff),
                         lower & 0xffffffffffff);
}

}  // namespace tensord::client
