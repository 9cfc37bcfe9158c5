// The weights of the score-aware loss (paper section 3), as ratios of integrals that never leave double's
// range.
#include "core/anisotropic.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/kernels.hpp"

namespace scann {
namespace {

// Eight-point Gauss-Legendre rule on [-1, 1]: the positive abscissas and their weights.
constexpr std::array<std::array<double, 2>, 4> kGaussLegendre = {{
    {0.18343464249564980494, 0.36268378337836198297},
    {0.52553240991632898582, 0.31370664587788728734},
    {0.79666647741362673959, 0.22238103445337447054},
    {0.96028985649753623168, 0.10122853629037625915},
}};

// M(tau) = the integral of ((1 - s^2) / (1 - tau^2))^((dims - 1) / 2) over s = cos(theta) from tau to 1, that
// is I_d / sin^(d-1)(alpha) of section 7.3 with alpha = arccos(tau). The integrand falls from 1, so nothing
// underflows. It is cut where it has fallen below 1e-13. s - tau = width y^2 with y = z (2 - z) makes the
// exponential fall at tau a Gaussian in z, and smooths the square-root end at s = 1 of low dimensions.
double scaled_tail(double tau, double dims) {
  constexpr int kPanels = 4;
  const double power = (dims - 1) / 2;
  const double sine2 = (1 - tau) * (1 + tau);
  const double reach = -sine2 * std::expm1(-32 / power);  // s^2 - tau^2 at the cut
  const double width = reach / (std::sqrt(tau * tau + reach) + tau);

  double sum = 0;
  for (int panel = 0; panel < kPanels; ++panel) {
    for (const auto& [abscissa, weight] : kGaussLegendre) {
      for (double node : {-abscissa, abscissa}) {
        const double z = (panel + 0.5 + 0.5 * node) / kPanels;
        const double y = z * (2 - z);
        const double u = width * y * y;
        const double ratio = 1 - u * (u + 2 * tau) / sine2;
        if (ratio > 0) sum += weight * y * (1 - z) * std::exp(power * std::log(ratio));
      }
    }
  }
  return 2 * sum * width / kPanels;
}

// log of I_d = integral of sin^d from 0 to arccos(tau): h_orthogonal of section 3.2.
double log_orthogonal(double tau, double tail, double dims) {
  return (dims - 1) / 2 * std::log1p(-tau * tau) + std::log(tail);
}

// The pair of integrands of Theorem 3.2 without (d - 1): w cos^2 sin^(d-2) and w sin^d.
struct Pair {
  double parallel = 0;
  double orthogonal = 0;
};

// Adaptive Simpson quadrature of Theorem 3.2's integrals, scaled by exp(-shift).
class WeightIntegrator {
 public:
  WeightIntegrator(const std::function<double(double)>& w, double norm, double dims)
      : w_(w), norm_(norm), dims_(dims) {
    // The largest integrand on the grid sets the scale: sin^d alone underflows for many dimensions.
    for (int i = 1; i < kCells; ++i) shift_ = std::max(shift_, log_density(angle(i)));
  }

  Pair integrate() const {
    Pair total;
    if (!std::isfinite(shift_)) return total;
    Pair left = integrand(angle(0));
    for (int i = 0; i < kCells; ++i) {
      const Pair right = integrand(angle(i + 1));
      const Pair middle = integrand((angle(i) + angle(i + 1)) / 2);
      const Pair cell = refine(angle(i), angle(i + 1), left, middle, right, kMaxDepth);
      total.parallel += cell.parallel;
      total.orthogonal += cell.orthogonal;
      left = right;
    }
    return total;
  }

 private:
  static constexpr int kCells = 4096;
  static constexpr int kMaxDepth = 45;

  static double angle(int i) { return std::numbers::pi * i / kCells; }

  double log_density(double theta) const {
    return std::log(w_(norm_ * std::cos(theta))) + (dims_ - 2) * std::log(std::sin(theta));
  }

  Pair integrand(double theta) const {
    const double sine = std::max(std::sin(theta), std::numeric_limits<double>::min());
    const double cosine = std::cos(theta);
    const double weight = w_(norm_ * cosine);
    if (!(weight > 0)) return {};
    const double density = std::exp(std::log(weight) + (dims_ - 2) * std::log(sine) - shift_);
    return {density * cosine * cosine, density * sine * sine};
  }

  static double simpson(double width, double left, double middle, double right) {
    return width / 6 * (left + 4 * middle + right);
  }

  Pair refine(double from, double to, Pair left, Pair middle, Pair right, int depth) const {
    const double center = (from + to) / 2;
    const Pair lower = integrand((from + center) / 2);
    const Pair upper = integrand((center + to) / 2);
    const double half = center - from;
    auto halves = [&](double Pair::*part) {
      return simpson(half, left.*part, lower.*part, middle.*part) +
             simpson(half, middle.*part, upper.*part, right.*part);
    };
    auto settled = [&](double Pair::*part) {
      const double fine = halves(part);
      const double coarse = simpson(2 * half, left.*part, middle.*part, right.*part);
      return std::abs(fine - coarse) <= 1e-11 * std::abs(fine) + 1e-18;
    };
    if (depth == 0 || (settled(&Pair::parallel) && settled(&Pair::orthogonal))) {
      return {halves(&Pair::parallel), halves(&Pair::orthogonal)};
    }
    const Pair a = refine(from, center, left, lower, middle, depth - 1);
    const Pair b = refine(center, to, middle, upper, right, depth - 1);
    return {a.parallel + b.parallel, a.orthogonal + b.orthogonal};
  }

  const std::function<double(double)>& w_;
  double norm_;
  double dims_;
  double shift_ = -std::numeric_limits<double>::infinity();
};

// Every stride-th row, with the mean of those rows subtracted.
std::vector<float> centred_subsample(std::span<const float> rows, std::size_t dims, std::size_t take) {
  const std::size_t stride = rows.size() / dims / take;
  std::vector<double> mean(dims, 0.0);
  for (std::size_t i = 0; i < take; ++i) {
    for (std::size_t k = 0; k < dims; ++k) mean[k] += rows[i * stride * dims + k];
  }
  std::vector<float> centred(take * dims);
  for (std::size_t i = 0; i < take; ++i) {
    for (std::size_t k = 0; k < dims; ++k) {
      const double value = rows[i * stride * dims + k];
      centred[i * dims + k] = static_cast<float>(value - mean[k] / static_cast<double>(take));
    }
  }
  return centred;
}

}  // namespace

ScoreAwareWeights integrate_weights(const std::function<double(double)>& w, double norm, double dims) {
  const Pair sums = WeightIntegrator(w, norm, dims).integrate();
  return {(dims - 1) * sums.parallel, sums.orthogonal};
}

double threshold_eta(double threshold, double norm, double dims) {
  const double tau = threshold / norm;
  if (!(tau < 1)) return std::numeric_limits<double>::infinity();
  // d I_d = (d - 1) I_(d-2) - cos(alpha) sin^(d-1)(alpha) of section 7.3, put into eta = (d - 1) (I_(d-2) /
  // I_d - 1), gives eta = 1 + cos(alpha) sin^(d-1)(alpha) / I_d: no difference left that could cancel.
  if (tau >= 0) return 1 + tau / scaled_tail(tau, dims);
  const double sine_power = tau > -1 ? std::pow((1 - tau) * (1 + tau), (dims - 1) / 2) : 0.0;
  return 1 +
         tau * sine_power / (2 * scaled_tail(0, dims) - sine_power * scaled_tail(std::min(-tau, 1.0), dims));
}

double threshold_eta_limit(double threshold, double norm, double dims) {
  const double t2 = (threshold / norm) * (threshold / norm);
  return t2 < 1 ? (dims - 1) * t2 / (1 - t2) : std::numeric_limits<double>::infinity();
}

double effective_dimension(std::span<const float> rows, std::size_t dims) {
  // tr(S^2) is the mean of <x_i - m, x_j - m>^2 over pairs i != j, which needs no dims x dims matrix.
  const std::size_t count = rows.size() / dims;
  const std::size_t take = std::min(count, std::clamp<std::size_t>((std::size_t{1} << 22) / dims, 256, 1024));
  if (take < 2) return static_cast<double>(dims);
  const std::vector<float> centred = centred_subsample(rows, dims, take);

  constexpr std::size_t kPanel = 32;
  std::vector<float> products(kPanel * take);
  double trace = 0;
  double squares = 0;
  for (std::size_t from = 0; from < take; from += kPanel) {
    const std::size_t panel = std::min(kPanel, take - from);
    dot_matrix(&centred[from * dims], panel, centred.data(), take, dims, products.data());
    for (std::size_t i = 0; i < panel; ++i) {
      for (std::size_t j = 0; j < take; ++j) {
        const double product = products[i * take + j];
        if (j == from + i) {
          trace += product;
        } else {
          squares += product * product;
        }
      }
    }
  }
  const auto n = static_cast<double>(take);
  const double dimension = (trace / n) * (trace / n) / (squares / (n * (n - 1)));
  return std::isfinite(dimension) ? std::clamp(dimension, 1.0, static_cast<double>(dims))
                                  : static_cast<double>(dims);
}

ScoreAwareLoss::ScoreAwareLoss(double threshold, double dims, double mean_norm)
    : threshold_(threshold), dims_(std::max(dims, 2.0)) {
  if (!(threshold > 0)) return;
  // The limit of Theorem 3.4, a lower bound of eta, reaches kMaxEta here. Points of smaller norm count as if
  // they had this one: beyond it eta and 1 / h_orthogonal grow without bound.
  max_tau_ = std::sqrt(kMaxEta / (kMaxEta + dims_ - 1));
  const double tau = std::min(threshold / mean_norm, max_tau_);
  mean_log_orthogonal_ = log_orthogonal(tau, scaled_tail(tau, dims_), dims_);
}

PointWeight ScoreAwareLoss::weights(double norm) const {
  if (!(threshold_ > 0)) return {1, 1};
  const double tau = norm > 0 ? std::min(threshold_ / norm, max_tau_) : max_tau_;
  const double tail = scaled_tail(tau, dims_);
  const double eta = norm > 0 ? std::min<double>(1 + tau / tail, kMaxEta) : 1.0;
  const double log_weight = log_orthogonal(tau, tail, dims_) - mean_log_orthogonal_;
  return {static_cast<float>(eta), static_cast<float>(std::exp(log_weight))};
}

}  // namespace scann
