#include "server/rpc/page_token.h"

#include <bit>
#include <cstring>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

// The state of SipHash.
struct Sip {
  std::uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void Absorb(std::uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

constexpr std::size_t kTagBytes = sizeof(std::uint64_t);

}  // namespace

PageTokens::PageTokens() {
  std::random_device device;
  for (std::uint64_t& word : key_) {
    word = std::uint64_t{device()} << 32 | device();
  }
}

std::uint64_t PageTokens::Tag(std::string_view position,
                              std::string_view bound_to) const {
  const std::string both =
      absl::StrCat(position.size(), ":", ToAbsl(position), ToAbsl(bound_to));
  std::string_view text = both;
  Sip sip{key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d,
          key_[0] ^ 0x6c7967656e657261, key_[1] ^ 0x7465646279746573};
  const std::uint64_t length = text.size();
  for (; text.size() >= kTagBytes; text.remove_prefix(kTagBytes)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), kTagBytes);
    sip.Absorb(word);
  }
  std::uint64_t last = 0;
  std::memcpy(&last, text.data(), text.size());
  sip.Absorb(last | length << 56);
  sip.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) sip.Round();
  return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

std::string PageTokens::Make(std::string_view position,
                             std::string_view bound_to) const {
  const std::uint64_t tag = Tag(position, bound_to);
  std::string token(kTagBytes, '\0');
  std::memcpy(token.data(), &tag, kTagBytes);
  token.append(position);
  return absl::WebSafeBase64Escape(token);
}

absl::StatusOr<std::string> PageTokens::Read(std::string_view token,
                                             std::string_view bound_to) const {
  std::string text;
  std::uint64_t tag = 0;
  const bool decoded = absl::WebSafeBase64Unescape(std::string(token), &text) &&
                       text.size() >= kTagBytes;
  if (decoded) std::memcpy(&tag, text.data(), kTagBytes);
  if (!decoded ||
      tag != Tag(std::string_view(text).substr(kTagBytes), bound_to)) {
    return InvalidArgument(
        reason::kPageTokenInvalid,
        "the page token is not one of this server for this filter and order");
  }
  return text.substr(kTagBytes);
}

}  // namespace tensord
