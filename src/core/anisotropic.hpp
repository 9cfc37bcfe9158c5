// The score-aware loss of paper section 3: how much heavier the part of a quantisation error parallel to
// its vector weighs than the orthogonal part, for a given weight function w(t) of the inner product t.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace scann {

// h_parallel and h_orthogonal of Theorem 3.2, up to one common factor.
struct ScoreAwareWeights {
  double parallel;
  double orthogonal;
};

// Theorem 3.2 by numeric integration, for any weight function `w`, a point of norm `norm` > 0 and `dims` >= 2
// (need not be whole: the effective dimension of a data set is not).
ScoreAwareWeights integrate_weights(const std::function<double(double)>& w, double norm, double dims);

// eta = h_parallel / h_orthogonal for w(t) = I(t >= threshold) (section 3.2); +infinity when threshold >=
// norm.
double threshold_eta(double threshold, double norm, double dims);

// Theorem 3.4: the limit of eta for many dimensions, (dims - 1) t^2 / (1 - t^2) with t = threshold / norm.
double threshold_eta_limit(double threshold, double norm, double dims);

// (tr S)^2 / tr(S^2) of the covariance S of `count` row-major rows: how many dimensions the data really
// spreads over.
double effective_dimension(std::span<const float> rows, std::size_t dims);

// The two numbers the training and the encoder need for one point.
struct PointWeight {
  float eta;     // parallel over orthogonal weight, within [1, kMaxEta]
  float weight;  // h_orthogonal relative to that of a point of the mean norm: the point's share in training
};

// The loss for w(t) = I(t >= threshold), evaluated per point of a data set whose norms may vary.
class ScoreAwareLoss {
 public:
  // eta grows without bound as the norm nears the threshold; points beyond count as if they were at this
  // bound.
  static constexpr float kMaxEta = 32.0F;

  // Isotropic: eta = 1 and weight = 1 for every point (Euclidean distance, or threshold <= 0).
  ScoreAwareLoss() = default;

  // `threshold` in units of inner products with unit queries, `dims` the effective dimension, `mean_norm` >
  // 0.
  ScoreAwareLoss(double threshold, double dims, double mean_norm);

  // Norm >= 0. A point of norm 0 is isotropic.
  PointWeight weights(double norm) const;

 private:
  double threshold_ = 0;
  double dims_ = 0;
  double max_tau_ = 0;              // threshold / norm is bounded by this, so that eta stays bounded
  double mean_log_orthogonal_ = 0;  // log h_orthogonal at the mean norm
};

}  // namespace scann
