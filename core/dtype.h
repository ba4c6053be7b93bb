// The types of elements: their names, sizes and kinds. Values and free
// functions; thread-safe.
#ifndef TENSORD_CORE_DTYPE_H_
#define TENSORD_CORE_DTYPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensord {

// In the order of ScalarTypes in scalar_types.h, of the tables of casts and,
// plus one, of the wire's enum.
enum class DType : std::uint8_t {
  kBool,
  kUInt8,
  kUInt16,
  kUInt32,
  kUInt64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFloat16,
  kBFloat16,
  kFloat32,
  kFloat64,
  kComplex64,
  kComplex128,
  kFloat8E4M3FN,
  kFloat8E5M2,
};

inline constexpr std::size_t kDTypeCount = 17;

// Every dtype, in order.
constexpr std::array<DType, kDTypeCount> AllDTypes() {
  std::array<DType, kDTypeCount> all{};
  for (std::size_t i = 0; i < kDTypeCount; ++i) all[i] = static_cast<DType>(i);
  return all;
}

enum class DTypeKind : std::uint8_t {
  kBool,
  kUnsigned,
  kSigned,
  kFloating,
  kComplex
};

enum class ByteOrder : std::uint8_t { kLittle, kBig };

// Bytes of one element: 1, 2, 4, 8 or 16.
std::size_t ItemSize(DType dtype);

// Size of the unit whose bytes a byte swap reverses: the item size, or half of
// it for complex numbers.
std::size_t SwapUnit(DType dtype);

DTypeKind Kind(DType dtype);

// Whether tensors of this dtype can require grad: floating point (8 bits
// included) and complex.
bool IsDifferentiable(DType dtype);

// Whether each value of `source`, infinities included, is one of `dtype` too,
// so that a conversion loses nothing. Truth values are those of kBool alone.
bool HoldsEveryValue(DType dtype, DType source);

// PyTorch's name: "float32".
std::string_view Name(DType dtype);

// NumPy's descr in the given byte order: "<f4", ">c8", "|u1". bfloat16 is "<V2"
// and float8 "|V1", which is what numpy.save writes for ml_dtypes' types.
std::string_view NumpyDescr(DType dtype, ByteOrder order);

// The dtype with PyTorch's name `name`, aliases included ("float", "half",
// "double", "int", "long", "short", "cfloat", "cdouble"); nothing if there is
// none.
std::optional<DType> DTypeFromName(std::string_view name);

// What a NumPy descr says: a dtype and its byte order, or raw bytes (`V1`,
// `V2`) that only the sender can name.
struct NumpyType {
  // Nothing for `V1`, `V2`.
  std::optional<DType> dtype;
  ByteOrder order;
  // Bytes of one element.
  std::size_t item_size;
};

// Reads a descr: one of < > | = or nothing, a letter, a size; `<f1` is taken
// for raw bytes of size 1, as ml_dtypes writes it. Errors, all
// INVALID_ARGUMENT: DTYPE_UNKNOWN, DTYPE_OBJECT_FORBIDDEN (O),
// DTYPE_UNSUPPORTED (U S a M m, long double and its complex).
absl::StatusOr<NumpyType> ParseNumpyDescr(std::string_view descr);

}  // namespace tensord

#endif  // TENSORD_CORE_DTYPE_H_
