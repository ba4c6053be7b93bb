// Reads the protobuf wire format from bytes that lie in several pieces.
#ifndef TENSORD_SERVER_WIRE_PIECE_READER_H_
#define TENSORD_SERVER_WIRE_PIECE_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace tensord {

// How a field's value is written; wire types 3 and 4 are groups.
enum class WireType : std::uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

// A cursor over untrusted bytes. Total: every method returns false rather than
// read past the end or past the limit, and a reader that returned false once is
// not used again. Numbers are read as protobuf's own parser reads them, with
// the same bounds on the length of varints. Not thread-safe. The pieces have to
// outlive it.
class PieceReader {
 public:
  explicit PieceReader(absl::Span<const std::string_view> pieces);

  // Bytes up to the end of the innermost limit.
  std::size_t remaining() const { return remaining_; }

  // A field's number and wire type. False for number 0 and wire types that do
  // not exist.
  bool ReadTag(std::uint32_t& number, WireType& type);
  // Up to 10 bytes; bits beyond 64 are dropped.
  bool ReadVarint(std::uint64_t& value);
  bool ReadFixed32(std::uint32_t& value);
  // The length of a kLength field; false if it exceeds what remains.
  bool ReadLength(std::size_t& length);
  // Moves over the value of a field of `type`; false for groups.
  bool SkipValue(WireType type);

  // Hands out the next `length` bytes where they are. REQUIRES: length <=
  // remaining().
  void Take(std::size_t length, std::vector<std::string_view>& out);
  // The same as a copy, appended to `out`.
  void Copy(std::size_t length, std::string& out);

  // Makes the end of the next `length` bytes the end; returns what to give to
  // PopLimit. REQUIRES: length <= remaining().
  std::size_t PushLimit(std::size_t length);
  // Takes a limit back. REQUIRES: remaining() == 0.
  void PopLimit(std::size_t outer) { remaining_ = outer; }

 private:
  bool ReadByte(std::uint8_t& byte);
  bool Skip(std::uint64_t length);
  // Goes on to a piece that has bytes left. REQUIRES: remaining() > 0.
  void NextNonEmpty();
  // Calls `use` with parts of the next `length` bytes.
  template <class Use>
  void Walk(std::size_t length, Use use);

  absl::Span<const std::string_view> pieces_;
  // Index of the current piece and position in it.
  std::size_t piece_ = 0;
  std::size_t position_ = 0;
  std::size_t remaining_ = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_WIRE_PIECE_READER_H_
