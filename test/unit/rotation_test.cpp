// Which basis is chosen for which covariance, that it is orthonormal and balanced, and that product codes
// gain by it; 1 to 1,025 dimensions, blocks that do not divide them, degenerate samples.
#include "core/rotation.hpp"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/codebook.hpp"
#include "core/kernels.hpp"

namespace scann {
namespace {

bool never() { return false; }
bool always() { return true; }

using Rows = std::vector<float>;

// Gaussian rows with the given standard deviations along the axes, around a mean of 3.
Rows gaussian_rows(const std::vector<float>& deviations, std::size_t count) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  Rows rows;
  for (std::size_t i = 0; i < count; ++i) {
    for (float deviation : deviations) rows.push_back(3 + deviation * normal(random));
  }
  return rows;
}

// Standard deviations of a spectrum falling as i^-exponent.
std::vector<float> power_law(std::size_t dims, double exponent) {
  std::vector<float> deviations(dims);
  for (std::size_t k = 0; k < dims; ++k) {
    deviations[k] = static_cast<float>(std::pow(static_cast<double>(k + 1), -exponent / 2));
  }
  return deviations;
}

// The same rows in a random orthonormal basis.
Rows turned(const Rows& rows, std::size_t dims) {
  std::mt19937_64 random(2);
  std::normal_distribution<float> normal;
  const auto d = static_cast<Eigen::Index>(dims);
  const Eigen::MatrixXf basis = Eigen::HouseholderQR<Eigen::MatrixXf>(Eigen::MatrixXf::NullaryExpr(d, d, [&] {
                                  return normal(random);
                                })).householderQ();
  Rows result(rows.size());
  const auto count = static_cast<Eigen::Index>(rows.size() / dims);
  Eigen::Map<Eigen::MatrixXf>(result.data(), d, count) =
      basis * Eigen::Map<const Eigen::MatrixXf>(rows.data(), d, count);
  return result;
}

struct Choice {
  RotationKind kind = RotationKind::kNone;
  std::vector<float> matrix;
};

Choice choose(const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  Choice choice;
  choice.matrix.resize(dims * dims);
  EXPECT_TRUE(choose_rotation(rows, dims, dims_per_block, never, choice.matrix, &choice.kind));
  choice.matrix.resize(rotation_floats(choice.kind, dims));
  return choice;
}

Rows rotated(const Choice& choice, const Rows& rows, std::size_t dims) {
  Rows result(rows.size());
  for (std::size_t i = 0; i < rows.size(); i += dims) {
    rotate(choice.kind, choice.matrix, std::span(rows).subspan(i, dims), std::span(result).subspan(i, dims));
  }
  return result;
}

// Mean squared error of plain product codes.
double code_error(const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  const CodebookShape shape{static_cast<std::uint32_t>(dims), static_cast<std::uint32_t>(dims_per_block)};
  const std::vector<PointWeight> weights(rows.size() / dims, PointWeight{1, 1});
  std::vector<float> codewords(shape.codewords());
  EXPECT_TRUE(train_codebook(shape, rows, rows, weights, {}, never, codewords));
  const Encoder encoder(shape, codewords);
  std::vector<float> scratch(encoder.scratch_floats());
  std::vector<std::uint8_t> codes(shape.blocks());
  double sum = 0;
  for (std::size_t i = 0; i < rows.size(); i += dims) {
    const auto row = std::span(rows).subspan(i, dims);
    sum += encoder.encode(row, row, 1, scratch, codes);
  }
  return sum / static_cast<double>(weights.size());
}

// Per block, the sum of its dimensions' log2 variances.
std::vector<double> log_variances(const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  const auto count = static_cast<Eigen::Index>(rows.size() / dims);
  const Eigen::MatrixXd data =
      Eigen::Map<const Eigen::MatrixXf>(rows.data(), static_cast<Eigen::Index>(dims), count).cast<double>();
  std::vector<double> blocks((dims + dims_per_block - 1) / dims_per_block, 0.0);
  for (std::size_t k = 0; k < dims; ++k) {
    const Eigen::VectorXd row = data.row(static_cast<Eigen::Index>(k)).transpose();
    blocks[k / dims_per_block] += std::log2((row.array() - row.mean()).square().mean());
  }
  return blocks;
}

double spread(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end()) - *std::min_element(values.begin(), values.end());
}

TEST(ChooseRotation, LeavesEvenSpectraAlone) {
  EXPECT_EQ(choose(gaussian_rows(std::vector<float>(32, 1.0F), 2000), 32, 4).kind, RotationKind::kNone);
  // About the spectrum of GloVe's 100 dimensions: effective dimension 55.
  EXPECT_EQ(choose(turned(gaussian_rows(power_law(100, 0.35), 4000), 100), 100, 2).kind, RotationKind::kNone);
}

TEST(ChooseRotation, PermutesWhereDimensionsAlreadyDiffer) {
  const Rows rows = gaussian_rows(power_law(64, 1.0), 4000);
  for (std::size_t width : {4, 7}) {
    const Choice choice = choose(rows, 64, width);
    ASSERT_EQ(choice.kind, RotationKind::kPermutation) << width;
    std::vector<float> sources = choice.matrix;
    std::sort(sources.begin(), sources.end());
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(sources[i], static_cast<float>(i));
    const Rows permuted = rotated(choice, rows, 64);
    for (std::size_t i = 0; i < 64; ++i)
      EXPECT_EQ(permuted[i], rows[static_cast<std::size_t>(choice.matrix[i])]);
    EXPECT_LT(code_error(permuted, 64, width), 0.95 * code_error(rows, 64, width));
  }
  const Rows permuted = rotated(choose(rows, 64, 4), rows, 64);
  EXPECT_LT(spread(log_variances(permuted, 64, 4)), 0.2 * spread(log_variances(rows, 64, 4)));
}

TEST(ChooseRotation, RotatesSkewedSpectra) {
  constexpr std::size_t kDims = 128;
  const Rows rows = turned(gaussian_rows(power_law(kDims, 1.0), 6000), kDims);
  for (std::size_t width : {4, 8, 11}) {
    const Choice choice = choose(rows, kDims, width);
    ASSERT_EQ(choice.kind, RotationKind::kRotation) << width;
    const Eigen::Map<const Eigen::MatrixXf> matrix(choice.matrix.data(), kDims, kDims);
    EXPECT_LT((matrix * matrix.transpose() - Eigen::MatrixXf::Identity(kDims, kDims)).cwiseAbs().maxCoeff(),
              1e-5);

    const Rows result = rotated(choice, rows, kDims);
    for (std::size_t i = 0; i < 100 * kDims; i += 2 * kDims) {
      const double before = inner_product(&rows[i], &rows[i + kDims], kDims);
      const double norm = inner_product(&rows[i], &rows[i], kDims);
      EXPECT_NEAR(inner_product(&result[i], &result[i + kDims], kDims), before, 1e-5 * norm);
      EXPECT_NEAR(inner_product(&result[i], &result[i], kDims), norm, 1e-5 * norm);
    }
    EXPECT_LT(code_error(result, kDims, width), 0.8 * code_error(rows, kDims, width));
  }
  EXPECT_LT(spread(log_variances(rotated(choose(rows, kDims, 4), rows, kDims), kDims, 4)), 2);
}

TEST(ChooseRotation, IsDeterministic) {
  const Rows rows = turned(gaussian_rows(power_law(48, 1.2), 1000), 48);
  EXPECT_EQ(choose(rows, 48, 4).matrix, choose(rows, 48, 4).matrix);
}

TEST(ChooseRotation, NeedsEnoughRowsAndBlocks) {
  const std::vector<float> skewed = power_law(64, 1.5);
  EXPECT_EQ(choose({}, 64, 4).kind, RotationKind::kNone);
  EXPECT_EQ(choose(gaussian_rows(skewed, 1), 64, 4).kind, RotationKind::kNone);
  EXPECT_EQ(choose(gaussian_rows(skewed, 100), 64, 4).kind, RotationKind::kNone);
  EXPECT_EQ(choose(gaussian_rows(skewed, 1000), 64, 64).kind, RotationKind::kNone);
  EXPECT_EQ(choose(gaussian_rows({1.0F, 0.1F}, 1000), 2, 1).kind, RotationKind::kNone);
  EXPECT_EQ(choose(gaussian_rows({1.0F}, 1000), 1, 1).kind, RotationKind::kNone);
  EXPECT_EQ(choose(Rows(64 * 1000, 2.0F), 64, 4).kind, RotationKind::kNone);
  RotationKind kind = RotationKind::kRotation;
  const std::size_t wide = kMaxRotatedDimensions + 1;
  EXPECT_TRUE(choose_rotation(Rows(wide * 3, 1.0F), wide, 8, never, {}, &kind));
  EXPECT_EQ(kind, RotationKind::kNone);
}

TEST(ChooseRotation, SurvivesRankDeficientSamples) {
  // Only 8 of 64 directions carry anything.
  std::vector<float> deviations(64, 0.0F);
  std::fill_n(deviations.begin(), 8, 1.0F);
  const Rows rows = turned(gaussian_rows(deviations, 1000), 64);
  const Choice choice = choose(rows, 64, 8);
  ASSERT_EQ(choice.kind, RotationKind::kRotation);
  EXPECT_LT(code_error(rotated(choice, rows, 64), 64, 8), 0.5 * code_error(rows, 64, 8));
}

TEST(ChooseRotation, Stops) {
  Choice choice;
  choice.matrix.resize(64 * 64);
  EXPECT_FALSE(
      choose_rotation(gaussian_rows(power_law(64, 1), 500), 64, 4, always, choice.matrix, &choice.kind));
}

TEST(Rotate, NoneCopies) {
  const Rows in = {1, 2, 3};
  Rows out(3);
  rotate(RotationKind::kNone, {}, in, out);
  EXPECT_EQ(out, in);
  EXPECT_EQ(rotation_floats(RotationKind::kNone, 3), 0U);
  EXPECT_EQ(rotation_floats(RotationKind::kPermutation, 3), 3U);
  EXPECT_EQ(rotation_floats(RotationKind::kRotation, 3), 9U);
}

}  // namespace
}  // namespace scann
