#include "core/cast/conversion_comparison.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/cast/cast.h"
#include "core/cast/cast_stream.h"
#include "core/dtype.h"
#include "gtest/gtest.h"
#include "tests/core/cast/cast_inputs.h"
#include "tests/core/cast/cast_oracle.h"

namespace tensord {
namespace {

using testing::CastInputs;
using testing::DecodeElement;
using testing::Element;
using testing::ExpectCast;
using testing::ExpectedCast;
using testing::Number;

constexpr Overflow kPolicies[] = {Overflow::kTorch, Overflow::kSaturate,
                                  Overflow::kError};

bool IsInteger(DType dtype) {
  return Kind(dtype) == DTypeKind::kSigned ||
         Kind(dtype) == DTypeKind::kUnsigned;
}

bool IsFinite(const Number& number) {
  return !number.is_nan && std::isfinite(number.value);
}

// Whether a part of an element did not fit. `unsaturated` is what PyTorch's
// rules make of it, `integer_fits` what the oracle says of integers.
bool Overflowed(const Number& source, const Number& result,
                const Number& unsaturated, DType to, bool integer_fits) {
  if (source.is_nan) return false;
  if (IsInteger(to)) return !integer_fits;
  return IsFinite(source) ? !IsFinite(unsaturated) : !std::isinf(result.value);
}

bool Differs(const Number& source, const Number& result) {
  return !source.is_nan && source.value != result.value;
}

// What a report on one element has to say.
ConversionReport Expected(const Element& source, const ExpectedCast& cast,
                          const Element& result, DType to) {
  if (source.dtype == to || to == DType::kBool) return {};
  const Element unsaturated = DecodeElement(to, cast.torch.data());
  const bool both_complex = Kind(source.dtype) == DTypeKind::kComplex &&
                            Kind(to) == DTypeKind::kComplex;
  // A real number has no other part, and that of one that becomes real is
  // gone.
  const Number imag = both_complex ? source.imag : Number{};
  const Number result_imag = both_complex ? result.imag : Number{};
  const Number unsaturated_imag = both_complex ? unsaturated.imag : Number{};

  ConversionReport report;
  const bool overflowed =
      Overflowed(source.real, result.real, unsaturated.real, to, cast.fits) ||
      Overflowed(imag, result_imag, unsaturated_imag, DType::kFloat64, true);
  if (source.real.is_nan && IsInteger(to)) {
    report.nan_to_integer = 1;
  } else if (overflowed) {
    report.overflowed = 1;
  } else if (Differs(source.real, result.real) || Differs(imag, result_imag)) {
    report.rounded = 1;
  }
  if (IsFinite(source.real) && IsFinite(result.real) && IsFinite(imag) &&
      IsFinite(result_imag)) {
    report.max_absolute_error = static_cast<double>(std::hypot(
        result.real.value - source.real.value, result_imag.value - imag.value));
  }
  return report;
}

void ExpectSame(const ConversionReport& actual,
                const ConversionReport& expected) {
  EXPECT_EQ(actual.rounded, expected.rounded);
  EXPECT_EQ(actual.overflowed, expected.overflowed);
  EXPECT_EQ(actual.nan_to_integer, expected.nan_to_integer);
  EXPECT_DOUBLE_EQ(actual.max_absolute_error, expected.max_absolute_error);
}

// Checks the reports on every element, and the one on all.
void CheckPair(DType from, DType to, Overflow overflow) {
  SCOPED_TRACE(std::string(Name(from)) + " to " + std::string(Name(to)) + ", " +
               std::to_string(static_cast<int>(overflow)));
  const std::vector<std::byte> source = CastInputs(from, 3000);
  const std::size_t count = source.size() / ItemSize(from);
  std::vector<std::byte> result(count * ItemSize(to));
  CastFailures failures;
  CastPacked(from, source.data(), to, result.data(), count, overflow,
             &failures);
  const ConversionComparison comparison(from, ByteOrder::kLittle, to,
                                        ByteOrder::kLittle);
  ConversionReport merged;
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const before = source.data() + i * ItemSize(from);
    const std::byte* const after = result.data() + i * ItemSize(to);
    const Element element = DecodeElement(from, before);
    const ConversionReport expected = Expected(element, ExpectCast(element, to),
                                               DecodeElement(to, after), to);
    ConversionReport report;
    comparison.Compare(before, after, 1, &report);
    ExpectSame(report, expected);
    if (::testing::Test::HasFailure()) {
      FAIL() << "element " << i << " of value "
             << static_cast<double>(element.real.value) << " + "
             << static_cast<double>(element.imag.value) << "j";
    }
    merged.Merge(expected);
  }
  ConversionReport whole;
  comparison.Compare(source.data(), result.data(), count, &whole);
  ExpectSame(whole, merged);
}

class ConversionReportPairTest : public ::testing::TestWithParam<std::size_t> {
};

TEST_P(ConversionReportPairTest, AgreesWithExactNumbers) {
  const auto from = static_cast<DType>(GetParam());
  for (const DType to : AllDTypes()) {
    for (const Overflow overflow : kPolicies) {
      CheckPair(from, to, overflow);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConversionReportPairTest,
                         ::testing::Range(std::size_t{0}, kDTypeCount),
                         [](const auto& pair) {
                           return std::string(
                               Name(static_cast<DType>(pair.param)));
                         });

// The report on one cast of these elements.
template <class From>
ConversionReport Report(DType from, const std::vector<From>& source, DType to,
                        Overflow overflow = Overflow::kTorch) {
  CastStream stream(
      {.from = from, .to = to, .overflow = overflow, .report = true});
  const auto bytes =
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(source.data()),
                          source.size() * sizeof(From));
  std::vector<std::byte> result(stream.OutputBytes(bytes.size()));
  stream.Convert(bytes, result.data());
  return stream.report();
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ConversionReportTest, CountsEachElementOnce) {
  const std::vector<double> source = {1.0,   2.5,       -0.0, kNaN,
                                      300.0, kInfinity, -0.25};
  EXPECT_EQ(Report(DType::kFloat64, source, DType::kUInt8, Overflow::kSaturate),
            (ConversionReport{2, 2, 1, 45.0}));
}

TEST(ConversionReportTest, TellsTheLastBitOf64BitIntegers) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(Report<std::int64_t>(DType::kInt64, {kMax}, DType::kFloat32),
            (ConversionReport{1, 0, 0, 1.0}));
  EXPECT_EQ(Report<std::int64_t>(DType::kInt64, {-kMax - 1}, DType::kFloat64),
            ConversionReport{});
  EXPECT_EQ(Report<std::uint64_t>(DType::kUInt64,
                                  {~0ull, 1ull << 53, (1ull << 53) + 1},
                                  DType::kFloat64),
            (ConversionReport{2, 0, 0, 1.0}));
  EXPECT_EQ(Report<double>(DType::kFloat64, {0x1p63}, DType::kInt64,
                           Overflow::kSaturate),
            (ConversionReport{0, 1, 0, 1.0}));
}

TEST(ConversionReportTest, WrappedIntegersOverflow) {
  EXPECT_EQ(
      Report<std::int64_t>(DType::kInt64, {-1, 255, 256, 1000}, DType::kUInt8),
      (ConversionReport{0, 3, 0, 768.0}));
  EXPECT_EQ(Report<std::int64_t>(DType::kInt64, {-1}, DType::kUInt64),
            (ConversionReport{0, 1, 0, 0x1p64}));
}

TEST(ConversionReportTest, FiniteNumbersThatBecomeInfiniteOverflow) {
  const std::vector<double> source = {65519.0, 65520.0,   70000.0,
                                      -1e300,  kInfinity, kNaN};
  EXPECT_EQ(Report(DType::kFloat64, source, DType::kFloat16),
            (ConversionReport{1, 3, 0, 15.0}));
}

// Whether PyTorch's rules make a finite number of `value`.
bool StaysFinite(double value, DType to) {
  std::array<std::byte, 16> bytes{};
  CastPacked(DType::kFloat64, reinterpret_cast<const std::byte*>(&value), to,
             bytes.data(), 1, Overflow::kTorch, nullptr);
  return IsFinite(DecodeElement(to, bytes.data()).real);
}

TEST(ConversionReportTest, TellsTheFirstNumberThatOverflows) {
  for (const DType to :
       {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kComplex64,
        DType::kFloat8E4M3FN, DType::kFloat8E5M2}) {
    SCOPED_TRACE(std::string(Name(to)));
    // As bits, which positive doubles are in the order of.
    std::uint64_t low = 0;
    std::uint64_t high = std::bit_cast<std::uint64_t>(1e300);
    while (high - low > 1) {
      const std::uint64_t middle = low + (high - low) / 2;
      (StaysFinite(std::bit_cast<double>(middle), to) ? low : high) = middle;
    }
    for (const Overflow overflow : kPolicies) {
      for (const double sign : {1.0, -1.0}) {
        const double last = sign * std::bit_cast<double>(low);
        const double first = sign * std::bit_cast<double>(high);
        const auto report = [&](double value) {
          return Report<double>(DType::kFloat64, {value}, to, overflow);
        };
        EXPECT_EQ(report(last).rounded, 1);
        EXPECT_EQ(report(last).overflowed, 0);
        EXPECT_EQ(report(first).rounded, 0);
        EXPECT_EQ(report(first).overflowed, 1);
      }
    }
  }
}

TEST(ConversionReportTest, WhatRoundsToZeroIsRounded) {
  EXPECT_EQ(
      Report<double>(DType::kFloat64, {1e-300, -5e-324, -0.0}, DType::kFloat32),
      (ConversionReport{2, 0, 0, 1e-300}));
}

TEST(ConversionReportTest, InfinityThatIsMadeFiniteOverflows) {
  const std::vector<double> source = {kInfinity, -kInfinity};
  EXPECT_EQ(Report(DType::kFloat64, source, DType::kFloat8E5M2),
            ConversionReport{});
  EXPECT_EQ(
      Report(DType::kFloat64, source, DType::kFloat8E5M2, Overflow::kSaturate),
      (ConversionReport{0, 2, 0, 0.0}));
}

TEST(ConversionReportTest, ComplexNumbersCountOnce) {
  // 1 + 0.1j, 0.1 + 1e300j, 0.1 + 0.1j, NaN + 0.1j.
  const std::vector<double> source = {1, 0.1, 0.1, 1e300, 0.1, 0.1, kNaN, 0.1};
  const double error = static_cast<double>(0.1f) - 0.1;
  const ConversionReport report =
      Report(DType::kComplex128, source, DType::kComplex64);
  EXPECT_EQ(report.rounded, 3);
  EXPECT_EQ(report.overflowed, 1);
  EXPECT_EQ(report.nan_to_integer, 0);
  EXPECT_DOUBLE_EQ(report.max_absolute_error, std::hypot(error, error));
}

TEST(ConversionReportTest, DroppedImaginaryPartsAndBoolsAreNoChange) {
  const std::vector<double> source = {1, 0.1, 7, kNaN, 0, kInfinity};
  EXPECT_EQ(Report(DType::kComplex128, source, DType::kFloat32),
            ConversionReport{});
  EXPECT_EQ(Report(DType::kComplex128, source, DType::kBool),
            ConversionReport{});
  EXPECT_EQ(Report<std::uint8_t>(DType::kBool, {0, 1, 200}, DType::kFloat16),
            ConversionReport{});
}

TEST(ConversionReportTest, MergeAddsCountsAndKeepsTheLargerError) {
  ConversionReport report{1, 2, 3, 0.5};
  report.Merge({10, 20, 30, 0.25});
  EXPECT_EQ(report, (ConversionReport{11, 22, 33, 0.5}));
  report.Merge({0, 0, 0, 4.0});
  EXPECT_EQ(report, (ConversionReport{11, 22, 33, 4.0}));
}

// Whatever the pieces and the byte orders are.
TEST(ConversionReportTest, StreamsReportOnTheWhole) {
  for (const DType from : AllDTypes()) {
    for (const DType to : AllDTypes()) {
      SCOPED_TRACE(std::string(Name(from)) + " to " + std::string(Name(to)));
      std::vector<std::byte> source = CastInputs(from, 100);
      const std::size_t count = source.size() / ItemSize(from);
      std::vector<std::byte> expected_result(count * ItemSize(to));
      CastPacked(from, source.data(), to, expected_result.data(), count,
                 Overflow::kTorch, nullptr);
      ConversionReport expected;
      ConversionComparison(from, ByteOrder::kLittle, to, ByteOrder::kLittle)
          .Compare(source.data(), expected_result.data(), count, &expected);

      SwapBytes(from, source.data(), source.data(), count);
      SwapBytes(to, expected_result.data(), expected_result.data(), count);
      CastStream stream({.from = from,
                         .from_order = ByteOrder::kBig,
                         .to = to,
                         .to_order = ByteOrder::kBig,
                         .report = true});
      std::vector<std::byte> result(expected_result.size());
      std::size_t written = 0;
      for (absl::Span<const std::byte> rest(source); !rest.empty();) {
        const auto piece = rest.subspan(0, 30011);
        written += stream.Convert(piece, result.data() + written);
        rest.remove_prefix(piece.size());
      }
      EXPECT_EQ(result, expected_result);
      EXPECT_EQ(stream.report(), expected);
    }
  }
}

TEST(ConversionReportTest, StreamsSayNothingUnlessAsked) {
  CastStream stream({.from = DType::kFloat64, .to = DType::kInt8});
  const double source = 0.5;
  std::byte result{};
  stream.Convert(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(&source),
                          sizeof(source)),
      &result);
  EXPECT_EQ(stream.report(), ConversionReport{});
}

TEST(ConversionReportTest, StreamsThatReportStillRefuse) {
  CastStream stream({.from = DType::kInt32,
                     .to = DType::kInt8,
                     .overflow = Overflow::kError,
                     .report = true});
  std::vector<std::int32_t> source(2000);
  source[777] = source[1999] = 128;
  std::vector<std::byte> result(source.size());
  stream.Convert(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(source.data()),
                          source.size() * sizeof(std::int32_t)),
      result.data());
  CastFailures failures;
  CastPacked(DType::kInt32, reinterpret_cast<const std::byte*>(source.data()),
             DType::kInt8, result.data(), source.size(), Overflow::kError,
             &failures);
  EXPECT_EQ(failures.count, 2u);
  EXPECT_EQ(stream.Finish(),
            CastFailuresStatus(failures, DType::kInt32, DType::kInt8));
}

}  // namespace
}  // namespace tensord
