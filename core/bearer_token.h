// Tokens that say who calls.
#ifndef TENSORD_CORE_BEARER_TOKEN_H_
#define TENSORD_CORE_BEARER_TOKEN_H_

#include <string_view>

namespace tensord {

// Whether `text` is a b64token as RFC 6750 writes it: letters, digits and
// - . _ ~ + /, at least one of them, then any number of =.
bool IsBearerToken(std::string_view text);

}  // namespace tensord

#endif  // TENSORD_CORE_BEARER_TOKEN_H_
