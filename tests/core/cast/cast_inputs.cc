#include "tests/core/cast/cast_inputs.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/dtype.h"

namespace tensord::testing {
namespace {

template <class T>
void Append(T element, std::vector<std::byte>& bytes) {
  const std::size_t size = bytes.size();
  bytes.resize(size + sizeof(T));
  std::memcpy(bytes.data() + size, &element, sizeof(T));
}

template <class T>
std::vector<std::byte> BytesOf(const std::vector<T>& elements) {
  std::vector<std::byte> bytes(elements.size() * sizeof(T));
  std::memcpy(bytes.data(), elements.data(), bytes.size());
  return bytes;
}

template <class Bits>
std::vector<std::byte> AllElements() {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i <= std::numeric_limits<Bits>::max(); ++i) {
    Append(static_cast<Bits>(i), bytes);
  }
  return bytes;
}

// Numbers of every width, and those whose lower part is near the half that
// decides a rounding to some mantissa.
template <class Bits>
std::vector<std::byte> Integers(std::size_t random_count) {
  constexpr int kBits = static_cast<int>(sizeof(Bits)) * 8;
  std::vector<Bits> elements;
  for (int bit = 0; bit < kBits; ++bit) {
    for (Bits delta = 0; delta < 5; ++delta) {
      const Bits edge = (Bits{1} << bit) + delta - 2;
      elements.push_back(edge);
      elements.push_back(Bits{0} - edge);
    }
  }
  for (const Bits limit : {448, 464, 480, 57344, 61440, 65504, 65520}) {
    for (Bits delta = 0; delta < 5; ++delta) {
      elements.push_back(limit + delta - 2);
    }
  }
  std::mt19937_64 random(1);
  const auto narrowed = [&] {
    return static_cast<Bits>(random()) >> (random() % kBits);
  };
  for (std::size_t i = 0; i < random_count; ++i) {
    Bits element = narrowed();
    const int kept = static_cast<int>(random() % kBits);
    if (i % 2 == 0) {
      const Bits half = Bits{1} << kept;
      element = ((element | half) & ~(half - 1)) + (random() % 3) - 1;
    }
    elements.push_back(i % 3 == 0 ? Bits{0} - element : element);
  }
  return BytesOf(elements);
}

template <class Float, class Bits>
class FloatMaker {
 public:
  static constexpr int kMantissaBits = std::numeric_limits<Float>::digits - 1;

  // Appends the number, its neighbours, and their opposites.
  void AddAround(double value) {
    const auto number = static_cast<Float>(value);
    const Float infinity = std::numeric_limits<Float>::infinity();
    for (const Float near : {number, std::nextafter(number, infinity),
                             std::nextafter(number, -infinity)}) {
      elements.push_back(std::bit_cast<Bits>(near));
      elements.push_back(std::bit_cast<Bits>(-near));
    }
  }

  void AddNaNs() {
    const Bits infinity =
        std::bit_cast<Bits>(std::numeric_limits<Float>::infinity());
    const Bits sign = Bits{1} << (sizeof(Bits) * 8 - 1);
    for (int bit = 0; bit < kMantissaBits; ++bit) {
      for (const Bits payload : {Bits{1} << bit, (Bits{2} << bit) - 1}) {
        elements.push_back(infinity | payload);
        elements.push_back(infinity | sign | payload);
      }
    }
  }

  // Any bits; or an exponent that some destination has, with a mantissa that
  // is near a half of its last place.
  void AddRandom(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto bits = static_cast<Bits>(random_());
      elements.push_back(i % 4 == 0 ? bits : NearHalf(bits));
    }
  }

  std::vector<Bits> elements;

 private:
  Bits NearHalf(Bits bits) {
    const int dropped = static_cast<int>(random_() % kMantissaBits);
    const Bits half = Bits{1} << dropped;
    const Bits mantissa =
        (bits & ((Bits{1} << kMantissaBits) - 1) & ~(half - 1)) | half;
    const int exponent = static_cast<int>(random_() % 230) - 160;
    const Float power = std::ldexp(Float{1}, exponent);
    const Bits sum = std::bit_cast<Bits>(power) + mantissa + random_() % 3 - 1;
    return random_() % 2 == 0 ? sum
                              : std::bit_cast<Bits>(-std::bit_cast<Float>(sum));
  }

  std::mt19937_64 random_{2};
};

template <class Float, class Bits>
std::vector<Bits> Floats(std::size_t random_count) {
  FloatMaker<Float, Bits> maker;
  for (int exponent = -160; exponent <= 129; ++exponent) {
    const double power = std::ldexp(1.0, exponent);
    for (const double factor : {1.0, 1.5, 1.25, 1.125, 1.0625, 1.75, 1.875}) {
      maker.AddAround(power * factor);
    }
    for (const int kept : {2, 3, 7, 10, 23}) {
      maker.AddAround(power * (2 - std::ldexp(1.0, -kept - 1)));
      maker.AddAround(power * (1 + std::ldexp(1.0, -kept - 1)));
    }
    maker.AddAround(power - 1);
    maker.AddAround(power + 1);
  }
  for (const double edge :
       {0.0, 448.0, 464.0, 480.0, 57344.0, 61440.0, 65504.0, 65520.0, 255.5,
        HUGE_VAL, 3.4028235677973366e38, 1e300, 1.7e308, 5e-324, 1e-310}) {
    maker.AddAround(edge);
  }
  maker.AddNaNs();
  maker.AddRandom(random_count);
  return maker.elements;
}

// Each element beside another one, and beside 0.
template <class Bits>
std::vector<std::byte> Pairs(const std::vector<Bits>& parts) {
  std::vector<Bits> elements;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Bits other = parts[(i * 7919 + 13) % parts.size()];
    elements.push_back(i % 16 == 1 ? 0 : parts[i]);
    elements.push_back(i % 16 <= 1 ? 0 : other);
  }
  return BytesOf(elements);
}

}  // namespace

std::vector<std::byte> CastInputs(DType dtype, std::size_t random_count) {
  switch (dtype) {
    case DType::kFloat32:
      return BytesOf(Floats<float, std::uint32_t>(random_count));
    case DType::kFloat64:
      return BytesOf(Floats<double, std::uint64_t>(random_count));
    case DType::kComplex64:
      return Pairs(Floats<float, std::uint32_t>(random_count));
    case DType::kComplex128:
      return Pairs(Floats<double, std::uint64_t>(random_count));
    default:
      break;
  }
  switch (ItemSize(dtype)) {
    case 1:
      return AllElements<std::uint8_t>();
    case 2:
      return AllElements<std::uint16_t>();
    case 4:
      return Integers<std::uint32_t>(random_count);
    default:
      return Integers<std::uint64_t>(random_count);
  }
}

}  // namespace tensord::testing
