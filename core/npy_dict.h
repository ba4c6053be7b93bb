// The text of a .npy header, taken apart: one Python dict literal with the keys
// descr, fortran_order and shape. What the values mean is npy.h's business.
//
// A scanner of bounded memory without recursion. Expressions, prefixes and
// escapes of strings, comments and dicts inside are no part of what it reads.
// Values; thread-safe.
#ifndef TENSORD_CORE_NPY_DICT_H_
#define TENSORD_CORE_NPY_DICT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensord {

// What may stand between the tokens of a header.
inline constexpr std::string_view kNpyWhitespace = " \t\r\n";

// A value of the dict. Points into the text of the header.
struct NpyLiteral {
  enum class Kind : std::uint8_t {
    // `text` is what is between the quotes.
    kString,
    // A number with its sign, or a name.
    kWord,
    // A list or a tuple: brackets pair up, items are scalars or brackets and
    // have a comma between them.
    kBrackets,
  };
  Kind kind = Kind::kWord;
  std::string_view text;
};

struct NpyDict {
  NpyLiteral descr;
  NpyLiteral fortran_order;
  NpyLiteral shape;
};

// Reads the text of a header of version 1, 2 (ASCII) or 3 (UTF-8), padding and
// final line feed included. Each key has to be there once, and no other.
// INVALID_ARGUMENT: NPY_HEADER_SYNTAX. REQUIRES: `text` is not empty.
absl::StatusOr<NpyDict> ParseNpyDict(std::string_view text,
                                     std::size_t major_version);

}  // namespace tensord

#endif  // TENSORD_CORE_NPY_DICT_H_
