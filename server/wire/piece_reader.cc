#include "server/wire/piece_reader.h"

#include <algorithm>

namespace tensord {
namespace {

// protobuf reads tags and lengths as varints of at most 5 bytes.
constexpr int kShortVarintBytes = 5;
constexpr int kVarintBytes = 10;

}  // namespace

PieceReader::PieceReader(absl::Span<const std::string_view> pieces)
    : pieces_(pieces) {
  for (std::string_view piece : pieces_) remaining_ += piece.size();
}

void PieceReader::NextNonEmpty() {
  while (position_ == pieces_[piece_].size()) {
    ++piece_;
    position_ = 0;
  }
}

bool PieceReader::ReadByte(std::uint8_t& byte) {
  if (remaining_ == 0) return false;
  NextNonEmpty();
  byte = static_cast<std::uint8_t>(pieces_[piece_][position_]);
  ++position_;
  --remaining_;
  return true;
}

template <class Use>
void PieceReader::Walk(std::size_t length, Use use) {
  remaining_ -= length;
  while (length > 0) {
    NextNonEmpty();
    const std::string_view part = pieces_[piece_].substr(position_, length);
    use(part);
    position_ += part.size();
    length -= part.size();
  }
}

void PieceReader::Take(std::size_t length, std::vector<std::string_view>& out) {
  Walk(length, [&](std::string_view part) { out.push_back(part); });
}

void PieceReader::Copy(std::size_t length, std::string& out) {
  Walk(length, [&](std::string_view part) { out.append(part); });
}

bool PieceReader::Skip(std::uint64_t length) {
  if (length > remaining_) return false;
  Walk(static_cast<std::size_t>(length), [](std::string_view) {});
  return true;
}

bool PieceReader::ReadVarint(std::uint64_t& value) {
  value = 0;
  for (int i = 0; i < kVarintBytes; ++i) {
    std::uint8_t byte = 0;
    if (!ReadByte(byte)) return false;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return true;
  }
  return false;
}

bool PieceReader::ReadTag(std::uint32_t& number, WireType& type) {
  std::uint32_t tag = 0;
  for (int i = 0;; ++i) {
    std::uint8_t byte = 0;
    if (i == kShortVarintBytes || !ReadByte(byte)) return false;
    tag |= static_cast<std::uint32_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) break;
  }
  number = tag >> 3;
  type = static_cast<WireType>(tag & 7);
  return number != 0 && (tag & 7) <= 5;
}

bool PieceReader::ReadLength(std::size_t& length) {
  std::uint64_t value = 0;
  for (int i = 0;; ++i) {
    std::uint8_t byte = 0;
    if (i == kShortVarintBytes || !ReadByte(byte)) return false;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) break;
  }
  length = static_cast<std::size_t>(value);
  return value <= remaining_;
}

bool PieceReader::ReadFixed32(std::uint32_t& value) {
  value = 0;
  for (int i = 0; i < 4; ++i) {
    std::uint8_t byte = 0;
    if (!ReadByte(byte)) return false;
    value |= static_cast<std::uint32_t>(byte) << (8 * i);
  }
  return true;
}

bool PieceReader::SkipValue(WireType type) {
  std::uint64_t ignored = 0;
  std::size_t length = 0;
  switch (type) {
    case WireType::kVarint:
      return ReadVarint(ignored);
    case WireType::kFixed64:
      return Skip(8);
    case WireType::kFixed32:
      return Skip(4);
    case WireType::kLength:
      return ReadLength(length) && Skip(length);
    case WireType::kStartGroup:
    case WireType::kEndGroup:
      return false;
  }
  return false;
}

std::size_t PieceReader::PushLimit(std::size_t length) {
  const std::size_t outer = remaining_ - length;
  remaining_ = length;
  return outer;
}

}  // namespace tensord
