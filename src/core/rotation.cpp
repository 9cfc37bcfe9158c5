// Chooses the basis in which product codes lose least, by rate-distortion theory for a Gaussian of the
// sample's covariance.
#include "core/rotation.hpp"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/kernels.hpp"
#include "core/scalar_quantizer.hpp"

namespace scann {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kBitsPerBlock = 4;  // log2(kCodewords)

// What a query costs grows by this power of e with the share of the residuals' square that codes lose (text
// embeddings of 384 dimensions and a map of them to 1,536, recall 0.95; shares of 0.14 to 0.67): less exact
// codes make it score more of them, and re-order more candidates.
constexpr double kErrorWeight = 2.5;
// Nanoseconds of a query at the cheapest, and of one component's product with one dimension of it.
constexpr double kSearchCost = 40e3;
constexpr double kProductCost = 0.04;
// Relative cost below which a change of basis is worth having. Both cost inserts and the build; a query
// hardly feels a permutation.
constexpr double kPermutationGain = 0.97;
constexpr double kRotationGain = 0.95;

constexpr std::size_t kMaxSampleRows = 8192;
constexpr std::size_t kMinSampleRows = 256;
constexpr std::size_t kChunk = 256;
constexpr std::size_t kHeldOut = 4;  // one row of so many
// Directions beyond the components wanted, and rounds, of the subspace iteration.
constexpr std::size_t kOversampling = 32;
constexpr int kSubspaceRounds = 2;

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

// Rows of a sample, evenly spread, centred: most to learn from, every fourth held out.
class Sample {
 public:
  Sample(std::span<const float> rows, std::size_t dims)
      : rows_(rows),
        dims_(dims),
        stride_(std::max<std::size_t>(1, rows.size() / dims / kMaxSampleRows)),
        count_(rows.size() / dims / stride_),
        mean_(dims, 0.0),
        chunk_(kChunk * dims) {
    for (std::size_t i = 0; i < count_; ++i) {
      for (std::size_t k = 0; k < dims; ++k) mean_[k] += row(i)[k];
    }
    for (double& mean : mean_) mean /= static_cast<double>(count_);
  }

  std::size_t dims() const { return dims_; }

  // Calls visit(chunk, n) with n x dims centred rows at a time. Returns false when `stop` said so.
  template <class Visit>
  bool for_each_chunk(bool held_out, StopPredicate stop, Visit&& visit) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if ((i % kHeldOut == kHeldOut - 1) != held_out) continue;
      std::transform(row(i), row(i) + dims_, mean_.begin(), &chunk_[n * dims_],
                     [](float value, double mean) { return static_cast<float>(value - mean); });
      if (++n < kChunk) continue;
      if (stop()) return false;
      visit(std::span<const float>(chunk_), n);
      n = 0;
    }
    if (n > 0) visit(std::span<const float>(chunk_), n);
    return !stop();
  }

 private:
  const float* row(std::size_t i) const { return &rows_[i * stride_ * dims_]; }

  std::span<const float> rows_;
  std::size_t dims_;
  std::size_t stride_;
  std::size_t count_;
  std::vector<double> mean_;
  std::vector<float> chunk_;
};

// count x dims to dims x count.
void transpose(const float* rows, std::size_t count, std::size_t dims, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < dims; ++k) out[k * count + i] = rows[i * dims + k];
  }
}

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

// The expected error of a block coded by itself.
double block_distortion(const Eigen::MatrixXd& covariance) {
  const Eigen::VectorXd variances =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(covariance, Eigen::EigenvaluesOnly).eigenvalues();
  return distortion(std::vector<double>(variances.begin(), variances.end()));
}

// Which dimensions come where: block b has those at [b * width, (b + 1) * width), the last one perhaps fewer.
using Order = std::vector<std::size_t>;

// Deals components to blocks of `width`, the one of largest variance first, each to the block whose
// components need the fewest bits so far: log2(variance / level) / 2 above the common water level.
Order deal(const std::vector<double>& variances, std::size_t width) {
  const std::size_t dims = variances.size();
  const std::size_t blocks = (dims + width - 1) / width;
  Order by_variance(dims);
  std::iota(by_variance.begin(), by_variance.end(), std::size_t{0});
  std::stable_sort(by_variance.begin(), by_variance.end(),
                   [&](std::size_t a, std::size_t b) { return variances[a] > variances[b]; });
  std::vector<double> sorted = variances;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
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

// The expected error of dimensions dealt to blocks in this order, from the held-out rows.
bool dimension_distortion(Sample& sample, const Order& order, std::size_t width, StopPredicate stop,
                          double* error) {
  const std::size_t blocks = (order.size() + width - 1) / width;
  std::vector<Eigen::MatrixXd> covariances(blocks);
  for (std::size_t b = 0; b < blocks; ++b) {
    const Eigen::Index n = index(std::min(width, order.size() - b * width));
    covariances[b].setZero(n, n);
  }
  double count = 0;
  Eigen::VectorXd members(width);
  const bool finished = sample.for_each_chunk(true, stop, [&](std::span<const float> chunk, std::size_t n) {
    count += static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const float* row = &chunk[i * order.size()];
      for (std::size_t b = 0; b < blocks; ++b) {
        const Eigen::Index size = covariances[b].rows();
        for (Eigen::Index k = 0; k < size; ++k)
          members[k] = row[order[b * width + static_cast<std::size_t>(k)]];
        covariances[b] += members.head(size) * members.head(size).transpose();
      }
    }
  });
  *error = 0;
  for (const Eigen::MatrixXd& covariance : covariances) *error += block_distortion(covariance / count);
  return finished;
}

// The variance of each dimension over the held-out rows.
bool dimension_variances(Sample& sample, StopPredicate stop, std::vector<double>* variances) {
  variances->assign(sample.dims(), 0);
  double rows = 0;
  const bool finished = sample.for_each_chunk(true, stop, [&](std::span<const float> chunk, std::size_t n) {
    for (std::size_t i = 0; i < n * sample.dims(); ++i) {
      (*variances)[i % sample.dims()] += double{chunk[i]} * chunk[i];
    }
    rows += static_cast<double>(n);
  });
  for (double& variance : *variances) variance /= rows;
  return finished;
}

// The variance of the held-out rows along each row of `directions`.
bool component_variances(Sample& sample, const Matrix& directions, StopPredicate stop,
                         std::vector<double>* variances) {
  const auto count = static_cast<std::size_t>(directions.rows());
  variances->assign(count, 0);
  std::vector<float> products(count * kChunk);
  double rows = 0;
  const bool finished = sample.for_each_chunk(true, stop, [&](std::span<const float> chunk, std::size_t n) {
    dot_matrix(directions.data(), count, chunk.data(), n, sample.dims(), products.data());
    for (std::size_t i = 0; i < count; ++i)
      (*variances)[i] += inner_product(&products[i * n], &products[i * n], n);
    rows += static_cast<double>(n);
  });
  for (double& variance : *variances) variance /= rows;
  return finished;
}

// Orthonormal rows that span the same space.
Matrix orthonormal(const Matrix& directions) {
  const Eigen::HouseholderQR<Eigen::MatrixXf> decomposition(directions.transpose());
  return (decomposition.householderQ() * Eigen::MatrixXf::Identity(directions.cols(), directions.rows()))
      .transpose();
}

// One round of subspace iteration: directions times the covariance, made orthonormal.
bool iterate_subspace(Sample& sample, StopPredicate stop, Matrix* directions) {
  const auto count = static_cast<std::size_t>(directions->rows());
  const std::size_t dims = sample.dims();
  std::vector<float> transposed(kChunk * dims);
  std::vector<float> products(count * kChunk);
  Matrix sum = Matrix::Zero(directions->rows(), directions->cols());
  Matrix term(directions->rows(), directions->cols());
  const bool finished = sample.for_each_chunk(false, stop, [&](std::span<const float> chunk, std::size_t n) {
    dot_matrix(directions->data(), count, chunk.data(), n, dims, products.data());
    transpose(chunk.data(), n, dims, transposed.data());
    dot_matrix(products.data(), count, transposed.data(), dims, n, term.data());
    sum += term;
  });
  if (finished) *directions = orthonormal(sum);
  return finished;
}

// The covariance of the sample within the space that `directions` span.
bool covariance_within(Sample& sample, const Matrix& directions, StopPredicate stop,
                       Eigen::MatrixXd* covariance) {
  const auto count = static_cast<std::size_t>(directions.rows());
  std::vector<float> products(count * kChunk);
  Matrix term(directions.rows(), directions.rows());
  covariance->setZero(directions.rows(), directions.rows());
  return sample.for_each_chunk(false, stop, [&](std::span<const float> chunk, std::size_t n) {
    dot_matrix(directions.data(), count, chunk.data(), n, sample.dims(), products.data());
    dot_matrix(products.data(), count, products.data(), count, n, term.data());
    *covariance += term.cast<double>();
  });
}

// The `count` principal components, as rows, the one of largest variance first. By subspace iteration, whose
// first directions are random, where there are many more dimensions.
bool principal_components(Sample& sample, std::size_t count, StopPredicate stop, Matrix* components) {
  const std::size_t dims = sample.dims();
  const std::size_t tried = std::min(dims, count + kOversampling);
  Matrix directions = Matrix::Identity(index(tried), index(dims));
  if (tried < dims) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    directions = orthonormal(Matrix::NullaryExpr(index(tried), index(dims), [&] { return normal(random); }));
    for (int round = 0; round < kSubspaceRounds; ++round) {
      if (!iterate_subspace(sample, stop, &directions)) return false;
    }
  }
  Eigen::MatrixXd covariance;
  if (!covariance_within(sample, directions, stop, &covariance)) return false;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);  // ascending
  const Matrix within =
      solver.eigenvectors().rightCols(index(count)).rowwise().reverse().transpose().cast<float>();
  *components = within * directions;
  return true;
}

// The components at `order` as scales and levels.
void store_components(const Matrix& components, const Order& order, std::span<float> matrix) {
  const auto dims = static_cast<std::size_t>(components.cols());
  auto* levels = reinterpret_cast<std::int8_t*>(matrix.data() + order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const float* component = components.row(index(order[i])).data();
    matrix[i] = scalar_quantize({component, dims}, {levels + i * dims, dims}).scale;
  }
}

double search_cost(double lost_share) { return kSearchCost * std::exp(kErrorWeight * lost_share); }

// How many of the principal components to keep, and where they go.
struct Rotation {
  double cost = std::numeric_limits<double>::infinity();
  Order order;
};

// Keeps as many components as make one, two, ... to a block. `variances`: of the components; `total`: of all.
Rotation best_rotation(const std::vector<double>& variances, double total, std::size_t dims,
                       std::size_t blocks) {
  Rotation best;
  for (std::size_t width = 1; (width - 1) * blocks < variances.size(); ++width) {
    const std::size_t kept = std::min(width * blocks, dims);
    if (kept > variances.size()) break;
    const std::vector<double> of_kept(variances.begin(),
                                      variances.begin() + static_cast<std::ptrdiff_t>(kept));
    double error = std::max(0.0, total - std::accumulate(of_kept.begin(), of_kept.end(), 0.0));
    Order order = deal(of_kept, width);
    for (std::size_t from = 0; from < kept; from += width) {
      std::vector<double> of_block;
      for (std::size_t i = from; i < std::min(from + width, kept); ++i) of_block.push_back(of_kept[order[i]]);
      error += distortion(std::move(of_block));
    }
    const double cost = search_cost(error / total) + kProductCost * static_cast<double>(kept * dims);
    if (cost < best.cost) best = {cost, std::move(order)};
  }
  return best;
}

}  // namespace

CodebookShape code_shape(std::size_t dims, std::size_t dims_per_block, std::size_t coded_dims) {
  const std::size_t blocks = (dims + dims_per_block - 1) / dims_per_block;
  return {static_cast<std::uint32_t>(coded_dims),
          static_cast<std::uint32_t>((coded_dims + blocks - 1) / blocks)};
}

bool choose_basis(std::span<const float> rows, std::size_t dims, std::size_t dims_per_block,
                  StopPredicate stop, std::span<float> matrix, CodeBasis* basis) {
  *basis = {RotationKind::kNone, static_cast<std::uint32_t>(dims)};
  if (dims_per_block < 2 || dims <= dims_per_block || rows.size() / dims < kMinSampleRows) return true;
  const CodebookShape shape = code_shape(dims, dims_per_block, dims);
  Sample sample(rows, dims);

  std::vector<double> of_dimensions;
  if (!dimension_variances(sample, stop, &of_dimensions)) return false;
  const double total = std::accumulate(of_dimensions.begin(), of_dimensions.end(), 0.0);
  if (!(total > 0)) return true;
  Order identity(dims);
  std::iota(identity.begin(), identity.end(), std::size_t{0});
  const Order permutation = deal(of_dimensions, shape.dims_per_block);
  double as_it_is = 0;
  double permuted = 0;
  if (!dimension_distortion(sample, identity, shape.dims_per_block, stop, &as_it_is) ||
      !dimension_distortion(sample, permutation, shape.dims_per_block, stop, &permuted)) {
    return false;
  }

  Matrix components;
  std::vector<double> of_components;
  if (!principal_components(sample, std::min(dims, kMaxComponents), stop, &components) ||
      !component_variances(sample, components, stop, &of_components)) {
    return false;
  }
  const Rotation rotation = best_rotation(of_components, total, dims, shape.blocks());

  const double cost = search_cost(as_it_is / total);
  const double permuted_cost = search_cost(permuted / total);
  if (rotation.cost < kRotationGain * std::min(cost, permuted_cost)) {
    *basis = {RotationKind::kRotation, static_cast<std::uint32_t>(rotation.order.size())};
    store_components(components, rotation.order, matrix);
  } else if (permuted_cost < kPermutationGain * cost) {
    basis->kind = RotationKind::kPermutation;
    std::transform(permutation.begin(), permutation.end(), matrix.begin(),
                   [](std::size_t source) { return static_cast<float>(source); });
  }
  return true;
}

std::size_t rotation_scratch_bytes(std::size_t dims) {
  // Two chunks of rows; five sets of directions, most of them while one is made orthonormal.
  return (2 * kChunk + 5 * std::min(dims, kMaxComponents + kOversampling)) * dims * sizeof(float);
}

std::size_t rotation_floats(RotationKind kind, std::size_t dims, std::size_t coded_dims) {
  switch (kind) {
    case RotationKind::kNone:
      return 0;
    case RotationKind::kPermutation:
      return dims;
    case RotationKind::kRotation:
      return coded_dims + rotation_level_floats(kind, dims, coded_dims);
  }
  return 0;
}

std::size_t rotation_level_floats(RotationKind kind, std::size_t dims, std::size_t coded_dims) {
  return kind == RotationKind::kRotation ? (coded_dims * dims + sizeof(float) - 1) / sizeof(float) : 0;
}

namespace {

// out[i] += <component i, `in` in 8 bits>: in multiples, `levels`, of what is returned.
float add_products(std::span<const float> matrix, std::span<const float> in, std::int8_t* levels,
                   std::span<float> out) {
  float products[kMaxComponents];
  const float scale = quantize_query(in.data(), in.size(), levels);
  dot_i8_rows(levels, scale, reinterpret_cast<const std::int8_t*>(matrix.data() + out.size()), out.size(),
              in.size(), products);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += products[i] * matrix[i];
  return scale;
}

// `fine`: a second pass over the components takes what 8 bits of `in` do not tell.
void rotate(RotationKind kind, std::span<const float> matrix, std::span<const float> in, std::span<float> out,
            bool fine) {
  switch (kind) {
    case RotationKind::kNone:
      std::copy(in.begin(), in.end(), out.begin());
      break;
    case RotationKind::kPermutation:
      for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[static_cast<std::size_t>(matrix[i])];
      break;
    case RotationKind::kRotation: {
      std::int8_t levels[kMaxDimensions];
      std::fill(out.begin(), out.end(), 0.0F);
      const float scale = add_products(matrix, in, levels, out);
      if (!fine) break;
      float rest[kMaxDimensions];
      for (std::size_t i = 0; i < in.size(); ++i) rest[i] = in[i] - scale * static_cast<float>(levels[i]);
      add_products(matrix, {rest, in.size()}, levels, out);
      break;
    }
  }
}

}  // namespace

void rotate(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
            std::span<float> out) {
  rotate(kind, matrix, in, out, true);
}

void rotate_query(RotationKind kind, std::span<const float> matrix, std::span<const float> in,
                  std::span<float> out) {
  rotate(kind, matrix, in, out, false);
}

}  // namespace scann
