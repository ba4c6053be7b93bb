// Between std::string_view and the string_view of Abseil, which a distribution
// may build as a type of its own.
#ifndef TENSORD_SERVER_ABSL_TEXT_H_
#define TENSORD_SERVER_ABSL_TEXT_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace tensord {

inline absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}

inline std::string_view FromAbsl(absl::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace tensord

#endif  // TENSORD_SERVER_ABSL_TEXT_H_
