// What a fuzz target does when a property does not hold.
#ifndef TENSORD_TESTS_FUZZ_REQUIRE_H_
#define TENSORD_TESTS_FUZZ_REQUIRE_H_

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"

namespace tensord {

// Ends the process, with the input for a test of its own, unless `holds`.
inline void Require(bool holds, const char* property, std::string_view input) {
  if (holds) return;
  const std::string escaped = absl::CHexEscape(std::string(input));
  std::fprintf(stderr, "does not hold: %s\ninput: \"%s\"\n", property,
               escaped.c_str());
  std::abort();
}

}  // namespace tensord

#endif  // TENSORD_TESTS_FUZZ_REQUIRE_H_
