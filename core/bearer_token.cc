#include "core/bearer_token.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace tensord {
namespace {

bool IsTokenCharacter(char c) {
  constexpr std::string_view kPunctuation = "-._~+/";
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         kPunctuation.find(c) != std::string_view::npos;
}

}  // namespace

bool IsBearerToken(std::string_view text) {
  const std::size_t end = text.find_last_not_of('=');
  if (end == std::string_view::npos) return false;
  text = text.substr(0, end + 1);
  return std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

}  // namespace tensord
