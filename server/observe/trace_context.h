// W3C Trace Context: where a call belongs among those of other programs.
#ifndef TENSORD_SERVER_OBSERVE_TRACE_CONTEXT_H_
#define TENSORD_SERVER_OBSERVE_TRACE_CONTEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace tensord {

// Hexadecimal digits in lower case.
struct TraceContext {
  // 32 digits.
  std::string trace_id;
  // 16 digits: of the caller.
  std::string parent_id;
  // 16 digits: of the call here.
  std::string span_id;
  // 2 digits.
  std::string flags;

  // The value of `traceparent` for what this call is the parent of.
  std::string traceparent() const;
};

// Reads the value of the metadata `traceparent` (Trace Context Level 1, section
// 3.2), of this version and of those to come; nothing for what is not valid,
// which is to be ignored. The call gets the span id of `span_id`.
std::optional<TraceContext> ParseTraceparent(std::string_view text,
                                             std::string span_id);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_TRACE_CONTEXT_H_
