// Page tokens of ListTensors: opaque, and only ours are accepted.
#ifndef TENSORD_SERVER_RPC_PAGE_TOKEN_H_
#define TENSORD_SERVER_RPC_PAGE_TOKEN_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensord {

// Makes tokens and reads them back. The key is random, so tokens do not outlive
// the process. Thread-safe.
class PageTokens {
 public:
  PageTokens();

  // The token of the page that starts behind `position`, any bytes, of a list
  // that is asked for as `bound_to` says.
  std::string Make(std::string_view position, std::string_view bound_to) const;

  // The position in a token. INVALID_ARGUMENT (PAGE_TOKEN_INVALID): not made
  // here, or bound to something else.
  absl::StatusOr<std::string> Read(std::string_view token,
                                   std::string_view bound_to) const;

 private:
  // SipHash-2-4 of both.
  std::uint64_t Tag(std::string_view position, std::string_view bound_to) const;

  std::uint64_t key_[2];
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_PAGE_TOKEN_H_
