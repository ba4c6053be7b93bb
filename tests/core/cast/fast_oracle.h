// The oracle of casts for hundreds of millions of elements: cast_oracle.h says
// the same, one element at a time and a thousand times slower, and checks this
// one.
//
// Neither is made of what the code under test is made of. Here, a block of
// elements becomes a block of 64-bit integers or doubles, once for all
// destinations; conversions are the compiler's own, within their range; and
// the 16- and 8-bit floats are rounded by adding, as doubles, a power of two
// whose last place is the destination's.
#ifndef TENSORD_TESTS_CORE_CAST_FAST_ORACLE_H_
#define TENSORD_TESTS_CORE_CAST_FAST_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace tensord::testing {

// A block of elements. Not thread-safe: keeps what destinations share.
class FastOracle {
 public:
  // What the elements of a dtype become before they are cast.
  enum class Kind { kUnsigned, kSigned, kReal };

  explicit FastOracle(DType from);

  // Takes `count` packed elements, which must outlive their use.
  void Take(const std::byte* elements, std::size_t count);

  // The results of the elements, packed, under Overflow::kTorch and kSaturate;
  // and 1 for those that Overflow::kError reports, 0 for others.
  void Expect(DType to, std::byte* torch, std::byte* saturate,
              std::uint8_t* misfits);

  // Whether kSaturate differs from kTorch, or anything is reported.
  static bool MayMisfit(DType from, DType to);

 private:
  template <class Visitor>
  void Visit(Visitor visitor) const;
  void TakeFloats(const std::byte* elements);
  void TruncateReal();
  void RoundToFloats();
  // REQUIRES: !MayMisfit(from_, to).
  void ExpectFitting(DType to, std::byte* results);

  const DType from_;
  const Kind kind_;
  const std::byte* elements_ = nullptr;
  std::size_t count_ = 0;
  std::vector<std::uint64_t> unsigned_;
  std::vector<std::int64_t> signed_;
  std::vector<double> real_;
  // Empty but for complex sources.
  std::vector<double> imag_;
  // The real parts as integers; the lowest that there is, for what is none.
  std::vector<std::int32_t> truncated32_;
  std::vector<std::int64_t> truncated64_;
  // As PyTorch makes uint64 of them.
  std::vector<std::uint64_t> wrapped_;
  // The integers, or the real parts, rounded.
  std::vector<float> floats_;
  // Those, rounded once more, while one destination is expected.
  std::vector<std::uint32_t> codes_;
  // By code, of the sources of 8 and 16 bits that are floats.
  std::vector<double> decoded_;
};

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_FAST_ORACLE_H_
