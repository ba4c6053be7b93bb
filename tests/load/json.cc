#include "tests/load/json.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tensord::load {
namespace {

constexpr unsigned char kFirstPrintable = 0x20;

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < kFirstPrintable) {
      absl::StrAppendFormat(&quoted, "\\u%04x", c);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

void Append(const std::string& part, std::string& out) {
  if (out.size() > 1) out += ", ";
  out += part;
}

struct Printer {
  std::string operator()(double number) const {
    return std::isfinite(number) ? absl::StrFormat("%.17g", number) : "null";
  }
  std::string operator()(const std::string& text) const { return Quoted(text); }
  std::string operator()(const Json::Array& items) const {
    std::string out = "[";
    for (const Json& item : items) Append(item.ToString(), out);
    return out + "]";
  }
  std::string operator()(const Json::Object& fields) const {
    std::string out = "{";
    for (const auto& [name, value] : fields) {
      Append(absl::StrCat(Quoted(name), ": ", value.ToString()), out);
    }
    return out + "}";
  }
};

}  // namespace

std::string Json::ToString() const { return std::visit(Printer{}, value_); }

}  // namespace tensord::load
