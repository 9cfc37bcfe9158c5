// Section 3 against independent computations: Monte Carlo over the sphere, the closed forms of two and three
// dimensions, Theorem 3.2's integrals for any w, the limit of Theorem 3.4; 2 to 16,000 dimensions, whole or
// not.
#include "core/anisotropic.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

namespace scann {
namespace {

double ratio(const ScoreAwareWeights& weights) { return weights.parallel / weights.orthogonal; }

TEST(IntegrateWeights, MatchesMonteCarloOfDefinition31) {
  // Definition 3.1 directly: the mean of w(<q,x>) <q,e>^2 over unit q, for an error e along x and one across
  // it.
  constexpr int kDims = 6;
  constexpr double kNorm = 1.5;
  const auto w = [](double t) { return std::exp(2 * t); };
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  double parallel = 0;
  double orthogonal = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    double q[kDims];
    double squared = 0;
    for (double& value : q) {
      value = normal(random);
      squared += value * value;
    }
    const double weight = w(kNorm * q[0] / std::sqrt(squared));
    parallel += weight * q[0] * q[0] / squared;
    orthogonal += weight * q[1] * q[1] / squared;
  }
  EXPECT_NEAR(ratio(integrate_weights(w, kNorm, kDims)) / (parallel / orthogonal), 1, 0.01);
}

TEST(IntegrateWeights, ConstantWeightIsIsotropic) {
  for (double dims : {2.0, 2.5, 3.0, 100.0, 16000.0}) {
    EXPECT_NEAR(ratio(integrate_weights([](double) { return 7.0; }, 3, dims)), 1, 1e-8) << dims;
  }
}

TEST(IntegrateWeights, MonotoneWeightsPenaliseTheParallelErrorMore) {  // Theorem 3.3
  for (double dims : {2.0, 10.0, 300.0}) {
    EXPECT_GT(ratio(integrate_weights([](double t) { return t > 0 ? t : 0; }, 1, dims)), 1) << dims;
    EXPECT_GT(ratio(integrate_weights([](double t) { return t >= 0.1 ? 1 : 0; }, 1, dims)), 1) << dims;
    EXPECT_GT(ratio(integrate_weights([](double t) { return t >= 0 ? std::exp(t) : 0; }, 1, dims)), 1)
        << dims;
    EXPECT_NEAR(ratio(integrate_weights([](double t) { return t >= 0 ? 1 : 0; }, 1, dims)), 1, 1e-8) << dims;
  }
}

TEST(IntegrateWeights, QuadraticWeightInClosedForm) {
  // For w(t) = t^2 the moments of one coordinate of a uniform unit vector give (E q1^4) / (E q1^2 q2^2) = 3.
  EXPECT_NEAR(ratio(integrate_weights([](double t) { return t * t; }, 1, 3)), 3, 1e-8);
  EXPECT_NEAR(ratio(integrate_weights([](double t) { return t * t; }, 2, 100)), 3, 1e-8);
}

TEST(IntegrateWeights, ZeroWeightHasNoLoss) {
  const ScoreAwareWeights weights = integrate_weights([](double) { return 0.0; }, 1, 10);
  EXPECT_EQ(weights.parallel, 0);
  EXPECT_EQ(weights.orthogonal, 0);
}

TEST(ThresholdEta, ClosedFormsOfLowDimensions) {
  for (double t : {-0.9, -0.3, 0.0, 0.2, 0.7, 0.99}) {
    const double alpha = std::acos(t);
    // d = 2: integrals of cos^2 and sin^2.
    const double sin_cos = std::sin(alpha) * std::cos(alpha);
    EXPECT_NEAR(threshold_eta(t, 1, 2), (alpha + sin_cos) / (alpha - sin_cos), 1e-9) << t;
    // d = 3: integrals of 2 cos^2 sin and sin^3.
    const double h_parallel = 2 * (1 - t * t * t) / 3;
    const double h_orthogonal = 2.0 / 3 - t + t * t * t / 3;
    EXPECT_NEAR(threshold_eta(t, 1, 3) / (h_parallel / h_orthogonal), 1, 1e-9) << t;
  }
}

TEST(ThresholdEta, MatchesTheorem32AtEveryNumberOfDimensions) {
  for (double dims : {2.0, 2.3, 4.7, 10.0, 54.8, 100.0, 384.0, 768.0, 1536.0, 16000.0}) {
    for (double threshold : {-0.05, 0.0, 0.01, 0.2, 0.3, 0.9}) {
      const auto w = [threshold](double t) { return t >= threshold ? 1.0 : 0.0; };
      const double expected = ratio(integrate_weights(w, 1.1, dims));
      EXPECT_NEAR(threshold_eta(threshold, 1.1, dims) / expected, 1, 1e-6) << dims << " " << threshold;
    }
  }
}

TEST(ThresholdEta, KnownValues) {
  EXPECT_NEAR(threshold_eta(0.2, 1, 100), 5.953, 5e-4);
  EXPECT_NEAR(threshold_eta_limit(0.2, 1, 100), 4.125, 1e-12);
  EXPECT_NEAR(threshold_eta(0.3, 1, 768), 78.03, 5e-3);  // the forward recursion of section 7.3 gives 8.4
  EXPECT_NEAR(threshold_eta(0, 1, 100), 1, 1e-12);
  EXPECT_NEAR(threshold_eta(-5, 1, 100), 1, 1e-12);
  EXPECT_EQ(threshold_eta(1, 1, 100), std::numeric_limits<double>::infinity());
  EXPECT_EQ(threshold_eta(2, 1, 100), std::numeric_limits<double>::infinity());
  EXPECT_EQ(threshold_eta(0.2, 0, 100), std::numeric_limits<double>::infinity());
  EXPECT_EQ(threshold_eta_limit(1, 1, 100), std::numeric_limits<double>::infinity());
}

TEST(ThresholdEta, ApproachesTheLimitFromAbove) {  // Theorem 3.4, Figure 2
  double previous = std::numeric_limits<double>::infinity();
  for (double dims = 10; dims < 20000; dims *= 2) {
    const double excess = threshold_eta(0.2, 1, dims) / threshold_eta_limit(0.2, 1, dims);
    EXPECT_GT(excess, 1);
    EXPECT_LT(excess, previous);
    previous = excess;
  }
  EXPECT_NEAR(previous, 1, 0.01);
}

TEST(ThresholdEta, ThresholdAndNormOnlyCountByTheirRatio) {
  for (double scale : {1e-30, 1e-3, 1e30}) {
    EXPECT_NEAR(threshold_eta(0.2 * scale, scale, 100) / threshold_eta(0.2, 1, 100), 1, 1e-12) << scale;
  }
}

TEST(ScoreAwareLoss, IsotropicByDefault) {
  for (const ScoreAwareLoss& loss :
       {ScoreAwareLoss(), ScoreAwareLoss(0, 100, 1), ScoreAwareLoss(-1, 100, 1)}) {
    for (double norm : {0.0, 1e-20, 1.0, 1e20}) {
      EXPECT_EQ(loss.weights(norm).eta, 1);
      EXPECT_EQ(loss.weights(norm).weight, 1);
    }
  }
}

TEST(ScoreAwareLoss, IsTheRatioOfTheIntegrals) {
  constexpr double kThreshold = 0.4;
  constexpr double kDims = 40;
  const ScoreAwareLoss loss(kThreshold, kDims, 1);
  // h_orthogonal by the midpoint rule, unscaled.
  const auto orthogonal = [](double norm) {
    constexpr int kSteps = 100'000;
    const double alpha = std::acos(kThreshold / norm);
    double sum = 0;
    for (int i = 0; i < kSteps; ++i) sum += std::pow(std::sin(alpha * (i + 0.5) / kSteps), kDims);
    return sum * alpha / kSteps;
  };
  for (double norm : {0.8, 1.0, 1.5, 4.0}) {
    EXPECT_NEAR(loss.weights(norm).eta / threshold_eta(kThreshold, norm, kDims), 1, 1e-6) << norm;
    EXPECT_NEAR(loss.weights(norm).weight / (orthogonal(norm) / orthogonal(1)), 1, 1e-5) << norm;
  }
}

TEST(ScoreAwareLoss, IsBoundedAndMonotoneForEveryNorm) {
  for (double dims : {1.0, 2.0, 55.0, 1000.0, 16000.0}) {
    for (double threshold : {1e-20, 0.2, 5.0, 1e20}) {
      const ScoreAwareLoss loss(threshold, dims, 1);
      PointWeight previous{ScoreAwareLoss::kMaxEta, 0};
      for (double norm : {1e-38, 1e-10, 0.1, 0.3, 1.0, 2.0, 10.0, 1e10, 1e38}) {
        const PointWeight point = loss.weights(norm);
        EXPECT_GE(point.eta, 1);
        EXPECT_LE(point.eta, previous.eta);
        EXPECT_GE(point.weight, previous.weight);
        EXPECT_TRUE(std::isfinite(point.weight));
        EXPECT_GT(point.weight, 0);
        previous = point;
      }
      EXPECT_EQ(loss.weights(0).eta, 1);
      EXPECT_GT(loss.weights(0).weight, 0);
    }
  }
}

TEST(ScoreAwareLoss, MeanNormWeighsOne) {
  for (double mean : {0.01, 1.0, 1000.0})
    EXPECT_NEAR(ScoreAwareLoss(0.4 * mean, 60, mean).weights(mean).weight, 1, 1e-6);
}

std::vector<float> gaussian_rows(const std::vector<double>& deviations, std::size_t count, double shift) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  std::vector<float> rows;
  for (std::size_t i = 0; i < count; ++i) {
    for (double deviation : deviations)
      rows.push_back(static_cast<float>(deviation * normal(random) + shift));
  }
  return rows;
}

TEST(EffectiveDimension, OfGaussians) {
  EXPECT_NEAR(effective_dimension(gaussian_rows(std::vector<double>(50, 2.0), 20000, 5), 50), 50, 2.5);
  std::vector<double> deviations(100);
  double trace = 0;
  double squares = 0;
  for (std::size_t k = 0; k < deviations.size(); ++k) {
    deviations[k] = 1 / std::sqrt(1.0 + static_cast<double>(k));
    trace += std::pow(deviations[k], 2);
    squares += std::pow(deviations[k], 4);
  }
  EXPECT_NEAR(effective_dimension(gaussian_rows(deviations, 5000, 0), 100) / (trace * trace / squares), 1,
              0.1);
}

TEST(EffectiveDimension, OfDegenerateData) {
  EXPECT_EQ(effective_dimension({}, 7), 7);
  EXPECT_EQ(effective_dimension(std::vector<float>(7, 1.0F), 7), 7);
  EXPECT_EQ(effective_dimension(std::vector<float>(700, 1.0F), 7), 7);
  std::vector<float> line;
  for (int i = 0; i < 1000; ++i)
    line.insert(line.end(), {static_cast<float>(i), static_cast<float>(2 * i), 1.0F});
  EXPECT_NEAR(effective_dimension(line, 3), 1, 0.01);
  EXPECT_EQ(effective_dimension(std::vector<float>{1, 2, 3, 4}, 1), 1);
}

}  // namespace
}  // namespace scann
