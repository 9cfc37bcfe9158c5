// Symmetric 8-bit quantisation and the distance bounds that survive every rounding on the way.
#include "core/scalar_quantizer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace scann {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFloatRounding = 0x1p-24;
constexpr double kDoubleRounding = 0x1p-53;
constexpr int kLevels = 127;

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
  float largest = 0;
  for (const float component : x) largest = std::max(largest, std::fabs(component));

  // A denormal vector may have scale 0; then v is zero and the error is the norm. Division in double, since
  // the inverse of a denormal scale is beyond float.
  const float scale = largest / kLevels;
  const double inverse = scale > 0 ? 1.0 / scale : 0.0;
  double squared_error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double level = std::clamp(std::nearbyint(x[i] * inverse), -double{kLevels}, double{kLevels});
    v[i] = static_cast<std::int8_t>(level);
    const double error = x[i] - level * scale;  // the product is exact: 24 bits times 7
    squared_error += error * error;
  }
  const double error = std::sqrt(squared_error) * (1 + double_slack(x.size()));
  return {scale, encode_error_bound(error)};
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
