// What one thread of a kernel does, for devices and for hosts that stand in for
// them.
//
// A block of kBlockThreads threads casts kBlockElements<From, To> elements.
// Where addresses allow it, a thread moves several elements at a time: 16 bytes
// on both sides where items are of one size, else 32 bytes, a whole sector of
// the device's memory, on the side with the larger items. Neighbours in a warp
// move neighbours in memory.
#ifndef TENSORD_CORE_DEVICE_CUDA_CAST_KERNEL_INL_H_
#define TENSORD_CORE_DEVICE_CUDA_CAST_KERNEL_INL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/cast/cast_rules.h"
#include "core/cast/host_device.h"
#include "core/device/cuda/cast_launch.h"

namespace tensord::cuda_kernels {

inline constexpr std::uint32_t kBlockThreads = 256;

// Moves of a thread that are under way at a time.
inline constexpr std::uint32_t kUnroll = 4;

template <class From, class To>
inline constexpr std::uint32_t kPacketElements =
    sizeof(From) == sizeof(To)
        ? 16 / sizeof(From)
        : 32 / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));

template <class From, class To>
inline constexpr std::uint32_t kBlockElements =
    kBlockThreads* kUnroll* kPacketElements<From, To>;

// What a thread found not to fit.
struct ThreadFailures {
  std::uint32_t count = 0;
  std::uint64_t inverted_first = 0;

  TENSORD_HOST_DEVICE void Add(std::uint64_t position) {
    ++count;
    if (~position > inverted_first) inverted_first = ~position;
  }
};

// Elements that are moved together.
template <class T, std::uint32_t kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Packet {
  T elements[kCount];
};

#ifdef TENSORD_DEVICE_CODE
template <std::size_t kBytes>
struct MachineWord;
template <>
struct MachineWord<1> {
  using Type = unsigned char;
};
template <>
struct MachineWord<2> {
  using Type = unsigned short;  // NOLINT(google-runtime-int)
};
template <>
struct MachineWord<4> {
  using Type = unsigned int;
};
template <>
struct MachineWord<8> {
  using Type = uint2;
};
template <>
struct MachineWord<16> {
  using Type = uint4;
};
#endif

// What is read and written once does not stay in the caches.
template <class Packet>
TENSORD_HOST_DEVICE Packet LoadPacket(const std::byte* src) {
  Packet packet;
#ifdef TENSORD_DEVICE_CODE
  using Word = typename MachineWord<alignof(Packet)>::Type;
  Word words[sizeof(Packet) / sizeof(Word)];
  for (std::size_t i = 0; i < sizeof(Packet) / sizeof(Word); ++i) {
    words[i] = __ldcs(reinterpret_cast<const Word*>(src) + i);
  }
  std::memcpy(&packet, words, sizeof(packet));
#else
  std::memcpy(&packet, src, sizeof(packet));
#endif
  return packet;
}

template <class Packet>
TENSORD_HOST_DEVICE void StorePacket(const Packet& packet, std::byte* dst) {
#ifdef TENSORD_DEVICE_CODE
  using Word = typename MachineWord<alignof(Packet)>::Type;
  Word words[sizeof(Packet) / sizeof(Word)];
  std::memcpy(words, &packet, sizeof(packet));
  for (std::size_t i = 0; i < sizeof(Packet) / sizeof(Word); ++i) {
    __stcs(reinterpret_cast<Word*>(dst) + i, words[i]);
  }
#else
  std::memcpy(dst, &packet, sizeof(packet));
#endif
}

TENSORD_HOST_DEVICE inline bool IsAligned(const std::byte* address,
                                          std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(address) % alignment == 0;
}

// The thread `thread` of block `block` of a cast.
template <class From, class To, bool kNearest>
class CastThread {
 public:
  static constexpr std::uint32_t kElements = kPacketElements<From, To>;
  using FromPacket = Packet<From, kElements>;
  using ToPacket = Packet<To, kElements>;

  TENSORD_HOST_DEVICE CastThread(const CastLaunch& launch, std::uint64_t block,
                                 std::uint32_t thread)
      : launch_(launch),
        first_(block * kBlockElements<From, To>),
        thread_(thread) {}

  TENSORD_HOST_DEVICE ThreadFailures Run() {
    if (!IsAligned(launch_.src, alignof(FromPacket)) ||
        !IsAligned(launch_.dst, alignof(ToPacket))) {
      CastSingly(first_ + thread_, kBlockThreads,
                 first_ + kBlockElements<From, To>);
    } else if (first_ + kBlockElements<From, To> <= launch_.count) {
      CastPackets();
    } else {
      CastRest();
    }
    return failures_;
  }

 private:
  TENSORD_HOST_DEVICE std::uint64_t PacketStart(std::uint32_t index) const {
    return first_ +
           (std::uint64_t{index} * kBlockThreads + thread_) * kElements;
  }

  TENSORD_HOST_DEVICE void CastPackets() {
    FromPacket sources[kUnroll];
    for (std::uint32_t i = 0; i < kUnroll; ++i) {
      sources[i] =
          LoadPacket<FromPacket>(launch_.src + PacketStart(i) * sizeof(From));
    }
    for (std::uint32_t i = 0; i < kUnroll; ++i) {
      CastPacket(sources[i], PacketStart(i));
    }
  }

  // A block that is not full.
  TENSORD_HOST_DEVICE void CastRest() {
    for (std::uint32_t i = 0; i < kUnroll; ++i) {
      const std::uint64_t start = PacketStart(i);
      if (start + kElements <= launch_.count) {
        CastPacket(LoadPacket<FromPacket>(launch_.src + start * sizeof(From)),
                   start);
      } else {
        CastSingly(start, 1, start + kElements);
      }
    }
  }

  TENSORD_HOST_DEVICE void CastPacket(const FromPacket& source,
                                      std::uint64_t position) {
    ToPacket result;
    for (std::uint32_t i = 0; i < kElements; ++i) {
      result.elements[i] = CastElement(source.elements[i], position + i);
    }
    StorePacket(result, launch_.dst + position * sizeof(To));
  }

  // Every `step`-th element from `begin` on, as far as there are any.
  TENSORD_HOST_DEVICE void CastSingly(std::uint64_t begin, std::uint64_t step,
                                      std::uint64_t end) {
    using FromElement = Packet<From, 1>;
    using ToElement = Packet<To, 1>;
    for (std::uint64_t i = begin; i < end && i < launch_.count; i += step) {
      const auto source =
          LoadPacket<FromElement>(launch_.src + i * sizeof(From));
      const ToElement result{{CastElement(source.elements[0], i)}};
      StorePacket(result, launch_.dst + i * sizeof(To));
    }
  }

  TENSORD_HOST_DEVICE To CastElement(From source, std::uint64_t position) {
    if constexpr (cast_rules::kMayMisfit<To, From> && !kNearest) {
      if (launch_.failures != nullptr && !cast_rules::Fits<To>(source)) {
        failures_.Add(launch_.first_position + position);
      }
    }
    if constexpr (kNearest) {
      return cast_rules::CastNearest<To>(source);
    } else {
      return cast_rules::Cast<To>(source);
    }
  }

  const CastLaunch& launch_;
  // Of the block.
  std::uint64_t first_;
  std::uint32_t thread_;
  ThreadFailures failures_;
};

template <class From, class To>
TENSORD_HOST_DEVICE ThreadFailures RunCastThread(const CastLaunch& launch,
                                                 std::uint64_t block,
                                                 std::uint32_t thread) {
  if constexpr (cast_rules::kMayMisfit<To, From>) {
    if (launch.overflow == Overflow::kSaturate) {
      return CastThread<From, To, true>(launch, block, thread).Run();
    }
  }
  return CastThread<From, To, false>(launch, block, thread).Run();
}

// A block packs this many elements.
inline constexpr std::uint32_t kGatherBlockElements = kBlockThreads * kUnroll;

// Where an element of a layout lies. Division of 32 bits is several times
// faster.
template <class Index>
TENSORD_HOST_DEVICE std::int64_t ElementOffset(const GatherLaunch& launch,
                                               Index index) {
  std::int64_t offset = 0;
  for (std::uint32_t dim = launch.rank; dim-- > 1;) {
    const auto size = static_cast<Index>(launch.shape[dim]);
    const Index rest = index / size;
    offset +=
        static_cast<std::int64_t>(index - rest * size) * launch.strides[dim];
    index = rest;
  }
  return offset + static_cast<std::int64_t>(index) * launch.strides[0];
}

template <std::size_t kItemSize>
TENSORD_HOST_DEVICE void RunGatherThread(const GatherLaunch& launch,
                                         std::uint64_t block,
                                         std::uint32_t thread) {
  using Element = Packet<std::uint8_t, kItemSize>;
  const bool is_short = launch.total <= std::uint64_t{UINT32_MAX};
  for (std::uint32_t i = 0; i < kUnroll; ++i) {
    const std::uint64_t position = block * kGatherBlockElements +
                                   std::uint64_t{i} * kBlockThreads + thread;
    if (position >= launch.count) return;
    const std::uint64_t index = launch.begin + position;
    const std::int64_t offset =
        is_short ? ElementOffset(launch, static_cast<std::uint32_t>(index))
                 : ElementOffset(launch, index);
    const auto element = LoadPacket<Element>(
        launch.src + offset * static_cast<std::int64_t>(kItemSize));
    StorePacket(element, launch.dst + position * kItemSize);
  }
}

}  // namespace tensord::cuda_kernels

#endif  // TENSORD_CORE_DEVICE_CUDA_CAST_KERNEL_INL_H_
