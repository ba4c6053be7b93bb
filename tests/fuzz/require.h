// What a fuzz target does when a property does not hold.
#ifndef TENSORD_TESTS_FUZZ_REQUIRE_H_
#define TENSORD_TESTS_FUZZ_REQUIRE_H_

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace tensord {

// Ends the process, with the input for a test of its own, unless `holds`.
inline void Require(bool holds, const char* property, std::string_view input) {
  if (holds) return;
  const std::string escaped = absl::CHexEscape(std::string(input));
  std::fprintf(stderr, "does not hold: %s\ninput: \"%s\"\n", property,
               escaped.c_str());
  std::abort();
}

// Of a refusal that is written to logs and terminals.
inline void RequireRefusal(const absl::Status& status, std::string_view input) {
  Require(status.code() == absl::StatusCode::kInvalidArgument,
          "INVALID_ARGUMENT", input);
  const absl::string_view message = status.message();
  Require(!message.empty() &&
              std::all_of(message.begin(), message.end(),
                          [](char c) { return c >= 0x20 && c < 0x7f; }),
          "a message of one line", input);
}

}  // namespace tensord

#endif  // TENSORD_TESTS_FUZZ_REQUIRE_H_
