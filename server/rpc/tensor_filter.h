// Which tensors ListTensors shows, and in which order.
#ifndef TENSORD_SERVER_RPC_TENSOR_FILTER_H_
#define TENSORD_SERVER_RPC_TENSOR_FILTER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/device/device.h"
#include "core/dtype.h"
#include "core/store/tensor_store.h"

namespace tensord {

// A filter as ListTensorsRequest.filter describes it: a small part of AIP-160.
// Immutable.
class TensorFilter {
 public:
  static constexpr std::size_t kMaxBytes = 1024;

  // An empty text is a filter that everything passes. INVALID_ARGUMENT
  // (FILTER_INVALID), with the position and the reason.
  static absl::StatusOr<TensorFilter> Parse(std::string_view text);

  bool Matches(const StoredTensor& stored) const;

  bool matches_all() const { return terms_.empty(); }
  // What the ids of all tensors that match begin with.
  const std::string& id_prefix() const { return id_prefix_; }

 private:
  friend class TensorFilterParser;

  enum class Field : std::uint8_t {
    kName,
    kDtype,
    kDevice,
    kRequiresGrad,
    kSizeBytes,
    kCreateTime,
    kUpdateTime,
    kExpireTime,
  };
  enum class Op : std::uint8_t {
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
  };
  struct IdPattern {
    std::string text;
    // Whether ids need only begin with it.
    bool is_prefix;
  };
  struct Term {
    Field field;
    Op op;
    std::variant<IdPattern, DType, Device, bool, std::int64_t, absl::Time>
        value;
  };

  template <class T>
  static bool Holds(Op op, const T& actual, const T& wanted);
  static bool Matches(const Term& term, const StoredTensor& stored);

  std::vector<Term> terms_;
  std::string id_prefix_;
};

// An order as ListTensorsRequest.order_by describes it. Immutable.
class TensorOrder {
 public:
  // An empty text is the order of names. INVALID_ARGUMENT (ORDER_BY_INVALID).
  static absl::StatusOr<TensorOrder> Parse(std::string_view text);

  // The same order in the same words, whatever it was parsed from.
  std::string text() const;
  // Whether it is the order of the store.
  bool is_by_name() const { return field_ == Field::kName && !is_descending_; }

  // Where a tensor comes in the order. Two tensors are never at the same place.
  struct Place {
    std::int64_t key = 0;
    std::string id;
  };
  Place PlaceOf(const StoredTensor& stored) const;
  bool Before(const Place& a, const Place& b) const;

 private:
  enum class Field : std::uint8_t {
    kName,
    kCreateTime,
    kUpdateTime,
    kSizeBytes,
  };

  Field field_ = Field::kName;
  bool is_descending_ = false;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_TENSOR_FILTER_H_
