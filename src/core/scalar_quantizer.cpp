// Symmetric 8-bit quantisation and the distance bounds that survive every rounding on the way.
#include "core/scalar_quantizer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/simd_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/scalar_quantizer.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"

#ifndef SCANN_CORE_SCALAR_QUANTIZER_CPP_
#define SCANN_CORE_SCALAR_QUANTIZER_CPP_
namespace scann {

struct Quantisation {
  float scale;
  double squared_error;
};

}  // namespace scann
#endif  // SCANN_CORE_SCALAR_QUANTIZER_CPP_

HWY_BEFORE_NAMESPACE();
namespace scann::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kLevels = 127;

float largest_magnitude(const float* x, std::size_t n) {
  const hn::ScalableTag<float> d;
  auto largest = hn::Zero(d);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
  float result = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; i < n; ++i) result = std::max(result, std::fabs(x[i]));
  return result;
}

// Rounds whole vectors of x / scale to levels from position i on, adds up the squared errors, and moves i
// behind. In double, where level * scale is exact and the inverse of a denormal scale exists.
template <class D>
HWY_INLINE double quantise_vectors(D d, const float* x, std::size_t n, float scale, std::size_t& i,
                                   std::int8_t* v) {
  const auto scales = hn::Set(d, double{scale});
  const auto inverses = hn::Set(d, scale > 0 ? 1.0 / scale : 0.0);
  auto squared_errors = hn::Zero(d);
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto value = hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), x + i));
    const auto nearest = hn::Round(hn::Mul(value, inverses));
    const auto level = hn::Min(hn::Max(nearest, hn::Set(d, -kLevels)), hn::Set(d, kLevels));
    const auto error = hn::NegMulAdd(level, scales, value);
    squared_errors = hn::MulAdd(error, error, squared_errors);
    const hn::Rebind<std::int8_t, D> d8;
    hn::StoreU(hn::DemoteTo(d8, hn::DemoteTo(hn::Rebind<std::int32_t, D>(), level)), d8, v + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, squared_errors));
}

Quantisation quantise(const float* x, std::size_t n, std::int8_t* v) {
  // May be 0 for a denormal vector: then the levels are zero and the error is the norm.
  const float scale = largest_magnitude(x, n) / kLevels;
  std::size_t i = 0;
  const double squared_error = quantise_vectors(hn::ScalableTag<double>(), x, n, scale, i, v);
  return {scale, squared_error + quantise_vectors(hn::CappedTag<double, 1>(), x, n, scale, i, v)};
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace scann::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace scann {

HWY_EXPORT(quantise);

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFloatRounding = 0x1p-24;
constexpr double kDoubleRounding = 0x1p-53;

// Covers the rounding of a sum of n products in double, and of the few operations around it.
double double_slack(std::size_t n) { return (static_cast<double>(n) + 16) * 2 * kDoubleRounding; }

}  // namespace

ErrorBound encode_error_bound(double error) {
  constexpr ErrorBound kInfinite = 0x7F80;
  if (!(error <= std::numeric_limits<float>::max())) return kInfinite;
  float rounded = static_cast<float>(error);
  if (rounded < error) rounded = std::nextafter(rounded, std::numeric_limits<float>::infinity());
  // Adding the largest lower half carries into the upper one unless the lower half is zero: rounds up.
  return static_cast<ErrorBound>((std::bit_cast<std::uint32_t>(rounded) + 0xFFFFU) >> 16);
}

float decode_error_bound(ErrorBound bound) { return std::bit_cast<float>(std::uint32_t{bound} << 16); }

ScalarQuantized scalar_quantize(std::span<const float> x, std::span<std::int8_t> v) {
  const Quantisation result = HWY_DYNAMIC_DISPATCH(quantise)(x.data(), x.size(), v.data());
  const double error = std::sqrt(result.squared_error) * (1 + double_slack(x.size()));
  return {result.scale, encode_error_bound(error)};
}

double inner_product_lower_bound(double dot, double query_norm, float scale, double code_norm,
                                 ErrorBound error, std::size_t dims) {
  const double n = static_cast<double>(dims);
  const double quantised_norms = query_norm * (code_norm * scale);
  const double quantisation = query_norm * decode_error_bound(error);
  // dot_i8 rounds by at most this (Cauchy-Schwarz on its error bound); the last term covers this function's
  // own rounding and that of the exact distance it will be compared with.
  const double rounding = (n + 8) * kFloatRounding * quantised_norms;
  const double slack = double_slack(dims) * (std::fabs(dot) * scale + quantised_norms + quantisation);
  const double bound = -(dot * scale) - quantisation - rounding - slack;
  return std::isfinite(bound) ? bound : -kInfinity;  // an overflow says nothing
}

double distance_lower_bound(double squared, ErrorBound error, std::size_t dims) {
  if (!std::isfinite(squared)) return 0;  // an overflow says nothing
  const double n = static_cast<double>(dims);
  // Each term carries a relative error from the subtraction (twice), the square and the sum; denormal squares
  // an absolute one.
  const double certain =
      squared * (1 - (n + 16) * kFloatRounding) - n * std::numeric_limits<float>::denorm_min();
  if (!(certain > 0)) return 0;
  const double bound = std::sqrt(certain) - decode_error_bound(error);
  return std::max(0.0, bound * (1 - double_slack(dims)));
}

}  // namespace scann
#endif  // HWY_ONCE
