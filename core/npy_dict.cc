#include "core/npy_dict.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

// Python's own limit; nobody nests fields of structures as deep.
constexpr std::size_t kMaxNesting = 200;

std::size_t ByteAt(std::string_view text, std::size_t position) {
  return static_cast<unsigned char>(text[position]);
}

// Length of the UTF-8 sequence at the start of `text`; 0 if there is none.
std::size_t Utf8SequenceBytes(std::string_view text) {
  const std::size_t lead = ByteAt(text, 0);
  if (lead < 0x80) return 1;
  const std::size_t bytes =
      lead >= 0xf0 ? 4 : (lead >= 0xe0 ? 3 : (lead >= 0xc0 ? 2 : 0));
  if (bytes == 0 || lead > 0xf4 || text.size() < bytes) return 0;
  std::uint32_t code = lead & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((ByteAt(text, i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (ByteAt(text, i) & 0x3f);
  }
  constexpr std::uint32_t kSmallest[] = {0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kSmallest[bytes - 2] || code > 0x10ffff || surrogate) return 0;
  return bytes;
}

absl::Status SyntaxError(std::size_t position, std::string_view what) {
  return InvalidArgument(reason::kNpyHeaderSyntax,
                         absl::StrCat("malformed .npy header at byte ",
                                      position, ": ", std::string(what)));
}

// Checks the characters of a header: ASCII up to version 2, UTF-8 in version 3,
// no control characters.
absl::Status CheckCharacters(std::string_view text, std::size_t major_version) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t byte = ByteAt(text, position);
    const bool space =
        kNpyWhitespace.find(text[position]) != std::string_view::npos;
    if ((byte < 0x20 && !space) || byte == 0x7f) {
      return SyntaxError(position, "control character");
    }
    if (byte >= 0x80 && major_version < 3) {
      return SyntaxError(position, "character beyond ASCII");
    }
    const std::size_t bytes = Utf8SequenceBytes(text.substr(position));
    if (bytes == 0) return SyntaxError(position, "invalid UTF-8");
    position += bytes;
  }
  if (text.back() != '\n') {
    return SyntaxError(text.size() - 1, "no line feed at the end");
  }
  return absl::OkStatus();
}

// The values found so far.
struct Entries {
  std::optional<NpyLiteral> descr;
  std::optional<NpyLiteral> fortran_order;
  std::optional<NpyLiteral> shape;
};

// Takes the dict apart from left to right; every loop moves on.
class DictParser {
 public:
  explicit DictParser(std::string_view text) : text_(text) {}

  absl::StatusOr<NpyDict> Parse() {
    Entries entries;
    SkipWhitespace();
    if (!Consume('{')) return Error("a dict was expected");
    SkipWhitespace();
    while (!Consume('}')) {
      absl::Status status = ParseEntry(entries);
      if (!status.ok()) return status;
    }
    SkipWhitespace();
    if (position_ != text_.size()) return Error("text after the dict");
    return Complete(entries);
  }

 private:
  absl::Status Error(std::string_view what) const {
    return SyntaxError(position_, what);
  }

  // The next character; '\0', which is no character of a header, at the end.
  char Peek() const {
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool Consume(char c) {
    if (Peek() != c) return false;
    ++position_;
    return true;
  }

  void SkipWhitespace() {
    position_ = std::min(text_.find_first_not_of(kNpyWhitespace, position_),
                         text_.size());
  }

  absl::StatusOr<NpyDict> Complete(const Entries& entries) const {
    if (!entries.descr) return Error("no key 'descr'");
    if (!entries.fortran_order) return Error("no key 'fortran_order'");
    if (!entries.shape) return Error("no key 'shape'");
    return NpyDict{*entries.descr, *entries.fortran_order, *entries.shape};
  }

  // "key: value", and what parts it from the next entry.
  absl::Status ParseEntry(Entries& entries) {
    const absl::StatusOr<std::string_view> key = ParseString();
    if (!key.ok()) return key.status();
    absl::StatusOr<std::optional<NpyLiteral>*> slot = Slot(entries, *key);
    if (!slot.ok()) return slot.status();
    SkipWhitespace();
    if (!Consume(':')) return Error("':' was expected");
    SkipWhitespace();
    const absl::StatusOr<NpyLiteral> value = ParseLiteral();
    if (!value.ok()) return value.status();
    **slot = *value;
    SkipWhitespace();
    if (!Consume(',') && Peek() != '}') return Error("',' or '}' was expected");
    SkipWhitespace();
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<NpyLiteral>*> Slot(Entries& entries,
                                                  std::string_view key) const {
    std::optional<NpyLiteral>* slot = nullptr;
    if (key == "descr") slot = &entries.descr;
    if (key == "fortran_order") slot = &entries.fortran_order;
    if (key == "shape") slot = &entries.shape;
    if (slot == nullptr) {
      return Error(absl::StrCat("unknown key ", QuoteForMessage(key)));
    }
    if (slot->has_value()) {
      return Error(absl::StrCat("second key ", QuoteForMessage(key)));
    }
    return slot;
  }

  absl::StatusOr<NpyLiteral> ParseLiteral() {
    if (Peek() == '(' || Peek() == '[') return ParseBrackets();
    return ParseScalar();
  }

  absl::StatusOr<NpyLiteral> ParseScalar() {
    const bool quoted = Peek() == '\'' || Peek() == '"';
    const absl::StatusOr<std::string_view> text =
        quoted ? ParseString() : ParseWord();
    if (!text.ok()) return text.status();
    return NpyLiteral{
        quoted ? NpyLiteral::Kind::kString : NpyLiteral::Kind::kWord, *text};
  }

  absl::StatusOr<std::string_view> ParseString() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Error("a string was expected");
    const std::size_t begin = ++position_;
    const char ends[] = {quote, '\\', '\r', '\n'};
    position_ = std::min(
        text_.find_first_of(std::string_view(ends, sizeof(ends)), begin),
        text_.size());
    if (Peek() == '\\') return Error("escapes are not supported");
    if (!Consume(quote)) return Error("unterminated string");
    return text_.substr(begin, position_ - 1 - begin);
  }

  // A number with its sign, or a name.
  absl::StatusOr<std::string_view> ParseWord() {
    constexpr std::string_view kWordCharacters =
        "0123456789._"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const std::size_t begin = position_;
    if (!Consume('-')) Consume('+');
    const std::size_t word = position_;
    position_ = std::min(text_.find_first_not_of(kWordCharacters, position_),
                         text_.size());
    if (position_ == word) return Error("a value was expected");
    return text_.substr(begin, position_ - begin);
  }

  // A list or tuple with all that is in it.
  absl::StatusOr<NpyLiteral> ParseBrackets() {
    const std::size_t begin = position_;
    std::string closers;
    bool after_value = false;
    do {
      SkipWhitespace();
      const char c = Peek();
      if (!closers.empty() && Consume(closers.back())) {
        closers.pop_back();
        after_value = true;
      } else if (after_value) {
        if (!Consume(',')) {
          return Error("',' or a closing bracket was expected");
        }
        after_value = false;
      } else if (c == '(' || c == '[') {
        if (closers.size() == kMaxNesting) return Error("too many brackets");
        closers.push_back(c == '(' ? ')' : ']');
        ++position_;
      } else {
        const absl::StatusOr<NpyLiteral> item = ParseScalar();
        if (!item.ok()) return item.status();
        after_value = true;
      }
    } while (!closers.empty());
    return NpyLiteral{NpyLiteral::Kind::kBrackets,
                      text_.substr(begin, position_ - begin)};
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

absl::StatusOr<NpyDict> ParseNpyDict(std::string_view text,
                                     std::size_t major_version) {
  absl::Status status = CheckCharacters(text, major_version);
  if (!status.ok()) return status;
  return DictParser(text).Parse();
}

}  // namespace tensord
