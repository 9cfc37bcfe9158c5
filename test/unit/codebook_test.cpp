// Product quantisation against definitions and dense algebra: Theorem 4.2, the joint solve of section 7.5,
// exhaustive search over all codes; 1 to 100 dimensions, blocks that do not divide them, degenerate data.
#include "core/codebook.hpp"

#include <gtest/gtest.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "every_target.hpp"

namespace scann {
namespace {

bool never() { return false; }
bool always() { return true; }

struct Problem {
  CodebookShape shape;
  std::vector<float> points;
  std::vector<float> residuals;
  std::vector<PointWeight> weights;
  std::vector<std::uint8_t> codes;
  std::vector<float> codewords;

  std::size_t count() const { return weights.size(); }
  std::span<const float> point(std::size_t i) const {
    return std::span(points).subspan(i * shape.dims, shape.dims);
  }
  std::span<const float> residual(std::size_t i) const {
    return std::span(residuals).subspan(i * shape.dims, shape.dims);
  }
  std::span<std::uint8_t> code(std::size_t i) {
    return std::span(codes).subspan(i * shape.blocks(), shape.blocks());
  }
  double loss() const { return codebook_loss(shape, points, residuals, weights, codes, codewords); }
  bool update() { return update_codewords(shape, points, residuals, weights, codes, never, codewords); }
  bool train(const CodebookTrainingOptions& options, StopPredicate stop = never) {
    return train_codebook(shape, points, residuals, weights, options, stop, codewords);
  }
  double encode_all() {
    const Encoder encoder(shape, codewords);
    std::vector<float> scratch(encoder.scratch_floats());
    double sum = 0;
    for (std::size_t i = 0; i < count(); ++i) {
      sum += weights[i].weight * encoder.encode(point(i), residual(i), weights[i].eta, scratch, code(i));
    }
    return sum;
  }
};

// Gaussian points, residuals that are part of them, random codes and codewords, weights around (4, 1).
Problem random_problem(std::uint32_t dims, std::uint32_t dims_per_block, std::size_t count) {
  Problem problem{{dims, dims_per_block}, {}, {}, {}, {}, {}};
  std::mt19937_64 random(dims * 100 + dims_per_block);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < count * dims; ++i) {
    problem.points.push_back(normal(random));
    problem.residuals.push_back(0.7F * problem.points.back() + 0.3F * normal(random));
  }
  for (std::size_t i = 0; i < count; ++i) {
    problem.weights.push_back({3 + std::abs(normal(random)), 0.5F + std::abs(normal(random))});
    for (std::size_t b = 0; b < problem.shape.blocks(); ++b) {
      problem.codes.push_back(static_cast<std::uint8_t>(random() % kCodewords));
    }
  }
  problem.codewords.assign(problem.shape.codewords(), 0.0F);
  for (std::size_t b = 0; b < problem.shape.blocks(); ++b) {
    for (std::size_t j = 0; j < kCodewords; ++j) {
      for (std::size_t k = 0; k < dims_per_block && b * dims_per_block + k < dims; ++k) {
        problem.codewords[(b * kCodewords + j) * dims_per_block + k] = normal(random);
      }
    }
  }
  return problem;
}

// Definition: h_parallel ||r_parallel||^2 + h_orthogonal ||r_orthogonal||^2 with h_orthogonal = 1.
double loss_by_definition(const CodebookShape& shape, std::span<const float> codewords,
                          std::span<const float> point, std::span<const float> residual, double eta,
                          std::span<const std::uint8_t> codes) {
  Eigen::VectorXd x(shape.dims);
  Eigen::VectorXd error(shape.dims);
  for (std::uint32_t k = 0; k < shape.dims; ++k) {
    const std::size_t block = k / shape.dims_per_block;
    x(k) = point[k];
    error(k) =
        residual[k] -
        codewords[(block * kCodewords + codes[block]) * shape.dims_per_block + k % shape.dims_per_block];
  }
  const Eigen::VectorXd parallel = x.squaredNorm() > 0 ? Eigen::VectorXd(error.dot(x) / x.squaredNorm() * x)
                                                       : Eigen::VectorXd(Eigen::VectorXd::Zero(shape.dims));
  return eta * parallel.squaredNorm() + (error - parallel).squaredNorm();
}

// The normal equations of section 7.5 over all codewords of all blocks at once.
Eigen::VectorXd joint_solution(const Problem& problem) {
  const auto unknowns = static_cast<Eigen::Index>(problem.shape.codewords());
  const std::uint32_t width = problem.shape.dims_per_block;
  Eigen::MatrixXd matrix = Eigen::MatrixXd::Zero(unknowns, unknowns);
  Eigen::VectorXd vector = Eigen::VectorXd::Zero(unknowns);
  for (std::size_t i = 0; i < problem.count(); ++i) {
    const Eigen::VectorXd x = Eigen::Map<const Eigen::VectorXf>(problem.point(i).data(), problem.shape.dims)
                                  .cast<double>()
                                  .normalized();
    const Eigen::VectorXd r =
        Eigen::Map<const Eigen::VectorXf>(problem.residual(i).data(), problem.shape.dims).cast<double>();
    const Eigen::MatrixXd metric =
        problem.weights[i].weight *
        (Eigen::MatrixXd::Identity(x.size(), x.size()) + (problem.weights[i].eta - 1.0) * x * x.transpose());
    const auto unknown_of = [&](Eigen::Index k) {
      const auto block = static_cast<std::size_t>(k) / width;
      const std::size_t code = problem.codes[i * problem.shape.blocks() + block];
      return static_cast<Eigen::Index>((block * kCodewords + code) * width +
                                       static_cast<std::size_t>(k) % width);
    };
    const Eigen::VectorXd target = metric * r;
    for (Eigen::Index k = 0; k < x.size(); ++k) {
      vector(unknown_of(k)) += target(k);
      for (Eigen::Index l = 0; l < x.size(); ++l) matrix(unknown_of(k), unknown_of(l)) += metric(k, l);
    }
  }
  for (Eigen::Index k = 0; k < unknowns; ++k) {
    if (matrix(k, k) == 0) matrix(k, k) = 1;  // padding
  }
  return matrix.ldlt().solve(vector);
}

TEST(CodebookLoss, IsTheDefinition) {
  const Problem problem = random_problem(7, 3, 50);
  double expected = 0;
  for (std::size_t i = 0; i < problem.count(); ++i) {
    expected += problem.weights[i].weight *
                loss_by_definition(problem.shape, problem.codewords, problem.point(i), problem.residual(i),
                                   problem.weights[i].eta, std::span(problem.codes).subspan(i * 3, 3));
  }
  EXPECT_NEAR(problem.loss() / expected, 1, 1e-5);
}

TEST(UpdateCodewords, IsTheClosedFormOfTheorem42) {
  // One block and residuals that are the points themselves: plain anisotropic vector quantisation.
  Problem problem = random_problem(4, 4, 300);
  problem.residuals = problem.points;
  ASSERT_TRUE(problem.update());
  for (std::size_t j = 0; j < kCodewords; ++j) {
    Eigen::Matrix4d matrix = Eigen::Matrix4d::Zero();
    Eigen::Vector4d vector = Eigen::Vector4d::Zero();
    for (std::size_t i = 0; i < problem.count(); ++i) {
      if (problem.codes[i] != j) continue;
      const Eigen::Vector4d x = Eigen::Map<const Eigen::Vector4f>(problem.point(i).data()).cast<double>();
      const double orthogonal = problem.weights[i].weight;
      const double parallel = orthogonal * problem.weights[i].eta;
      matrix += orthogonal * Eigen::Matrix4d::Identity() +
                (parallel - orthogonal) / x.squaredNorm() * x * x.transpose();
      vector += parallel * x;
    }
    const Eigen::Vector4d expected = matrix.inverse() * vector;
    for (int k = 0; k < 4; ++k)
      EXPECT_NEAR(problem.codewords[j * 4 + static_cast<std::size_t>(k)], expected(k), 1e-4);
  }
}

TEST(UpdateCodewords, IsAMinimum) {
  Problem problem = random_problem(5, 5, 200);
  ASSERT_TRUE(problem.update());
  const double minimum = problem.loss();
  for (float& value : problem.codewords) {
    const float kept = value;
    for (float step : {-0.05F, 0.05F}) {
      value = kept + step;
      EXPECT_GT(problem.loss(), minimum);
    }
    value = kept;
  }
}

TEST(UpdateCodewords, SweepsConvergeToTheJointSolution) {
  for (const auto& [dims, width] : {std::pair{6U, 2U}, {7U, 3U}, {4U, 1U}}) {
    Problem problem = random_problem(dims, width, 500);
    double previous = problem.loss();
    for (int sweep = 0; sweep < 300; ++sweep) {
      ASSERT_TRUE(problem.update());
      const double loss = problem.loss();
      ASSERT_LE(loss, previous * (1 + 1e-6)) << sweep;
      previous = loss;
    }
    const Eigen::VectorXd expected = joint_solution(problem);
    for (std::size_t k = 0; k < problem.codewords.size(); ++k) {
      EXPECT_NEAR(problem.codewords[k], expected(static_cast<Eigen::Index>(k)), 2e-3) << k;
    }
    for (std::size_t k = 0; k < problem.codewords.size(); ++k) {
      problem.codewords[k] = static_cast<float>(expected(static_cast<Eigen::Index>(k)));
    }
    EXPECT_NEAR(problem.loss() / previous, 1, 1e-5);
  }
}

TEST(UpdateCodewords, KeepsCodewordsWithoutPoints) {
  Problem problem = random_problem(4, 2, 40);
  std::fill(problem.codes.begin(), problem.codes.end(), std::uint8_t{3});
  const std::vector<float> before = problem.codewords;
  ASSERT_TRUE(problem.update());
  for (std::size_t j = 0; j < kCodewords; ++j)
    EXPECT_EQ(problem.codewords[j * 2] == before[j * 2], j != 3) << j;
}

TEST(TrainCodebook, AlternationsNeverRaiseTheLoss) {
  Problem problem = random_problem(12, 3, 2000);
  ASSERT_TRUE(problem.train({.anisotropic_iterations = 0}));
  const double l2 = problem.encode_all();
  double previous = l2;
  std::vector<float> memory(problem.shape.codewords());
  for (int iteration = 0; iteration < 10; ++iteration) {
    ASSERT_TRUE(problem.update());
    const double updated = problem.loss();
    ASSERT_LE(updated, previous * (1 + 1e-5));
    const Encoder encoder(problem.shape, problem.codewords, memory);
    std::vector<float> scratch(encoder.scratch_floats());
    for (std::size_t i = 0; i < problem.count(); ++i) {
      encoder.improve(problem.point(i), problem.residual(i), problem.weights[i].eta, scratch,
                      problem.code(i));
    }
    previous = problem.loss();
    ASSERT_LE(previous, updated * (1 + 1e-5));
  }
  EXPECT_LT(previous, 0.98 * l2);
}

TEST(TrainCodebook, MoreAlternationsGiveALowerLoss) {
  Problem problem = random_problem(20, 2, 3000);
  double previous = std::numeric_limits<double>::infinity();
  for (int iterations : {0, 2, 8}) {
    ASSERT_TRUE(problem.train({.anisotropic_iterations = iterations}));
    const double loss = problem.encode_all();
    EXPECT_LT(loss, previous);
    previous = loss;
  }
}

TEST(TrainCodebook, IsDeterministic) {
  Problem first = random_problem(10, 3, 500);
  Problem second = first;
  ASSERT_TRUE(first.train({}));
  ASSERT_TRUE(second.train({}));
  EXPECT_EQ(first.codewords, second.codewords);
}

TEST(TrainCodebook, FewDistinctResidualsAreRepresentedExactly) {
  for (std::size_t distinct : {1U, 5U, 16U}) {
    Problem problem{{3, 3}, {}, {}, {}, {}, {}};
    for (std::size_t i = 0; i < 400; ++i) {
      const auto value = static_cast<float>(i % distinct + 1);
      problem.points.insert(problem.points.end(), {value, 1, -value});
      problem.weights.push_back({4, 1});
    }
    problem.residuals = problem.points;
    problem.codes.resize(problem.count());
    problem.codewords.resize(problem.shape.codewords());
    ASSERT_TRUE(problem.train({}));
    EXPECT_NEAR(problem.encode_all(), 0, 1e-6) << distinct;
  }
}

TEST(TrainCodebook, PlainQuantisationOfOneDimensionIsKMeans) {
  // 16 tight groups: every codeword must find its own.
  Problem problem{{1, 1}, {}, {}, {}, {}, {}};
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal(0, 0.01F);
  for (int i = 0; i < 3200; ++i) {
    problem.points.push_back(static_cast<float>(i % 16) + normal(random));
    problem.weights.push_back({1, 1});
  }
  problem.residuals = problem.points;
  problem.codes.resize(problem.count());
  problem.codewords.resize(problem.shape.codewords());
  ASSERT_TRUE(problem.train({}));
  std::sort(problem.codewords.begin(), problem.codewords.end());
  for (std::size_t j = 0; j < kCodewords; ++j) EXPECT_NEAR(problem.codewords[j], static_cast<float>(j), 0.01);
}

TEST(TrainCodebook, PaddingStaysZero) {
  Problem problem = random_problem(7, 4, 300);
  ASSERT_TRUE(problem.train({}));
  for (std::size_t j = 0; j < kCodewords; ++j) EXPECT_EQ(problem.codewords[(kCodewords + j) * 4 + 3], 0);
}

TEST(TrainCodebook, DegenerateInputs) {
  for (float value : {0.0F, 1e-40F, 1e-20F, 1e15F}) {
    Problem problem = random_problem(5, 2, 100);
    std::fill(problem.points.begin(), problem.points.end(), value);
    std::fill(problem.residuals.begin(), problem.residuals.end(), value);
    ASSERT_TRUE(problem.train({}));
    for (float codeword : problem.codewords) ASSERT_TRUE(std::isfinite(codeword)) << value;
  }
  Problem empty{{5, 2}, {}, {}, {}, {}, std::vector<float>(6 * kCodewords, 1.0F)};
  ASSERT_TRUE(empty.train({}));
  EXPECT_EQ(empty.codewords, std::vector<float>(6 * kCodewords, 0.0F));
  Problem single = random_problem(5, 2, 1);
  ASSERT_TRUE(single.train({}));
  EXPECT_NEAR(single.encode_all(), 0, 1e-8);
}

TEST(UpdateCodewords, PointsWithoutDirectionSpoilNothing) {
  Problem problem = random_problem(4, 2, 400);
  for (std::size_t i = 0; i < 32; ++i) std::fill_n(&problem.points[i * 4], 4, i % 2 == 0 ? 0.0F : 1e-45F);
  const double before = problem.loss();
  ASSERT_TRUE(problem.update());
  EXPECT_LT(problem.loss(), before);
}

TEST(TrainCodebook, WeightlessPointsDoNotCount) {
  Problem problem = random_problem(4, 2, 400);
  Problem halved = problem;
  for (std::size_t i = 200; i < 400; ++i) problem.weights[i].weight = 0;
  halved.points.resize(200 * 4);
  halved.residuals.resize(200 * 4);
  halved.weights.resize(200);
  halved.codes.resize(200 * 2);
  ASSERT_TRUE(problem.update());
  ASSERT_TRUE(halved.update());
  for (std::size_t k = 0; k < halved.codewords.size(); ++k) {
    EXPECT_NEAR(problem.codewords[k], halved.codewords[k], 1e-5);
  }
}

TEST(TrainCodebook, Stops) {
  Problem problem = random_problem(4, 2, 400);
  EXPECT_FALSE(problem.train({}, always));
  EXPECT_FALSE(update_codewords(problem.shape, problem.points, problem.residuals, problem.weights,
                                problem.codes, always, problem.codewords));
}

TEST(Encoder, ReturnsTheLossOfItsCodesAndNeverMoreThanTheNearest) {
  on_every_target([] {
    for (const auto& [dims, width] : {std::pair{1U, 1U}, {7U, 3U}, {100U, 2U}, {33U, 8U}, {16U, 16U}}) {
      Problem problem = random_problem(dims, width, 100);
      const Encoder encoder(problem.shape, problem.codewords);
      std::vector<float> scratch(encoder.scratch_floats());
      for (std::size_t i = 0; i < problem.count(); ++i) {
        std::vector<std::uint8_t> nearest(problem.shape.blocks());
        encoder.encode(problem.point(i), problem.residual(i), 1, scratch, nearest);
        const float eta = problem.weights[i].eta;
        const double loss =
            encoder.encode(problem.point(i), problem.residual(i), eta, scratch, problem.code(i));
        const auto by_definition = [&](std::span<const std::uint8_t> codes) {
          return loss_by_definition(problem.shape, problem.codewords, problem.point(i), problem.residual(i),
                                    eta, codes);
        };
        ASSERT_NEAR(loss / by_definition(problem.code(i)), 1, 1e-4);
        ASSERT_LE(loss, by_definition(nearest) * (1 + 1e-5));
      }
    }
  });
}

TEST(Encoder, NearestCodewordsWithoutAnisotropy) {
  Problem problem = random_problem(9, 2, 200);
  const Encoder encoder(problem.shape, problem.codewords);
  std::vector<float> scratch(encoder.scratch_floats());
  for (std::size_t i = 0; i < problem.count(); ++i) {
    encoder.encode(problem.point(i), problem.residual(i), 1, scratch, problem.code(i));
    const double best = loss_by_definition(problem.shape, problem.codewords, problem.point(i),
                                           problem.residual(i), 1, problem.code(i));
    std::vector<std::uint8_t> other(problem.code(i).begin(), problem.code(i).end());
    for (std::uint8_t& code : other) {
      const std::uint8_t kept = code;
      for (code = 0; code < kCodewords; ++code) {
        ASSERT_GE(loss_by_definition(problem.shape, problem.codewords, problem.point(i), problem.residual(i),
                                     1, other),
                  best * (1 - 1e-6));
      }
      code = kept;
    }
  }
}

TEST(Encoder, CoordinateDescentIsCloseToExhaustiveSearch) {
  Problem problem = random_problem(6, 2, 100);
  ASSERT_TRUE(problem.train({}));
  const Encoder encoder(problem.shape, problem.codewords);
  std::vector<float> scratch(encoder.scratch_floats());
  double reached = 0;
  double optimal = 0;
  for (std::size_t i = 0; i < problem.count(); ++i) {
    const double loss = encoder.encode(problem.point(i), problem.residual(i), problem.weights[i].eta, scratch,
                                       problem.code(i));
    double best = std::numeric_limits<double>::infinity();
    for (unsigned all = 0; all < 4096; ++all) {
      const std::uint8_t codes[3] = {static_cast<std::uint8_t>(all & 15),
                                     static_cast<std::uint8_t>(all >> 4 & 15),
                                     static_cast<std::uint8_t>(all >> 8)};
      best = std::min(best, loss_by_definition(problem.shape, problem.codewords, problem.point(i),
                                               problem.residual(i), problem.weights[i].eta, codes));
    }
    ASSERT_GE(loss, best * (1 - 1e-4));
    reached += loss;
    optimal += best;
  }
  EXPECT_LT(reached, 1.2 * optimal);
}

TEST(Encoder, MemoryChangesNothing) {
  Problem problem = random_problem(31, 4, 50);
  std::vector<float> memory(problem.shape.codewords());
  const Encoder with(problem.shape, problem.codewords, memory);
  const Encoder without(problem.shape, problem.codewords);
  std::vector<float> scratch(without.scratch_floats());
  std::vector<std::uint8_t> codes(problem.shape.blocks());
  for (std::size_t i = 0; i < problem.count(); ++i) {
    const double loss = with.encode(problem.point(i), problem.residual(i), 5, scratch, codes);
    EXPECT_EQ(without.encode(problem.point(i), problem.residual(i), 5, scratch, problem.code(i)), loss);
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), problem.code(i).begin()));
  }
}

TEST(Encoder, DecodesToItsCodewords) {
  Problem problem = random_problem(7, 3, 1);
  std::vector<float> decoded(7);
  Encoder(problem.shape, problem.codewords).decode(problem.codes, decoded);
  for (std::size_t k = 0; k < 7; ++k) {
    EXPECT_EQ(decoded[k], problem.codewords[(k / 3 * kCodewords + problem.codes[k / 3]) * 3 + k % 3]);
  }
}

TEST(Encoder, SurvivesExtremeValues) {
  on_every_target([] {
    Problem problem = random_problem(6, 2, 1);
    const Encoder encoder(problem.shape, problem.codewords);
    std::vector<float> scratch(encoder.scratch_floats());
    for (float value : {0.0F, 1e-45F, 1e-38F, 3e38F, -3e38F}) {
      std::fill(problem.points.begin(), problem.points.end(), value);
      std::fill(problem.residuals.begin(), problem.residuals.end(), value);
      encoder.encode(problem.point(0), problem.residual(0), 4, scratch, problem.codes);
      for (std::uint8_t code : problem.codes) EXPECT_LT(code, kCodewords);
    }
  });
}

}  // namespace
}  // namespace scann
