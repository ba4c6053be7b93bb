#include "server/rpc/tensor_filter.h"

#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/absl_text.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t'; }

// Whether `c` may stand in a value without quotes.
bool IsBare(char c) {
  constexpr std::string_view kPunctuation = "._-~:/*+";
  return absl::ascii_isalnum(c) ||
         kPunctuation.find(c) != std::string_view::npos;
}

}  // namespace

// Reads a filter once, from its start to its end.
class TensorFilterParser {
 public:
  explicit TensorFilterParser(std::string_view text) : text_(text) {}

  absl::StatusOr<TensorFilter> Parse() {
    if (text_.size() > TensorFilter::kMaxBytes) {
      return InvalidArgument(
          reason::kFilterInvalid,
          absl::StrCat("the filter has ", text_.size(), " bytes, at most ",
                       TensorFilter::kMaxBytes, " are accepted"));
    }
    SkipSpace();
    if (at_end()) return std::move(filter_);
    for (;;) {
      absl::Status status = ReadTerm();
      if (!status.ok()) return status;
      const bool is_apart = SkipSpace();
      if (at_end()) return std::move(filter_);
      if (!is_apart || ReadWhile(absl::ascii_isalpha) != "AND" ||
          !SkipSpace()) {
        return Refuse("terms are joined by AND");
      }
    }
  }

 private:
  using Filter = TensorFilter;
  using Field = Filter::Field;
  using Op = Filter::Op;

  enum class Kind : std::uint8_t {
    kName,
    kDtype,
    kDevice,
    kBool,
    kNumber,
    kTime
  };
  struct FieldName {
    std::string_view name;
    Field field;
    Kind kind;
  };
  static constexpr std::array kFields = {
      FieldName{"name", Field::kName, Kind::kName},
      FieldName{"dtype", Field::kDtype, Kind::kDtype},
      FieldName{"device", Field::kDevice, Kind::kDevice},
      FieldName{"requires_grad", Field::kRequiresGrad, Kind::kBool},
      FieldName{"size_bytes", Field::kSizeBytes, Kind::kNumber},
      FieldName{"create_time", Field::kCreateTime, Kind::kTime},
      FieldName{"update_time", Field::kUpdateTime, Kind::kTime},
      FieldName{"expire_time", Field::kExpireTime, Kind::kTime},
  };
  // What another begins with comes after that.
  static constexpr std::array kOps = {
      std::pair{std::string_view("="), Op::kEqual},
      std::pair{std::string_view("!="), Op::kNotEqual},
      std::pair{std::string_view("<="), Op::kLessOrEqual},
      std::pair{std::string_view("<"), Op::kLess},
      std::pair{std::string_view(">="), Op::kGreaterOrEqual},
      std::pair{std::string_view(">"), Op::kGreater},
  };

  bool at_end() const { return position_ == text_.size(); }

  // Whether there was any.
  bool SkipSpace() { return !ReadWhile(IsSpace).empty(); }

  template <class Accepts>
  std::string_view ReadWhile(Accepts accepts) {
    start_ = position_;
    while (!at_end() && accepts(text_[position_])) ++position_;
    return text_.substr(start_, position_ - start_);
  }

  // Of what was read last.
  absl::Status Refuse(std::string_view why) const {
    return InvalidArgument(
        reason::kFilterInvalid,
        absl::StrCat("the filter can not be understood at byte ", start_, ", ",
                     QuoteForMessage(text_.substr(start_)), ": ",
                     std::string(why)));
  }

  absl::Status ReadTerm() {
    const std::string_view name =
        ReadWhile([](char c) { return absl::ascii_islower(c) || c == '_'; });
    const FieldName* field = nullptr;
    for (const FieldName& known : kFields) {
      if (known.name == name) field = &known;
    }
    if (field == nullptr) {
      return Refuse(
          "expected one of name, dtype, device, requires_grad, size_bytes, "
          "create_time, update_time, expire_time");
    }
    SkipSpace();
    const std::optional<Op> op = ReadOp();
    if (!op.has_value()) return Refuse("expected one of = != < <= > >=");
    const bool has_order =
        field->kind == Kind::kNumber || field->kind == Kind::kTime;
    if (!has_order && *op != Op::kEqual && *op != Op::kNotEqual) {
      return Refuse("the field is compared by = and != alone");
    }
    SkipSpace();
    return ReadValue(*field, *op);
  }

  std::optional<Op> ReadOp() {
    start_ = position_;
    for (const auto& [text, op] : kOps) {
      if (!text_.substr(position_).starts_with(text)) continue;
      position_ += text.size();
      return op;
    }
    return std::nullopt;
  }

  absl::Status ReadValue(const FieldName& field, Op op) {
    const bool is_quoted = !at_end() && text_[position_] == '"';
    std::string_view value;
    if (is_quoted) {
      const std::size_t end = text_.find('"', position_ + 1);
      start_ = position_;
      if (end == text_.npos) return Refuse("the quote has no end");
      value = text_.substr(position_ + 1, end - position_ - 1);
      position_ = end + 1;
    } else {
      value = ReadWhile(IsBare);
    }
    if (value.empty()) return Refuse("expected a value");
    Filter::Term term{field.field, op, {}};
    absl::Status status = SetValue(field.kind, value, is_quoted, term);
    if (status.ok()) filter_.terms_.push_back(std::move(term));
    return status;
  }

  absl::Status SetValue(Kind kind, std::string_view value, bool is_quoted,
                        Filter::Term& term) {
    switch (kind) {
      case Kind::kName:
        return SetName(value, term);
      case Kind::kDtype: {
        const std::optional<DType> dtype = DTypeFromName(value);
        if (!dtype.has_value()) return Refuse("expected the name of a dtype");
        term.value = *dtype;
        return absl::OkStatus();
      }
      case Kind::kDevice: {
        const absl::StatusOr<Device> device = ParseDevice(value);
        if (!device.ok()) return Refuse("expected the name of a device");
        term.value = *device;
        return absl::OkStatus();
      }
      case Kind::kBool:
        if (value != "true" && value != "false") {
          return Refuse("expected true or false");
        }
        term.value = value == "true";
        return absl::OkStatus();
      case Kind::kNumber: {
        std::int64_t number = 0;
        if (!absl::SimpleAtoi(ToAbsl(value), &number)) {
          return Refuse("expected a number");
        }
        term.value = number;
        return absl::OkStatus();
      }
      case Kind::kTime:
        return SetTime(value, is_quoted, term);
    }
    return Refuse("expected a value");
  }

  absl::Status SetName(std::string_view value, Filter::Term& term) {
    if (!value.starts_with(kTensorNamePrefix)) {
      return Refuse("the name of a tensor begins with tensors/");
    }
    Filter::IdPattern pattern{
        std::string(value.substr(kTensorNamePrefix.size())),
        value.ends_with('*')};
    if (pattern.is_prefix) pattern.text.pop_back();
    if (pattern.text.find('*') != std::string::npos) {
      return Refuse("a * stands at the end of a name, once");
    }
    if (term.op == Op::kEqual &&
        pattern.text.size() > filter_.id_prefix_.size()) {
      filter_.id_prefix_ = pattern.text;
    }
    term.value = std::move(pattern);
    return absl::OkStatus();
  }

  absl::Status SetTime(std::string_view value, bool is_quoted,
                       Filter::Term& term) {
    absl::Time time;
    std::string error;
    // It would accept more than RFC 3339: words for infinity, and space.
    if (!is_quoted || !absl::ascii_isdigit(value.front()) ||
        !absl::ascii_isalnum(value.back()) ||
        !absl::ParseTime(absl::RFC3339_full, ToAbsl(value), &time, &error)) {
      return Refuse(
          "expected a time in quotes, as in \"2030-01-31T12:00:00Z\"");
    }
    term.value = time;
    return absl::OkStatus();
  }

  const std::string_view text_;
  std::size_t position_ = 0;
  // Where what was read last begins.
  std::size_t start_ = 0;
  TensorFilter filter_;
};

absl::StatusOr<TensorFilter> TensorFilter::Parse(std::string_view text) {
  return TensorFilterParser(text).Parse();
}

bool TensorFilter::Matches(const StoredTensor& stored) const {
  for (const Term& term : terms_) {
    if (!Matches(term, stored)) return false;
  }
  return true;
}

template <class T>
bool TensorFilter::Holds(Op op, const T& actual, const T& wanted) {
  switch (op) {
    case Op::kEqual:
      return actual == wanted;
    case Op::kNotEqual:
      return !(actual == wanted);
    default:
      break;
  }
  if constexpr (requires { actual < wanted; }) {
    switch (op) {
      case Op::kLess:
        return actual < wanted;
      case Op::kLessOrEqual:
        return actual <= wanted;
      case Op::kGreater:
        return actual > wanted;
      default:
        return actual >= wanted;
    }
  }
  return false;
}

bool TensorFilter::Matches(const Term& term, const StoredTensor& stored) {
  const auto holds = [&]<class T>(const T& actual) {
    return Holds(term.op, actual, std::get<T>(term.value));
  };
  switch (term.field) {
    case Field::kName: {
      const auto& pattern = std::get<IdPattern>(term.value);
      const bool is_equal = pattern.is_prefix
                                ? stored.id.starts_with(pattern.text)
                                : stored.id == pattern.text;
      return is_equal == (term.op == Op::kEqual);
    }
    case Field::kDtype:
      return holds(stored.tensor.dtype());
    case Field::kDevice:
      return holds(stored.tensor.device());
    case Field::kRequiresGrad:
      return holds(stored.tensor.requires_grad());
    case Field::kSizeBytes:
      return holds(stored.tensor.size_bytes());
    case Field::kCreateTime:
      return holds(stored.create_time);
    case Field::kUpdateTime:
      return holds(stored.update_time);
    case Field::kExpireTime:
      return holds(stored.end());
  }
  return false;
}

absl::StatusOr<TensorOrder> TensorOrder::Parse(std::string_view text) {
  constexpr std::string_view kDescending = " desc";
  constexpr std::array kFields = {
      std::pair{std::string_view("name"), Field::kName},
      std::pair{std::string_view("create_time"), Field::kCreateTime},
      std::pair{std::string_view("update_time"), Field::kUpdateTime},
      std::pair{std::string_view("size_bytes"), Field::kSizeBytes},
  };
  TensorOrder order;
  if (text.empty()) return order;
  std::string_view name = text;
  order.is_descending_ = name.ends_with(kDescending);
  if (order.is_descending_) name.remove_suffix(kDescending.size());
  for (const auto& [known, field] : kFields) {
    if (known != name) continue;
    order.field_ = field;
    return order;
  }
  return InvalidArgument(
      reason::kOrderByInvalid,
      absl::StrCat("the order ", QuoteForMessage(text),
                   " is not one of name, create_time, update_time, size_bytes, "
                   "with ' desc' behind it or without"));
}

std::string TensorOrder::text() const {
  return absl::StrCat(static_cast<int>(field_), is_descending_ ? "-" : "+");
}

TensorOrder::Place TensorOrder::PlaceOf(const StoredTensor& stored) const {
  switch (field_) {
    case Field::kName:
      break;
    case Field::kCreateTime:
      return {absl::ToUnixNanos(stored.create_time), stored.id};
    case Field::kUpdateTime:
      return {absl::ToUnixNanos(stored.update_time), stored.id};
    case Field::kSizeBytes:
      return {stored.tensor.size_bytes(), stored.id};
  }
  return {0, stored.id};
}

bool TensorOrder::Before(const Place& a, const Place& b) const {
  if (a.key != b.key) return is_descending_ ? a.key > b.key : a.key < b.key;
  return is_descending_ && field_ == Field::kName ? a.id > b.id : a.id < b.id;
}

}  // namespace tensord
