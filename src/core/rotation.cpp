// Chooses the basis in which product codes lose least, by rate-distortion theory for a Gaussian of the
// sample's covariance.
#include "core/rotation.hpp"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "core/kernels.hpp"

namespace scann {
namespace {

constexpr double kBitsPerBlock = 4;  // log2(kCodewords)
// Expected squared error, relative to the basis as it is, below which a change of basis is worth having. A
// permutation is free; a rotation costs every query dims^2 multiplications.
constexpr double kPermutationGain = 0.95;
constexpr double kRotationGain = 0.8;
constexpr std::size_t kRowsPerDimension = 8;  // of the sample the covariance is estimated from
constexpr std::size_t kMinRowsPerDimension = 2;

// Reverse water-filling: the level to which `bits` spread over independent Gaussians of the given variances
// (sorted, largest first) bring the error of each. The best possible squared error is the sum of
// min(variance, level).
double water_level(std::span<const double> variances, double bits) {
  double log_sum = -2 * bits;
  double level = variances[0];
  for (std::size_t i = 0; i < variances.size() && variances[i] > 0; ++i) {
    log_sum += std::log2(variances[i]);
    const double candidate = std::exp2(log_sum / static_cast<double>(i + 1));
    if (candidate >= variances[i]) break;
    level = candidate;
  }
  return level;
}

double distortion(std::vector<double> variances) {
  std::sort(variances.begin(), variances.end(), std::greater<>());
  const double level = water_level(variances, kBitsPerBlock);
  double sum = 0;
  for (double variance : variances) sum += std::min(std::max(variance, 0.0), level);
  return sum;
}

// Which dimensions come where: block b has those at [b * width, (b + 1) * width), the last one perhaps fewer.
using Order = std::vector<std::size_t>;

double total_distortion(const Eigen::MatrixXd& covariance, const Order& order, std::size_t width) {
  double sum = 0;
  for (std::size_t from = 0; from < order.size(); from += width) {
    const auto n = static_cast<Eigen::Index>(std::min(width, order.size() - from));
    Eigen::MatrixXd block(n, n);
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index j = 0; j < n; ++j) {
        block(i, j) = covariance(static_cast<Eigen::Index>(order[from + static_cast<std::size_t>(i)]),
                                 static_cast<Eigen::Index>(order[from + static_cast<std::size_t>(j)]));
      }
    }
    const Eigen::VectorXd variances =
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(block, Eigen::EigenvaluesOnly).eigenvalues();
    sum += distortion(std::vector<double>(variances.begin(), variances.end()));
  }
  return sum;
}

// Deals components to blocks of `width`, the one of largest variance first, each to the block whose
// components need the fewest bits so far: log2(variance / level) / 2 above the common water level.
Order deal(const std::vector<double>& variances, std::size_t width) {
  const std::size_t dims = variances.size();
  const std::size_t blocks = (dims + width - 1) / width;
  Order by_variance(dims);
  std::iota(by_variance.begin(), by_variance.end(), std::size_t{0});
  std::stable_sort(by_variance.begin(), by_variance.end(),
                   [&](std::size_t a, std::size_t b) { return variances[a] > variances[b]; });
  std::vector<double> sorted(dims);
  for (std::size_t i = 0; i < dims; ++i) sorted[i] = variances[by_variance[i]];
  const double level = water_level(sorted, kBitsPerBlock * static_cast<double>(blocks));

  std::vector<Order> members(blocks);
  std::vector<double> bits(blocks, 0.0);
  const auto capacity = [&](std::size_t b) { return std::min(width, dims - b * width); };
  for (std::size_t i = 0; i < dims; ++i) {
    std::size_t best = blocks;
    for (std::size_t b = 0; b < blocks; ++b) {
      if (members[b].size() < capacity(b) && (best == blocks || bits[b] < bits[best])) best = b;
    }
    members[best].push_back(by_variance[i]);
    if (sorted[i] > level) bits[best] += std::log2(sorted[i] / level) / 2;
  }
  Order order;
  order.reserve(dims);
  for (const Order& block : members) order.insert(order.end(), block.begin(), block.end());
  return order;
}

// The covariance of every stride-th row, as a sum of products of transposed chunks.
bool covariance_of(std::span<const float> rows, std::size_t dims, StopPredicate stop,
                   Eigen::MatrixXd* covariance) {
  constexpr std::size_t kChunk = 256;
  const std::size_t count = rows.size() / dims;
  const std::size_t stride = std::max<std::size_t>(1, count / (kRowsPerDimension * dims + 4096));
  const std::size_t take = count / stride;

  std::vector<double> mean(dims, 0.0);
  for (std::size_t i = 0; i < take; ++i) {
    for (std::size_t k = 0; k < dims; ++k) mean[k] += rows[i * stride * dims + k] / static_cast<double>(take);
  }
  const auto n = static_cast<Eigen::Index>(dims);
  covariance->setZero(n, n);
  std::vector<float> transposed(dims * kChunk);
  std::vector<float> products(dims);
  for (std::size_t from = 0; from < take; from += kChunk) {
    const std::size_t chunk = std::min(kChunk, take - from);
    for (std::size_t i = 0; i < chunk; ++i) {
      const float* row = &rows[(from + i) * stride * dims];
      for (std::size_t k = 0; k < dims; ++k) transposed[k * chunk + i] = static_cast<float>(row[k] - mean[k]);
    }
    for (std::size_t k = 0; k < dims; ++k) {  // the lower triangle
      if (stop()) return false;
      dot_matrix(&transposed[k * chunk], 1, transposed.data(), k + 1, chunk, products.data());
      for (std::size_t l = 0; l <= k; ++l) {
        (*covariance)(static_cast<Eigen::Index>(k), static_cast<Eigen::Index>(l)) += products[l];
      }
    }
  }
  *covariance /= static_cast<double>(take);
  covariance->triangularView<Eigen::StrictlyUpper>() = covariance->transpose();
  return true;
}

}  // namespace

bool choose_rotation(std::span<const float> rows, std::size_t dims, std::size_t dims_per_block,
                     StopPredicate stop, std::span<float> matrix, RotationKind* kind) {
  *kind = RotationKind::kNone;
  const std::size_t count = rows.size() / dims;
  if (dims > kMaxRotatedDimensions || dims_per_block < 2 || dims <= dims_per_block ||
      count < kMinRowsPerDimension * dims) {
    return true;
  }
  Eigen::MatrixXd covariance;
  if (!covariance_of(rows, dims, stop, &covariance)) return false;

  Order identity(dims);
  std::iota(identity.begin(), identity.end(), std::size_t{0});
  const Eigen::VectorXd diagonal = covariance.diagonal();
  const Order permutation = deal(std::vector<double>(diagonal.begin(), diagonal.end()), dims_per_block);
  const double as_it_is = total_distortion(covariance, identity, dims_per_block);
  const double permuted = total_distortion(covariance, permutation, dims_per_block);
  if (!(as_it_is > 0) || stop()) return !stop();

  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  const Eigen::VectorXd& values = solver.eigenvalues();
  const Order components = deal(std::vector<double>(values.begin(), values.end()), dims_per_block);
  const double rotated = total_distortion(values.asDiagonal(), components, dims_per_block);

  if (rotated < kRotationGain * std::min(as_it_is, permuted)) {
    *kind = RotationKind::kRotation;
    for (std::size_t i = 0; i < dims; ++i) {
      Eigen::Map<Eigen::VectorXf>(&matrix[i * dims], static_cast<Eigen::Index>(dims)) =
          solver.eigenvectors().col(static_cast<Eigen::Index>(components[i])).cast<float>();
    }
  } else if (permuted < kPermutationGain * as_it_is) {
    *kind = RotationKind::kPermutation;
    for (std::size_t i = 0; i < dims; ++i) matrix[i] = static_cast<float>(permutation[i]);
  }
  return true;
}

std::size_t rotation_floats(RotationKind kind, std::size_t dims) {
  switch (kind) {
    case RotationKind::kNone:
      return 0;
    case RotationKind::kPermutation:
      return dims;
    case RotationKind::kRotation:
      return dims * dims;
  }
  return 0;
}

void rotate(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
            std::span<float> out) {
  switch (kind) {
    case RotationKind::kNone:
      std::copy(in.begin(), in.end(), out.begin());
      break;
    case RotationKind::kPermutation:
      for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[static_cast<std::size_t>(matrix[i])];
      break;
    case RotationKind::kRotation:
      dot_matrix(in.data(), 1, matrix.data(), in.size(), in.size(), out.data());
      break;
  }
}

}  // namespace scann
