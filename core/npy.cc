#include "core/npy.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/npy_dict.h"

namespace tensord {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kZipMagic = "PK\x03\x04";
constexpr std::string_view kDataField = "data";
// numpy.lib.format: elements start at a multiple of this, and the header leaves
// room for the first dimension to grow to so many digits.
constexpr std::size_t kElementAlignment = 64;
constexpr std::size_t kGrowthDigits = 21;

absl::Status Refuse(std::string_view reason, std::string_view message) {
  return InvalidArgument(reason, message, kDataField);
}

// An error of another part of core, about the file.
absl::Status OnData(absl::Status status) {
  ErrorDetails details = GetErrorDetails(status);
  details.violations = {
      {std::string(kDataField), std::string(status.message())}};
  SetErrorDetails(status, details);
  return status;
}

std::size_t ByteAt(std::string_view bytes, std::size_t position) {
  return static_cast<unsigned char>(bytes[position]);
}

// What stands before the text of a header, as far as it has arrived.
struct Preamble {
  std::size_t major_version = 0;
  std::size_t text_begin = 0;
  std::size_t text_bytes = 0;
};

bool IsStartOf(std::string_view bytes, std::string_view whole) {
  return bytes.substr(0, whole.size()) == whole.substr(0, bytes.size());
}

absl::Status BadMagic() {
  return Refuse(reason::kNpyBadMagic,
                "the data does not start with the magic of a .npy file, "
                "'\\x93NUMPY'");
}

// What is wrong with bytes that do not start like a .npy file; OK if one more
// byte can tell a file that people mistake for one from any other.
absl::Status CheckForeign(std::string_view bytes) {
  if (IsStartOf(bytes, kZipMagic)) {
    if (bytes.size() < kZipMagic.size()) return absl::OkStatus();
    return Refuse(reason::kNpzNotSupported,
                  "this is a .npz archive; send one array of it: "
                  "np.load(file)['name'], saved as .npy");
  }
  constexpr std::size_t kPickleMark = 0x80;
  constexpr std::size_t kLastPickleProtocol = 5;
  if (ByteAt(bytes, 0) == kPickleMark) {
    if (bytes.size() == 1) return absl::OkStatus();
    if (ByteAt(bytes, 1) >= 2 && ByteAt(bytes, 1) <= kLastPickleProtocol) {
      return Refuse(reason::kPickleForbidden,
                    "this is a pickle, which is never read; send a .npy file");
    }
  }
  return BadMagic();
}

absl::Status CheckVersion(std::string_view version) {
  const bool major_ok =
      version.empty() || (version[0] >= '\x01' && version[0] <= '\x03');
  const bool minor_ok = version.size() < 2 || version[1] == '\0';
  if (major_ok && minor_ok) return absl::OkStatus();
  std::string text = absl::StrCat(ByteAt(version, 0));
  if (version.size() > 1) absl::StrAppend(&text, ".", ByteAt(version, 1));
  return Refuse(reason::kNpyBadVersion,
                absl::StrCat("version ", text,
                             " of the .npy format is not supported; 1.0, 2.0 "
                             "and 3.0 are"));
}

absl::Status CheckTextBytes(std::size_t text_bytes) {
  if (text_bytes > kMaxNpyHeaderBytes) {
    return Refuse(reason::kNpyHeaderTooLarge,
                  absl::StrCat(".npy header of ", text_bytes,
                               " bytes, more than ", kMaxNpyHeaderBytes));
  }
  if (text_bytes == 0) {
    return Refuse(reason::kNpyHeaderSyntax, "empty .npy header");
  }
  return absl::OkStatus();
}

// Nothing while the preamble is not complete.
absl::StatusOr<std::optional<Preamble>> ReadPreamble(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  absl::Status status;
  if (!IsStartOf(bytes, kMagic)) {
    status = CheckForeign(bytes);
    if (!status.ok()) return status;
    return std::nullopt;
  }
  if (bytes.size() <= kMagic.size()) return std::nullopt;
  const std::string_view version = bytes.substr(kMagic.size(), 2);
  status = CheckVersion(version);
  if (!status.ok()) return status;
  const std::size_t length_begin = kMagic.size() + 2;
  const std::size_t length_bytes = version[0] == '\x01' ? 2 : 4;
  if (bytes.size() < length_begin + length_bytes) return std::nullopt;
  std::size_t text_bytes = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    text_bytes = text_bytes << 8 | ByteAt(bytes, length_begin + i);
  }
  status = CheckTextBytes(text_bytes);
  if (!status.ok()) return status;
  return Preamble{ByteAt(version, 0), length_begin + length_bytes, text_bytes};
}

absl::StatusOr<Order> ReadOrder(const NpyLiteral& value) {
  if (value.kind == NpyLiteral::Kind::kWord) {
    if (value.text == "False") return Order::kC;
    if (value.text == "True") return Order::kF;
  }
  return Refuse(reason::kNpyBadOrder,
                absl::StrCat("fortran_order in the .npy header has to be True "
                             "or False, not ",
                             QuoteForMessage(value.text)));
}

// Whether brackets only stand around one value, which makes no tuple of it.
bool IsParenthesised(const NpyLiteral& value) {
  return value.kind == NpyLiteral::Kind::kBrackets && value.text != "()" &&
         value.text[0] == '(' && value.text.find(',') == std::string_view::npos;
}

absl::StatusOr<NumpyType> ReadType(const NpyLiteral& value) {
  if (value.kind == NpyLiteral::Kind::kWord || IsParenthesised(value)) {
    return Refuse(reason::kNpyHeaderSyntax,
                  absl::StrCat("descr in the .npy header has to be a string, "
                               "not ",
                               QuoteForMessage(value.text)));
  }
  if (value.kind == NpyLiteral::Kind::kBrackets) {
    return Refuse(reason::kDtypeStructuredUnsupported,
                  "structured NumPy dtypes are not supported; send each field "
                  "as an array");
  }
  absl::StatusOr<NumpyType> type = ParseNumpyDescr(value.text);
  if (!type.ok()) return OnData(type.status());
  return type;
}

std::string_view Stripped(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kNpyWhitespace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kNpyWhitespace) + 1 - begin);
}

absl::Status ShapeError(std::string_view literal, std::string_view what) {
  return Refuse(
      reason::kShapeInvalid,
      absl::StrCat("shape in the .npy header: ", QuoteForMessage(literal),
                   " is not ", std::string(what)));
}

absl::StatusOr<std::int64_t> ReadDimension(std::string_view literal,
                                           std::size_t major_version) {
  std::string_view digits = literal;
  // Python 2 marked long integers, and did not write version 3.
  if (major_version < 3 && digits.ends_with('L')) digits.remove_suffix(1);
  const bool decimal =
      !digits.empty() &&
      digits.find_first_not_of("0123456789") == std::string_view::npos;
  if (!decimal || (digits[0] == '0' && digits.size() > 1)) {
    return ShapeError(literal, "a non-negative decimal integer");
  }
  std::int64_t size = 0;
  const char* end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, size).ec != std::errc()) {
    return Refuse(reason::kShapeOverflow,
                  absl::StrCat("shape in the .npy header: ",
                               QuoteForMessage(literal), " exceeds 2^63 - 1"));
  }
  return size;
}

absl::StatusOr<Dims> ReadShape(const NpyLiteral& value,
                               std::size_t major_version) {
  if (value.kind != NpyLiteral::Kind::kBrackets || value.text[0] != '(') {
    return ShapeError(value.text, "a tuple");
  }
  Dims shape;
  std::string_view items =
      Stripped(value.text.substr(1, value.text.size() - 2));
  while (!items.empty()) {
    const std::size_t comma = items.find(',');
    if (comma == std::string_view::npos && shape.empty()) {
      return ShapeError(value.text, "a tuple");
    }
    const absl::StatusOr<std::int64_t> size =
        ReadDimension(Stripped(items.substr(0, comma)), major_version);
    if (!size.ok()) return size.status();
    shape.push_back(*size);
    items = comma == std::string_view::npos ? std::string_view()
                                            : Stripped(items.substr(comma + 1));
  }
  return shape;
}

absl::StatusOr<NpyHeader> ReadText(std::string_view text,
                                   const Preamble& preamble) {
  const absl::StatusOr<NpyDict> dict =
      ParseNpyDict(text, preamble.major_version);
  if (!dict.ok()) return OnData(dict.status());
  const absl::StatusOr<Order> order = ReadOrder(dict->fortran_order);
  if (!order.ok()) return order.status();
  const absl::StatusOr<NumpyType> type = ReadType(dict->descr);
  if (!type.ok()) return type.status();
  absl::StatusOr<Dims> shape = ReadShape(dict->shape, preamble.major_version);
  if (!shape.ok()) return shape.status();
  const absl::StatusOr<std::int64_t> count =
      CheckedElementCount(*shape, type->item_size);
  if (!count.ok()) return OnData(count.status());
  return NpyHeader{*type, *std::move(shape), *order,
                   preamble.text_begin + preamble.text_bytes,
                   *count * static_cast<std::int64_t>(type->item_size)};
}

absl::Status Truncated(std::string_view what) {
  return Refuse(reason::kNpyTruncated,
                absl::StrCat("the .npy file is cut short ", std::string(what)));
}

// Why a whole file has no header.
absl::Status IncompleteHeader(std::string_view bytes) {
  return IsStartOf(bytes, kMagic) ? Truncated("in its header") : BadMagic();
}

std::string ShapeLiteral(absl::Span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace

absl::StatusOr<std::optional<NpyHeader>> ParseNpyHeader(
    std::string_view bytes) {
  const absl::StatusOr<std::optional<Preamble>> preamble = ReadPreamble(bytes);
  if (!preamble.ok()) return preamble.status();
  if (!*preamble) return std::nullopt;
  const std::size_t begin = (*preamble)->text_begin;
  const std::size_t text_bytes = (*preamble)->text_bytes;
  if (bytes.size() - begin < text_bytes) return std::nullopt;
  absl::StatusOr<NpyHeader> header =
      ReadText(bytes.substr(begin, text_bytes), **preamble);
  if (!header.ok()) return header.status();
  return *std::move(header);
}

absl::StatusOr<NpyHeader> ParseNpyFile(std::string_view bytes,
                                       std::int64_t file_bytes,
                                       std::int64_t max_data_bytes) {
  absl::StatusOr<std::optional<NpyHeader>> header = ParseNpyHeader(bytes);
  if (!header.ok()) return header.status();
  if (!*header) return IncompleteHeader(bytes);
  const std::int64_t data_bytes = (*header)->data_bytes;
  if (data_bytes > max_data_bytes) {
    absl::Status status =
        Refuse(reason::kTensorTooLarge,
               absl::StrCat("array of ", data_bytes, " bytes, more than ",
                            max_data_bytes));
    AddErrorMetadata(status, "requestedBytes", std::to_string(data_bytes));
    AddErrorMetadata(status, "limitBytes", std::to_string(max_data_bytes));
    return status;
  }
  const std::int64_t present_bytes =
      file_bytes - static_cast<std::int64_t>((*header)->header_bytes);
  const std::string found =
      absl::StrCat("its header says ", data_bytes,
                   " bytes of elements, there are ", present_bytes);
  if (present_bytes < data_bytes) {
    return Truncated("in its elements: " + found);
  }
  if (present_bytes > data_bytes) {
    return Refuse(reason::kTrailingBytes,
                  "the .npy file goes on after its elements: " + found);
  }
  return **std::move(header);
}

absl::StatusOr<DType> ResolveNpyDType(const NumpyType& type,
                                      std::optional<DType> said) {
  if (type.dtype) return *type.dtype;
  if (!said) {
    return Refuse(
        reason::kDtypeAmbiguous,
        absl::StrCat(
            "the .npy file does not say what its elements of ", type.item_size,
            type.item_size == 1 ? " byte" : " bytes", " are: pass ",
            type.item_size == 1 ? "dtype=float8_e4m3fn or dtype=float8_e5m2"
                                : "dtype=bfloat16"));
  }
  if (ItemSize(*said) != type.item_size) {
    return Refuse(
        reason::kDtypeSizeMismatch,
        absl::StrCat("elements of the .npy file have ", type.item_size,
                     type.item_size == 1 ? " byte, " : " bytes, ",
                     std::string(Name(*said)), " has ", ItemSize(*said)));
  }
  return *said;
}

std::string WriteNpyHeader(DType dtype, ByteOrder byte_order, Order order,
                           absl::Span<const std::int64_t> shape) {
  // NumPy prefers C where both are true.
  const bool fortran =
      order == Order::kF &&
      !IsContiguous(DenseLayout(Dims(shape.begin(), shape.end()), Order::kF));
  std::string text =
      absl::StrCat("{'descr': '", std::string(NumpyDescr(dtype, byte_order)),
                   "', 'fortran_order': ", fortran ? "True" : "False",
                   ", 'shape': ", ShapeLiteral(shape), ", }");
  if (!shape.empty()) {
    const std::int64_t growing = fortran ? shape.back() : shape.front();
    text.append(kGrowthDigits - std::to_string(growing).size(), ' ');
  }
  constexpr std::size_t kPreambleBytes = 10;
  const std::size_t used_bytes = kPreambleBytes + text.size() + 1;
  text.append(kElementAlignment - used_bytes % kElementAlignment, ' ');
  text.push_back('\n');
  std::string header(kMagic);
  header.append({'\x01', '\0', static_cast<char>(text.size() & 0xff),
                 static_cast<char>(text.size() >> 8)});
  return header + text;
}

}  // namespace tensord
