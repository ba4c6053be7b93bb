// The casts behind a C interface, so that one process can time them and other
// libraries in turn: cast_table.py loads this.
//
// Every function runs its work `repeats` times and returns the seconds of one.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cast/cast.h"
#include "core/cast/cast_table.h"
#include "core/cast/packed_cast.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace {

using tensord::ByteOrder;
using tensord::DType;
using tensord::Overflow;

template <class Work>
double SecondsOf(int repeats, const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) work();
  const auto end = std::chrono::steady_clock::now();
  return std::chrono::duration<double>(end - begin).count() / repeats;
}

const std::byte* Bytes(const void* src) {
  return static_cast<const std::byte*>(src);
}
std::byte* Bytes(void* dst) { return static_cast<std::byte*>(dst); }

}  // namespace

extern "C" {

// The instruction set in use.
const char* tensord_target() {
  return tensord::ActiveCastTable().target.data();
}

double tensord_cast(int from, int to, const void* src, void* dst,
                    std::size_t count, int saturate, int repeats) {
  return SecondsOf(repeats, [&] {
    tensord::CastPacked(static_cast<DType>(from), Bytes(src),
                        static_cast<DType>(to), Bytes(dst), count,
                        saturate != 0 ? Overflow::kSaturate : Overflow::kTorch,
                        nullptr);
  });
}

double tensord_cast_big_endian(int from, int to, const void* src, void* dst,
                               std::size_t count, int repeats) {
  const tensord::PackedCast cast(static_cast<DType>(from), ByteOrder::kBig,
                                 static_cast<DType>(to), ByteOrder::kLittle,
                                 Overflow::kTorch);
  const bool streamed = count * tensord::ItemSize(static_cast<DType>(to)) >=
                        tensord::kMinStreamedBytes;
  return SecondsOf(repeats, [&] {
    cast.Run(Bytes(src), Bytes(dst), count, streamed, nullptr);
    if (streamed) tensord::FinishStreaming();
  });
}

// Strides and offset are in elements.
double tensord_cast_strided(int from, int to, const void* src, int rank,
                            const std::int64_t* shape,
                            const std::int64_t* strides, std::int64_t offset,
                            void* dst, int repeats) {
  tensord::Layout layout;
  layout.shape.assign(shape, shape + rank);
  layout.strides.assign(strides, strides + rank);
  layout.offset = offset;
  const std::int64_t count = tensord::ElementCount(layout.shape);
  return SecondsOf(repeats, [&] {
    tensord::CastStrided(static_cast<DType>(from), Bytes(src), layout, 0, count,
                         static_cast<DType>(to), ByteOrder::kLittle, Bytes(dst),
                         Overflow::kTorch, nullptr);
  });
}

double tensord_memcpy(const void* src, void* dst, std::size_t bytes,
                      int repeats) {
  return SecondsOf(repeats, [&] { std::memcpy(dst, src, bytes); });
}

// What a core can read when it writes nothing.
double tensord_read(const void* src, std::size_t bytes, int repeats) {
  static volatile std::uint64_t sink;
  constexpr std::size_t kAhead = 3072;
  return SecondsOf(repeats, [&] {
    std::uint64_t all[8] = {};
    for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
      __builtin_prefetch(Bytes(src) + i + kAhead);
      std::uint64_t words[8];
      std::memcpy(words, Bytes(src) + i, 64);
      for (std::size_t j = 0; j < 8; ++j) all[j] |= words[j];
    }
    for (const std::uint64_t word : all) sink = sink | word;
  });
}

// What a core can write, past the caches, when it reads nothing.
double tensord_write(void* dst, std::size_t bytes, int repeats) {
  alignas(64) std::byte lines[512];
  std::memset(lines, 0xa5, sizeof(lines));
  const tensord::StreamLoop stream =
      tensord::ActiveCastTable().layout.stream_lines;
  return SecondsOf(repeats, [&] {
    for (std::size_t i = 0; i + sizeof(lines) <= bytes; i += sizeof(lines)) {
      stream(lines, Bytes(dst) + i, sizeof(lines));
    }
    tensord::FinishStreaming();
  });
}
}
