#include "client/cpp/src/array_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/npy_file.h"
#include "client/cpp/src/proto_convert.h"
#include "core/cast/cast.h"
#include "core/error.h"

namespace tensord::client {
namespace {

// Whether walking `shape` by either strides reaches the same elements. Strides
// of dimensions that are never stepped along do not matter.
bool SameWalk(const Dims& shape, const Dims& a, const Dims& b) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] > 1 && a[i] != b[i]) return false;
  }
  return true;
}

// The order of a dense layout, if it has a name.
std::optional<Order> NamedOrder(const Layout& layout) {
  for (const Order order : {Order::kC, Order::kF}) {
    if (SameWalk(layout.shape, layout.strides,
                 DenseStrides(layout.shape, order))) {
      return order;
    }
  }
  return std::nullopt;
}

// Strides of a dense array in the order of dimensions of `layout`, which is
// dense; those that do not matter are made orderly.
Dims OrderlyStrides(const Layout& layout) {
  if (const std::optional<Order> order = NamedOrder(layout)) {
    return DenseStrides(layout.shape, *order);
  }
  Dims strides = layout.strides;
  for (std::size_t i = 0; i < strides.size(); ++i) {
    if (layout.shape[i] == 1) strides[i] = 1;
  }
  return strides;
}

// Whether the layout has an order of dimensions to keep.
bool KeepsOrder(const Layout& layout) {
  return ElementCount(layout.shape) > 0 && IsDense(layout);
}

// The strides of an array in elements.
absl::StatusOr<Dims> ElementStrides(const ArrayView& array,
                                    std::size_t item_size) {
  if (array.byte_strides.empty()) return DenseStrides(array.shape, Order::kC);
  if (array.byte_strides.size() != array.shape.size()) {
    return InvalidArgument(
        reason::kStridesInvalid,
        absl::StrCat(array.byte_strides.size(), " strides for ",
                     array.shape.size(), " dimensions"),
        "array.strides");
  }
  const auto item = static_cast<std::int64_t>(item_size);
  const bool empty = ElementCount(array.shape) == 0;
  Dims strides(array.shape.size(), 0);
  for (std::size_t i = 0; i < strides.size(); ++i) {
    if (empty || array.shape[i] == 1) continue;
    if (array.byte_strides[i] % item != 0) {
      return InvalidArgument(
          reason::kStridesInvalid,
          absl::StrCat("stride of ", array.byte_strides[i],
                       " bytes is not a multiple of the item size, ", item),
          "array.strides");
    }
    strides[i] = array.byte_strides[i] / item;
  }
  return strides;
}

// An integer type of the same size: copying it never looks at values.
DType CopyType(std::size_t item_size) {
  switch (item_size) {
    case 1:
      return DType::kUInt8;
    case 2:
      return DType::kUInt16;
    case 4:
      return DType::kUInt32;
    case 8:
      return DType::kUInt64;
    default:
      return DType::kComplex128;
  }
}

void SetOrder(const Layout& layout, v1::ArraySpec* spec) {
  const std::optional<Order> order = NamedOrder(layout);
  if (!order) {
    const Dims strides = OrderlyStrides(layout);
    spec->mutable_strides()->Add(strides.begin(), strides.end());
  } else {
    spec->set_order(*order == Order::kC ? v1::ORDER_C : v1::ORDER_F);
  }
}

// The strides that a server's spec says; nothing if they make no sense.
// REQUIRES: `shape` is the spec's, and sound.
std::optional<Dims> SpecStrides(const v1::ArraySpec& spec, const Dims& shape) {
  if (spec.strides().empty()) {
    const bool is_f = spec.order() == v1::ORDER_F;
    return DenseStrides(shape, is_f ? Order::kF : Order::kC);
  }
  if (static_cast<std::size_t>(spec.strides_size()) != shape.size()) {
    return std::nullopt;
  }
  return Dims(spec.strides().begin(), spec.strides().end());
}

std::string Describe(const v1::ArraySpec& spec) {
  if (static_cast<std::size_t>(spec.shape_size()) > kMaxDimensions) {
    return absl::StrCat("an array of ", spec.shape_size(), " dimensions");
  }
  const std::optional<DType> dtype = FromProto(spec.dtype());
  const Dims shape(spec.shape().begin(), spec.shape().end());
  const std::string name(dtype ? Name(*dtype) : "an unknown dtype");
  return absl::StrCat(name, " ", ShapeString(shape),
                      spec.strides().empty() && spec.order() != v1::ORDER_F
                          ? ""
                          : " in another order than C");
}

bool SpecMatches(const v1::ArraySpec& spec, const ArrayLayout& expected) {
  if (FromProto(spec.dtype()) != expected.dtype) return false;
  if (spec.byte_order() == v1::BYTE_ORDER_BIG_ENDIAN) return false;
  if (!std::equal(spec.shape().begin(), spec.shape().end(),
                  expected.shape.begin(), expected.shape.end())) {
    return false;
  }
  if (expected.size_bytes == 0) return true;
  const std::optional<Dims> strides = SpecStrides(spec, expected.shape);
  if (!strides) return false;
  const auto item = static_cast<std::int64_t>(ItemSize(expected.dtype));
  for (std::size_t i = 0; i < strides->size(); ++i) {
    if (expected.shape[i] > 1 &&
        (*strides)[i] != expected.byte_strides[i] / item) {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::Status CheckReach(const Layout& layout, std::size_t item_size) {
  if (ElementCount(layout.shape) == 0) return absl::OkStatus();
  std::int64_t reach = 0;
  for (std::size_t i = 0; i < layout.shape.size(); ++i) {
    const std::int64_t stride = layout.strides[i];
    std::int64_t bytes;
    if (stride == INT64_MIN ||
        __builtin_mul_overflow(layout.shape[i] - 1,
                               stride < 0 ? -stride : stride, &bytes) ||
        __builtin_mul_overflow(bytes, static_cast<std::int64_t>(item_size),
                               &bytes) ||
        __builtin_add_overflow(reach, bytes, &reach)) {
      return InvalidArgument(
          reason::kStridesInvalid,
          absl::StrCat("stride of ", stride, " elements in a dimension of ",
                       layout.shape[i],
                       " reaches beyond what 64 bits can address"),
          "array.strides");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SendPlan> PlanSend(const ArrayView& array) {
  SendPlan plan;
  plan.item_size = ItemSize(array.dtype);
  const absl::StatusOr<std::int64_t> count =
      CheckedElementCount(array.shape, plan.item_size);
  if (!count.ok()) return count.status();
  if (*count > 0 && array.data == nullptr) {
    return InvalidArgument(
        reason::kArrayMissing,
        absl::StrCat("no data for an array of ", *count, " elements"),
        "array.data");
  }
  absl::StatusOr<Dims> strides = ElementStrides(array, plan.item_size);
  if (!strides.ok()) return strides.status();
  plan.layout = {array.shape, *std::move(strides), 0};
  if (absl::Status status = CheckReach(plan.layout, plan.item_size);
      !status.ok()) {
    return status;
  }
  plan.total_bytes = *count * static_cast<std::int64_t>(plan.item_size);
  plan.data = static_cast<const std::byte*>(array.data);
  plan.in_place = *count == 0 || IsDense(plan.layout);
  plan.spec.set_dtype(ToProto(array.dtype));
  plan.spec.mutable_shape()->Add(array.shape.begin(), array.shape.end());
  if (array.byte_order == ByteOrder::kBig) {
    plan.spec.set_byte_order(v1::BYTE_ORDER_BIG_ENDIAN);
  }
  if (KeepsOrder(plan.layout)) SetOrder(plan.layout, &plan.spec);
  return plan;
}

SendPlan PlanSend(const NpyReader& file) {
  SendPlan plan;
  plan.item_size = ItemSize(file.dtype());
  plan.layout = file.layout();
  plan.total_bytes = file.size_bytes();
  plan.file = &file;
  plan.spec.set_dtype(ToProto(file.dtype()));
  const Dims& shape = file.layout().shape;
  plan.spec.mutable_shape()->Add(shape.begin(), shape.end());
  if (file.byte_order() == ByteOrder::kBig) {
    plan.spec.set_byte_order(v1::BYTE_ORDER_BIG_ENDIAN);
  }
  SetOrder(plan.layout, &plan.spec);
  return plan;
}

v1::ArrayDeclaration Declare(const SendPlan& plan) {
  v1::ArrayDeclaration declaration;
  *declaration.mutable_raw() = plan.spec;
  declaration.set_total_bytes(plan.total_bytes);
  return declaration;
}

void Gather(const SendPlan& plan, std::int64_t begin, std::int64_t count,
            std::byte* destination) {
  const DType type = CopyType(plan.item_size);
  CastStrided(type, plan.data, plan.layout, begin, count, type,
              ByteOrder::kLittle, destination, Overflow::kTorch, nullptr);
}

std::string Pack(const SendPlan& plan) {
  std::string bytes(static_cast<std::size_t>(plan.total_bytes), '\0');
  if (bytes.empty()) return bytes;
  if (plan.file != nullptr) {
    plan.file->Read(0, bytes.size(),
                    reinterpret_cast<std::byte*>(bytes.data()));
  } else if (plan.in_place) {
    bytes.assign(reinterpret_cast<const char*>(plan.data), bytes.size());
  } else {
    Gather(plan, 0, ElementCount(plan.layout.shape),
           reinterpret_cast<std::byte*>(bytes.data()));
  }
  return bytes;
}

absl::StatusOr<ArrayLayout> DenseResult(const Layout& layout, DType dtype,
                                        std::optional<Order> order) {
  const auto item = static_cast<std::int64_t>(ItemSize(dtype));
  const absl::StatusOr<std::int64_t> count =
      CheckedElementCount(layout.shape, ItemSize(dtype));
  if (!count.ok()) return count.status();
  ArrayLayout result;
  result.dtype = dtype;
  result.shape = layout.shape;
  result.byte_strides =
      !order && KeepsOrder(layout)
          ? OrderlyStrides(layout)
          : DenseStrides(layout.shape, order.value_or(Order::kC));
  // No product overflows: CheckedElementCount bounds that of all dimensions but
  // the empty ones.
  for (std::int64_t& stride : result.byte_strides) stride *= item;
  result.size_bytes = static_cast<std::size_t>(*count * item);
  return result;
}

absl::StatusOr<ArrayLayout> LayoutOfRead(const TensorInfo& tensor,
                                         const ReadOptions& options) {
  const absl::StatusOr<Layout> layout =
      IndexLayout({tensor.shape, tensor.strides, 0}, options.index);
  if (!layout.ok()) return layout.status();
  return DenseResult(*layout, options.dtype.value_or(tensor.dtype),
                     options.order);
}

std::optional<Order> OrderOf(const ArrayLayout& result) {
  const auto item = static_cast<std::int64_t>(ItemSize(result.dtype));
  Layout layout{result.shape, result.byte_strides, 0};
  for (std::int64_t& stride : layout.strides) stride /= item;
  return NamedOrder(layout);
}

absl::Status CheckDestination(std::size_t size_bytes,
                              const ArrayLayout& result) {
  if (size_bytes == result.size_bytes) return absl::OkStatus();
  return InvalidArgument(
      reason::kSizeMismatch,
      absl::StrCat("destination has ", size_bytes, " bytes, the result has ",
                   result.size_bytes),
      "destination");
}

absl::Status CheckSpec(const v1::ArraySpec& spec, const ArrayLayout& expected) {
  if (SpecMatches(spec, expected)) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kAborted, reason::kEtagMismatch,
      absl::StrCat("the server's array is not the one expected: it sends ",
                   Describe(spec), ", expected is ",
                   std::string(Name(expected.dtype)), " ",
                   ShapeString(expected.shape),
                   "; the tensor may have been replaced"));
}

}  // namespace tensord::client
