// What callers may do.
#ifndef TENSORD_SERVER_ACCESS_SCOPE_H_
#define TENSORD_SERVER_ACCESS_SCOPE_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace tensord {

enum class Scope : std::uint8_t {
  // Reading tensors and metadata, and converting arrays in passing.
  kRead,
  // Making, changing and deleting tensors.
  kWrite,
  // Looking at all tenants, and changing how the server runs.
  kAdmin,
};

inline constexpr std::array kAllScopes = {Scope::kRead, Scope::kWrite,
                                          Scope::kAdmin};

// "read", "write", "admin".
constexpr std::string_view ScopeName(Scope scope) {
  constexpr std::array<std::string_view, kAllScopes.size()> kNames = {
      "read", "write", "admin"};
  return kNames[static_cast<std::size_t>(scope)];
}

// A set of scopes.
class Scopes {
 public:
  constexpr Scopes() = default;
  constexpr Scopes(std::initializer_list<Scope> scopes) {
    for (const Scope scope : scopes) Add(scope);
  }
  static constexpr Scopes All() {
    return {Scope::kRead, Scope::kWrite, Scope::kAdmin};
  }

  constexpr void Add(Scope scope) {
    bits_ |= static_cast<std::uint8_t>(1U << static_cast<unsigned>(scope));
  }
  constexpr bool Has(Scope scope) const {
    return (bits_ >> static_cast<unsigned>(scope) & 1U) != 0;
  }
  bool operator==(const Scopes&) const = default;

 private:
  std::uint8_t bits_ = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_SCOPE_H_
