#include "core/cast/element_text.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "core/dtype.h"
#include "core/scalar_types.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

template <class T>
std::string Text(T element) {
  return ElementText(kDTypeOf<T>, reinterpret_cast<const std::byte*>(&element));
}

TEST(ElementTextTest, IntegersAndBools) {
  EXPECT_EQ(Text(Bool{0}), "False");
  EXPECT_EQ(Text(Bool{7}), "True");
  EXPECT_EQ(Text(std::int8_t{-128}), "-128");
  EXPECT_EQ(Text(std::uint8_t{200}), "200");
  EXPECT_EQ(Text(std::numeric_limits<std::int64_t>::min()),
            "-9223372036854775808");
  EXPECT_EQ(Text(std::numeric_limits<std::uint64_t>::max()),
            "18446744073709551615");
}

TEST(ElementTextTest, FloatsAreWhatReprPrints) {
  EXPECT_EQ(Text(0.0), "0.0");
  EXPECT_EQ(Text(-0.0), "-0.0");
  EXPECT_EQ(Text(300.0), "300.0");
  EXPECT_EQ(Text(-1.5), "-1.5");
  EXPECT_EQ(Text(0.1), "0.1");
  EXPECT_EQ(Text(0.0001), "0.0001");
  EXPECT_EQ(Text(0.00001), "1e-05");
  EXPECT_EQ(Text(1.25e-7), "1.25e-07");
  EXPECT_EQ(Text(123456.789), "123456.789");
  EXPECT_EQ(Text(1e15), "1000000000000000.0");
  EXPECT_EQ(Text(9007199254740993.0), "9007199254740992.0");
  EXPECT_EQ(Text(1e16), "1e+16");
  EXPECT_EQ(Text(1e20), "1e+20");
  EXPECT_EQ(Text(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(Text(5e-324), "5e-324");
}

TEST(ElementTextTest, NaNAndInfinity) {
  EXPECT_EQ(Text(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(Text(-std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(Text(std::numeric_limits<float>::infinity()), "inf");
  EXPECT_EQ(Text(-std::numeric_limits<float>::infinity()), "-inf");
}

TEST(ElementTextTest, NarrowFloatsPrintAsTheDoubleOfTheSameValue) {
  EXPECT_EQ(Text(300.1f), "300.1000061035156");
  EXPECT_EQ(Text(1e20f), "1.0000000200408773e+20");
  EXPECT_EQ(Text(Float16{0x3555}), "0.333251953125");
  EXPECT_EQ(Text(BFloat16{0x4396}), "300.0");
  EXPECT_EQ(Text(Float8E4M3FN{0x7e}), "448.0");
  EXPECT_EQ(Text(Float8E5M2{0xfb}), "-57344.0");
}

TEST(ElementTextTest, ComplexNumbersAreWhatReprPrints) {
  EXPECT_EQ(Text(Complex64{300, 1.5f}), "(300+1.5j)");
  EXPECT_EQ(Text(Complex128{-0.0, -2}), "(-0-2j)");
  EXPECT_EQ(Text(Complex128{0, 1}), "1j");
  EXPECT_EQ(Text(Complex128{1e20, -0.0}), "(1e+20-0j)");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Text(Complex128{nan, -nan}), "(nan+nanj)");
}

}  // namespace
}  // namespace tensord
