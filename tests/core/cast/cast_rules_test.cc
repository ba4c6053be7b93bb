// Every pair of dtypes under every policy, against an oracle and against what
// PyTorch gave.
#include "core/cast/cast_rules.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/cast/cast.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_oracle.h"
#include "tests/core/cast/every_cast_table.h"

namespace tensord {
namespace {

using testing::CastInputs;
using testing::DecodeElement;
using testing::Element;
using testing::ExpectCast;
using testing::ExpectedCast;
using testing::Hex;
using testing::WithEveryCastTable;

// The rules are constants where their arguments are.
static_assert(cast_rules::Cast<std::int8_t>(300.0f) == 44);
static_assert(cast_rules::CastNearest<std::int8_t>(300.0f) == 127);
static_assert(!cast_rules::Fits<std::int8_t>(300.0f));
static_assert(cast_rules::Cast<Float16>(65520.0).bits == 0x7c00);
static_assert(cast_rules::Cast<float>(Float16{1}) == 0x1p-24f);

// Enough to meet every branch of every rule hundreds of times.
constexpr std::size_t kRandomElements = 40000;

class AllPairsTest : public ::testing::TestWithParam<DType> {
 protected:
  AllPairsTest()
      : inputs_(CastInputs(from_, kRandomElements)),
        count_(inputs_.size() / ItemSize(from_)) {
    for (std::size_t i = 0; i < count_; ++i) {
      elements_.push_back(DecodeElement(from_, Input(i)));
    }
  }

  const std::byte* Input(std::size_t i) const {
    return inputs_.data() + i * ItemSize(from_);
  }

  std::vector<std::byte> Cast(DType to, Overflow overflow,
                              CastFailures* failures) const {
    std::vector<std::byte> results(count_ * ItemSize(to));
    CastPacked(from_, inputs_.data(), to, results.data(), count_, overflow,
               failures);
    return results;
  }

  // Whether element `i` of `results` is `expected`; tells if not.
  bool Check(const std::vector<std::byte>& results, std::size_t i, DType to,
             const std::array<std::byte, 16>& expected, const char* policy) {
    const std::size_t size = ItemSize(to);
    const std::byte* const actual = results.data() + i * size;
    if (std::memcmp(actual, expected.data(), size) == 0) return true;
    ADD_FAILURE() << Name(from_) << " " << Hex(Input(i), ItemSize(from_))
                  << " to " << Name(to) << " (" << policy << ") is "
                  << Hex(actual, size) << ", not "
                  << Hex(expected.data(), size);
    return false;
  }

  void CheckPair(DType to) {
    CastFailures failures;
    const auto torch = Cast(to, Overflow::kTorch, nullptr);
    const auto saturate = Cast(to, Overflow::kSaturate, nullptr);
    const auto error = Cast(to, Overflow::kError, &failures);
    EXPECT_EQ(torch, error) << Name(to);
    std::uint64_t misfits = 0;
    int wrong = 0;
    for (std::size_t i = 0; i < count_ && wrong < 3; ++i) {
      const ExpectedCast expected = ExpectCast(elements_[i], to);
      wrong += Check(torch, i, to, expected.torch, "torch") ? 0 : 1;
      wrong += Check(saturate, i, to, expected.saturate, "saturate") ? 0 : 1;
      if (!expected.fits && misfits++ == 0) {
        EXPECT_EQ(failures.first_index, i) << Name(to);
      }
    }
    if (wrong > 0) return;
    EXPECT_EQ(failures.count, misfits) << Name(to);
  }

  const DType from_ = GetParam();
  const std::vector<std::byte> inputs_;
  const std::size_t count_;
  std::vector<Element> elements_;
};

TEST_P(AllPairsTest, AgreesWithTheOracle) {
  WithEveryCastTable([&] {
    for (const DType to : AllDTypes()) CheckPair(to);
  });
}

INSTANTIATE_TEST_SUITE_P(From, AllPairsTest, ::testing::ValuesIn(AllDTypes()),
                         [](const ::testing::TestParamInfo<DType>& param) {
                           return std::string(Name(param.param));
                         });

// ---- What PyTorch gave ------------------------------------------------------

// Reads the file that generate_cast_vectors.py describes.
class Vectors {
 public:
  explicit Vectors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string line;
    while (std::getline(file, line) && line != "data") continue;
    data_.assign(std::istreambuf_iterator<char>(file), {});
  }

  // Fails the test, and gives zeros, at the end of the file.
  std::vector<std::byte> Take(std::size_t size) {
    std::vector<std::byte> taken(size);
    EXPECT_LE(size, data_.size() - position_) << "the file is cut short";
    if (size > data_.size() - position_) return taken;
    if (size > 0) std::memcpy(taken.data(), data_.data() + position_, size);
    position_ += size;
    return taken;
  }

  std::size_t TakeCount() {
    std::uint16_t count = 0;
    std::memcpy(&count, Take(sizeof(count)).data(), sizeof(count));
    return count;
  }

  bool AtEnd() const { return position_ == data_.size(); }

 private:
  std::string data_;
  std::size_t position_ = 0;
};

void CheckVectorPair(DType from, const std::vector<std::byte>& inputs, DType to,
                     Vectors& vectors) {
  const std::size_t count = inputs.size() / ItemSize(from);
  const std::vector<std::byte> mask = vectors.Take((count + 7) / 8);
  std::vector<std::byte> results(count * ItemSize(to));
  CastPacked(from, inputs.data(), to, results.data(), count, Overflow::kTorch,
             nullptr);
  for (std::size_t i = 0; i < count; ++i) {
    if ((mask[i / 8] >> (i % 8) & std::byte{1}) == std::byte{0}) continue;
    const std::vector<std::byte> torch = vectors.Take(ItemSize(to));
    EXPECT_EQ(Hex(results.data() + i * ItemSize(to), ItemSize(to)),
              Hex(torch.data(), ItemSize(to)))
        << Name(from) << " "
        << Hex(inputs.data() + i * ItemSize(from), ItemSize(from)) << " to "
        << Name(to);
  }
}

TEST(TorchVectorsTest, CastsGiveTorchsBits) {
  WithEveryCastTable([&] {
    Vectors vectors(TENSORD_TEST_DATA_DIR "/cast_vectors.bin");
    std::vector<std::vector<std::byte>> inputs;
    for (const DType from : AllDTypes()) {
      const std::size_t count = vectors.TakeCount();
      EXPECT_GE(count, 2u) << Name(from);
      inputs.push_back(vectors.Take(count * ItemSize(from)));
    }
    for (const DType from : AllDTypes()) {
      for (const DType to : AllDTypes()) {
        CheckVectorPair(from, inputs[static_cast<std::size_t>(from)], to,
                        vectors);
        if (::testing::Test::HasFailure()) return;
      }
    }
    EXPECT_TRUE(vectors.AtEnd());
  });
}

}  // namespace
}  // namespace tensord
