// Which basis is chosen for which covariance, that it is all but orthonormal and balanced, and that product
// codes gain by it; 1 to 1,200 dimensions, blocks that do not divide them, degenerate and small samples.
#include "core/rotation.hpp"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <cstring>
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
  CodeBasis basis;
  std::vector<float> matrix;
};

Choice choose(const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  Choice choice;
  choice.matrix.resize(rotation_floats(RotationKind::kRotation, dims, std::min(dims, kMaxComponents)));
  EXPECT_TRUE(choose_basis(rows, dims, dims_per_block, never, choice.matrix, &choice.basis));
  choice.matrix.resize(rotation_floats(choice.basis.kind, dims, choice.basis.dims));
  return choice;
}

RotationKind chosen_kind(const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  const CodeBasis basis = choose(rows, dims, dims_per_block).basis;
  EXPECT_TRUE(basis.kind == RotationKind::kRotation || basis.dims == dims);
  return basis.kind;
}

Rows rotated(const Choice& choice, const Rows& rows, std::size_t dims) {
  const std::size_t coded = choice.basis.dims;
  Rows result(rows.size() / dims * coded);
  for (std::size_t i = 0; i < rows.size() / dims; ++i) {
    rotate(choice.basis.kind, choice.matrix, std::span(rows).subspan(i * dims, dims),
           std::span(result).subspan(i * coded, coded));
  }
  return result;
}

double norm(const float* row, std::size_t dims) { return std::sqrt(inner_product(row, row, dims)); }

double square(const Rows& rows) { return inner_product(rows.data(), rows.data(), rows.size()); }

Rows centred(const Rows& rows, std::size_t dims) {
  Rows result = rows;
  for (std::size_t k = 0; k < dims; ++k) {
    double mean = 0;
    for (std::size_t i = k; i < rows.size(); i += dims) mean += rows[i];
    mean /= static_cast<double>(rows.size() / dims);
    for (std::size_t i = k; i < rows.size(); i += dims) result[i] -= static_cast<float>(mean);
  }
  return result;
}

// Mean squared error of plain product codes of centred rows, what the basis drops included.
double code_error(const Choice& choice, const Rows& rows, std::size_t dims, std::size_t dims_per_block) {
  const Rows all = centred(rows, dims);
  const Rows coded = rotated(choice, all, dims);
  const CodebookShape shape = code_shape(dims, dims_per_block, choice.basis.dims);
  const std::size_t count = rows.size() / dims;
  const std::vector<PointWeight> weights(count, PointWeight{1, 1});
  std::vector<float> codewords(shape.codewords());
  EXPECT_TRUE(train_codebook(shape, coded, coded, weights, {}, never, codewords));
  const Encoder encoder(shape, codewords);
  std::vector<float> scratch(encoder.scratch_floats());
  std::vector<std::uint8_t> codes(shape.blocks());
  double sum = std::max(0.0, square(all) - square(coded));
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = std::span(coded).subspan(i * shape.dims, shape.dims);
    sum += encoder.encode(row, row, 1, scratch, codes);
  }
  return sum / static_cast<double>(count);
}

Choice as_it_is(std::size_t dims) { return {{RotationKind::kNone, static_cast<std::uint32_t>(dims)}, {}}; }

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

TEST(CodeShape, KeepsTheNumberOfBlocks) {
  for (std::size_t dims : {1, 2, 7, 100, 384, 1000}) {
    for (std::size_t width : {1, 2, 3, 7, 16}) {
      const std::size_t blocks = (dims + width - 1) / width;
      EXPECT_EQ(code_shape(dims, width, dims).blocks(), blocks) << dims << " / " << width;
      for (std::size_t kept = blocks; kept <= dims; kept += blocks) {
        EXPECT_EQ(code_shape(dims, width, kept).blocks(), blocks) << dims << " / " << width << ", " << kept;
      }
    }
  }
}

TEST(ChooseBasis, LeavesEvenSpectraAlone) {
  EXPECT_EQ(chosen_kind(gaussian_rows(std::vector<float>(32, 1.0F), 2000), 32, 4), RotationKind::kNone);
  // About the spectrum of GloVe's 100 dimensions: effective dimension 55.
  EXPECT_EQ(chosen_kind(turned(gaussian_rows(power_law(100, 0.35), 4000), 100), 100, 2), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows(std::vector<float>(600, 1.0F), 2000), 600, 7), RotationKind::kNone);
}

TEST(ChooseBasis, PermutesWhereDimensionsAlreadyDiffer) {
  const Rows rows = gaussian_rows(power_law(64, 1.0), 4000);
  for (std::size_t width : {4, 7}) {
    const Choice choice = choose(rows, 64, width);
    ASSERT_EQ(choice.basis.kind, RotationKind::kPermutation) << width;
    ASSERT_EQ(choice.basis.dims, 64U);
    std::vector<float> sources = choice.matrix;
    std::sort(sources.begin(), sources.end());
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(sources[i], static_cast<float>(i));
    const Rows permuted = rotated(choice, rows, 64);
    for (std::size_t i = 0; i < 64; ++i)
      EXPECT_EQ(permuted[i], rows[static_cast<std::size_t>(choice.matrix[i])]);
    EXPECT_LT(code_error(choice, rows, 64, width), 0.95 * code_error(as_it_is(64), rows, 64, width));
  }
  const Rows permuted = rotated(choose(rows, 64, 4), rows, 64);
  EXPECT_LT(spread(log_variances(permuted, 64, 4)), 0.2 * spread(log_variances(rows, 64, 4)));
}

TEST(ChooseBasis, RotatesSkewedSpectra) {
  constexpr std::size_t kDims = 128;
  const Rows rows = turned(gaussian_rows(power_law(kDims, 1.0), 6000), kDims);
  for (std::size_t width : {4, 8, 11}) {
    const Choice choice = choose(rows, kDims, width);
    ASSERT_EQ(choice.basis.kind, RotationKind::kRotation) << width;
    const CodebookShape shape = code_shape(kDims, width, choice.basis.dims);
    EXPECT_EQ(shape.blocks(), (kDims + width - 1) / width);

    // Its rows, by rotating the axes.
    Rows axes(kDims * kDims, 0.0F);
    for (std::size_t k = 0; k < kDims; ++k) axes[k * kDims + k] = 1;
    const Rows columns = rotated(choice, axes, kDims);
    const Eigen::Map<const Eigen::MatrixXf> matrix(columns.data(), shape.dims, kDims);
    EXPECT_LT((matrix * matrix.transpose() - Eigen::MatrixXf::Identity(shape.dims, shape.dims))
                  .cwiseAbs()
                  .maxCoeff(),
              0.01);
    EXPECT_LT(code_error(choice, rows, kDims, width), 0.8 * code_error(as_it_is(kDims), rows, kDims, width));
    EXPECT_LT(spread(log_variances(rotated(choice, rows, kDims), shape.dims, shape.dims_per_block)), 2);
  }
}

// Beside one large component the others are still told apart.
TEST(Rotate, TellsRowsFinerThanQueries) {
  constexpr std::size_t kDims = 128;
  const Rows rows = turned(gaussian_rows(power_law(kDims, 1.0), 6000), kDims);
  const Choice choice = choose(rows, kDims, 4);
  ASSERT_EQ(choice.basis.kind, RotationKind::kRotation);
  Rows axes(kDims * kDims, 0.0F);
  for (std::size_t k = 0; k < kDims; ++k) axes[k * kDims + k] = 1;
  const std::size_t coded = choice.basis.dims;
  const Rows columns = rotated(choice, axes, kDims);

  std::vector<float> x(rows.begin(), rows.begin() + kDims);
  x[5] = 50;
  std::vector<float> fine(coded);
  std::vector<float> rough(coded);
  rotate(choice.basis.kind, choice.matrix, x, fine);
  rotate_query(choice.basis.kind, choice.matrix, x, rough);
  // A rounded component errs by half a step; the errors of all, by Cauchy-Schwarz.
  const double most = 0.51 * 50 / 127 * std::sqrt(kDims) * 1.02;
  for (std::size_t j = 0; j < coded; ++j) {
    double exact = 0;
    for (std::size_t k = 0; k < kDims; ++k) exact += double{x[k]} * columns[k * coded + j];
    EXPECT_NEAR(rough[j], exact, most);
    EXPECT_NEAR(fine[j], exact, most * 0.51 / 127 + 1e-4);
  }
}

TEST(ChooseBasis, DropsWhatIsNotWorthCoding) {
  // Variances fall as i^-2: a few tens of components hold what 16 blocks can tell.
  constexpr std::size_t kDims = 600;
  const Rows rows = turned(gaussian_rows(power_law(kDims, 2.0), 2000), kDims);
  const Choice choice = choose(rows, kDims, 38);
  ASSERT_EQ(choice.basis.kind, RotationKind::kRotation);
  EXPECT_LE(choice.basis.dims, 96U);
  EXPECT_EQ(choice.matrix.size(), rotation_floats(RotationKind::kRotation, kDims, choice.basis.dims));
  EXPECT_LT(code_error(choice, rows, kDims, 38), 0.3 * code_error(as_it_is(kDims), rows, kDims, 38));
}

TEST(ChooseBasis, FindsComponentsOfManyDimensions) {
  // Subspace iteration, where the exact answer is known: 40 directions of 1,200 hold nearly everything.
  constexpr std::size_t kDims = 1200;
  std::vector<float> deviations(kDims, 0.02F);
  std::fill_n(deviations.begin(), 40, 1.0F);
  const Rows rows = turned(gaussian_rows(deviations, 1200), kDims);
  const Choice choice = choose(rows, kDims, 30);
  ASSERT_EQ(choice.basis.kind, RotationKind::kRotation);
  const Rows all = centred(rows, kDims);
  EXPECT_GT(square(rotated(choice, all, kDims)), 0.97 * square(all));
}

TEST(ChooseBasis, DoesNotBelieveSmallSamples) {
  // 300 rows seem to lie in 299 of 600 directions, but others do not.
  constexpr std::size_t kDims = 600;
  EXPECT_EQ(chosen_kind(gaussian_rows(std::vector<float>(kDims, 1.0F), 300), kDims, 7), RotationKind::kNone);
}

TEST(ChooseBasis, IsDeterministic) {
  for (std::size_t dims : {48, 500}) {
    const Rows rows = turned(gaussian_rows(power_law(dims, 1.2), 1000), dims);
    const Choice once = choose(rows, dims, 8);
    const Choice twice = choose(rows, dims, 8);
    ASSERT_EQ(once.matrix.size(), twice.matrix.size());
    // Compared as bytes: levels are no floats.
    EXPECT_EQ(std::memcmp(once.matrix.data(), twice.matrix.data(), once.matrix.size() * sizeof(float)), 0);
  }
}

TEST(ChooseBasis, NeedsEnoughRowsAndBlocks) {
  const std::vector<float> skewed = power_law(64, 1.5);
  EXPECT_EQ(chosen_kind({}, 64, 4), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows(skewed, 1), 64, 4), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows(skewed, 100), 64, 4), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows(skewed, 1000), 64, 64), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows({1.0F, 0.1F}, 1000), 2, 1), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(gaussian_rows({1.0F}, 1000), 1, 1), RotationKind::kNone);
  EXPECT_EQ(chosen_kind(Rows(64 * 1000, 2.0F), 64, 4), RotationKind::kNone);
}

TEST(ChooseBasis, SurvivesRankDeficientSamples) {
  // Only 8 directions carry anything.
  for (std::size_t dims : {64, 500}) {
    std::vector<float> deviations(dims, 0.0F);
    std::fill_n(deviations.begin(), 8, 1.0F);
    const Rows rows = turned(gaussian_rows(deviations, 1000), dims);
    const std::size_t width = dims / 8;
    const Choice choice = choose(rows, dims, width);
    ASSERT_EQ(choice.basis.kind, RotationKind::kRotation);
    EXPECT_LT(code_error(choice, rows, dims, width), 0.5 * code_error(as_it_is(dims), rows, dims, width));
  }
}

TEST(ChooseBasis, Stops) {
  Choice choice;
  choice.matrix.resize(rotation_floats(RotationKind::kRotation, 64, 64));
  EXPECT_FALSE(
      choose_basis(gaussian_rows(power_law(64, 1), 500), 64, 4, always, choice.matrix, &choice.basis));
}

TEST(Rotate, KeepsInnerProducts) {
  // Within what int8 levels of the components may be off: a hundredth or so.
  constexpr std::size_t kDims = 96;
  const Rows rows = centred(turned(gaussian_rows(power_law(kDims, 1.5), 2000), kDims), kDims);
  const Choice choice = choose(rows, kDims, 2);
  ASSERT_EQ(choice.basis.kind, RotationKind::kRotation);
  ASSERT_EQ(choice.basis.dims, kDims);
  const Rows result = rotated(choice, rows, kDims);
  for (std::size_t i = 0; i < 100 * kDims; i += 2 * kDims) {
    const double norms = norm(&rows[i], kDims) * norm(&rows[i + kDims], kDims);
    EXPECT_NEAR(inner_product(&result[i], &result[i + kDims], kDims),
                inner_product(&rows[i], &rows[i + kDims], kDims), 0.01 * norms);
    EXPECT_NEAR(norm(&result[i], kDims), norm(&rows[i], kDims), 0.01 * norm(&rows[i], kDims));
  }
}

TEST(Rotate, NoneCopies) {
  const Rows in = {1, 2, 3};
  Rows out(3);
  rotate(RotationKind::kNone, {}, in, out);
  EXPECT_EQ(out, in);
  EXPECT_EQ(rotation_floats(RotationKind::kNone, 3, 3), 0U);
  EXPECT_EQ(rotation_floats(RotationKind::kPermutation, 3, 3), 3U);
  EXPECT_EQ(rotation_floats(RotationKind::kRotation, 3, 3), 3U + 3U);  // nine bytes in three floats
  EXPECT_EQ(rotation_floats(RotationKind::kRotation, 8, 2), 2U + 4U);
}

}  // namespace
}  // namespace scann
