// Training and encoding of product codes under the score-aware loss (paper sections 4.1 and 7.5).
#include "core/codebook.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/codeword_search.hpp"
#include "core/kernels.hpp"

namespace scann {
namespace {

constexpr int kMaxDescentRounds = 3;
constexpr std::size_t kStopInterval = 256;  // rows between two polls of stop()

std::size_t width_of(const CodebookShape& shape, std::size_t block) {
  return std::min<std::size_t>(shape.dims_per_block, shape.dims - block * shape.dims_per_block);
}

// 1 / ||x||, or 0 for a vector so short that it has no usable direction.
float inverse_norm(const float* x, std::size_t dims) {
  const auto inverse = static_cast<float>(1 / std::sqrt(inner_product(x, x, dims)));
  return std::isfinite(inverse) ? inverse : 0.0F;
}

// The sub-vectors of one block over a subsample, for plain k-means.
struct BlockSample {
  std::size_t dims;
  std::vector<float> rows;
  std::vector<float> weights;

  std::size_t count() const { return weights.size(); }
  const float* row(std::size_t i) const { return &rows[i * dims]; }
};

BlockSample block_sample(const CodebookShape& shape, std::size_t block, std::span<const float> residuals,
                         std::span<const PointWeight> weights) {
  const std::size_t stride = (weights.size() + kCodebookTrainingRows - 1) / kCodebookTrainingRows;
  const std::size_t count = (weights.size() + stride - 1) / stride;
  const std::size_t width = width_of(shape, block);
  BlockSample sample{shape.dims_per_block, std::vector<float>(count * shape.dims_per_block, 0.0F), {}};
  sample.weights.reserve(count);
  for (std::size_t i = 0; i < weights.size(); i += stride) {
    const float* from = &residuals[i * shape.dims + block * shape.dims_per_block];
    std::copy_n(from, width, &sample.rows[sample.count() * sample.dims]);
    sample.weights.push_back(weights[i].weight);
  }
  return sample;
}

// k-means++: every next codeword is a row drawn with probability proportional to its squared distance so far.
void seed_codewords(const BlockSample& sample, std::mt19937_64& random, float* codewords) {
  std::vector<float> distance(sample.count(), std::numeric_limits<float>::infinity());
  std::size_t chosen = random() % sample.count();
  for (std::size_t j = 0; j < kCodewords; ++j) {
    float* codeword = codewords + j * sample.dims;
    std::copy_n(sample.row(chosen), sample.dims, codeword);
    double total = 0;
    for (std::size_t i = 0; i < sample.count(); ++i) {
      float squared = 0;
      for (std::size_t k = 0; k < sample.dims; ++k) {
        const float difference = sample.row(i)[k] - codeword[k];
        squared += difference * difference;
      }
      distance[i] = std::min(distance[i], squared);
      total += static_cast<double>(distance[i]) * sample.weights[i];
    }
    double draw = total * (static_cast<double>(random() >> 11) * 0x1p-53);
    for (chosen = 0; chosen + 1 < sample.count(); ++chosen) {
      draw -= static_cast<double>(distance[chosen]) * sample.weights[chosen];
      if (draw < 0) break;
    }
  }
}

struct LloydScratch {
  explicit LloydScratch(const BlockSample& sample)
      : transposed(kCodewords * sample.dims),
        codes(sample.count()),
        distances(sample.count()),
        sums(kCodewords * sample.dims) {}

  std::vector<float> transposed;
  std::vector<std::uint8_t> codes;
  std::vector<float> distances;
  std::vector<double> sums;  // [codeword][dimension]
};

// One round of weighted Lloyd's k-means. A codeword without rows moves to the row that costs most.
void lloyd_round(const BlockSample& sample, LloydScratch& scratch, float* codewords) {
  transpose_codewords(codewords, 1, sample.dims, scratch.transposed.data());
  nearest_codewords(scratch.transposed.data(), sample.dims, sample.rows.data(), sample.count(),
                    scratch.codes.data(), scratch.distances.data());
  std::fill(scratch.sums.begin(), scratch.sums.end(), 0.0);
  std::array<double, kCodewords> totals = {};
  std::size_t worst = 0;
  for (std::size_t i = 0; i < sample.count(); ++i) {
    const double weight = sample.weights[i];
    double* sum = &scratch.sums[scratch.codes[i] * sample.dims];
    for (std::size_t k = 0; k < sample.dims; ++k) sum[k] += weight * sample.row(i)[k];
    totals[scratch.codes[i]] += weight;
    scratch.distances[i] *= sample.weights[i];
    if (scratch.distances[i] > scratch.distances[worst]) worst = i;
  }
  for (std::size_t j = 0; j < kCodewords; ++j) {
    for (std::size_t k = 0; k < sample.dims; ++k) {
      const std::size_t at = j * sample.dims + k;
      codewords[at] = totals[j] > 0 ? static_cast<float>(scratch.sums[at] / totals[j]) : sample.row(worst)[k];
    }
  }
}

// <r - r~, x> / ||x|| of every point under its codes.
std::vector<float> parallel_errors(const CodebookShape& shape, std::span<const float> points,
                                   std::span<const float> residuals, std::span<const std::uint8_t> codes,
                                   std::span<const float> inverse_norms, std::span<const float> codewords) {
  const std::size_t blocks = shape.blocks();
  const Encoder encoder(shape, codewords);
  std::vector<float> error(shape.dims);
  std::vector<float> parallel(inverse_norms.size());
  for (std::size_t i = 0; i < parallel.size(); ++i) {
    encoder.decode(codes.subspan(i * blocks, blocks), error);
    for (std::size_t k = 0; k < shape.dims; ++k) error[k] = residuals[i * shape.dims + k] - error[k];
    const double product = inner_product(error.data(), &points[i * shape.dims], shape.dims);
    parallel[i] = static_cast<float>(product * inverse_norms[i]);
  }
  return parallel;
}

std::vector<float> inverse_norms_of(std::span<const float> points, std::size_t dims) {
  std::vector<float> inverses(points.size() / dims);
  for (std::size_t i = 0; i < inverses.size(); ++i) inverses[i] = inverse_norm(&points[i * dims], dims);
  return inverses;
}

// Neighbouring blocks of all points, brought together: rows lie far apart, and one block of each is a small
// part of a cache line.
class GatheredBlocks {
 public:
  GatheredBlocks(const CodebookShape& shape, std::size_t rows)
      : shape_(shape),
        rows_(rows),
        capacity_(std::max<std::size_t>(1, kGatheredBytes / sizeof(float) / shape.dims_per_block)),
        points_(capacity_ * rows * shape.dims_per_block),
        residuals_(points_.size()),
        codes_(capacity_ * rows) {}

  std::size_t capacity() const { return capacity_; }

  // Up to capacity() blocks from number `first` on. What a last block has less than the others is left as it
  // is.
  void gather(std::size_t first, std::span<const float> points, std::span<const float> residuals,
              std::span<const std::uint8_t> codes) {
    first_ = first;
    const std::size_t end = std::min(shape_.blocks(), first + capacity_);
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t b = first; b < end; ++b) {
        const std::size_t from = i * shape_.dims + b * shape_.dims_per_block;
        const std::size_t to = index(b, i) * shape_.dims_per_block;
        for (std::size_t k = 0; k < width_of(shape_, b); ++k) {
          points_[to + k] = points[from + k];
          residuals_[to + k] = residuals[from + k];
        }
        codes_[index(b, i)] = codes[i * shape_.blocks() + b];
      }
    }
  }

  // The first point's; the others follow.
  const float* points(std::size_t block) const { return &points_[index(block, 0) * shape_.dims_per_block]; }
  const float* residuals(std::size_t block) const {
    return &residuals_[index(block, 0) * shape_.dims_per_block];
  }
  const std::uint8_t* codes(std::size_t block) const { return &codes_[index(block, 0)]; }

 private:
  static constexpr std::size_t kGatheredBytes = 128;  // of a row

  std::size_t index(std::size_t block, std::size_t i) const { return (block - first_) * rows_ + i; }

  const CodebookShape& shape_;
  std::size_t rows_;
  std::size_t capacity_;
  std::size_t first_ = 0;
  std::vector<float> points_;        // [block][row][dimension]
  std::vector<float> residuals_;     // likewise
  std::vector<std::uint8_t> codes_;  // [block][row]
};

// The points of one block, its codewords and who has which.
struct BlockView {
  BlockView(const CodebookShape& shape, std::size_t block, const GatheredBlocks& gathered,
            std::span<float> codewords)
      : block_dims(shape.dims_per_block),
        width(width_of(shape, block)),
        points(gathered.points(block)),
        residuals(gathered.residuals(block)),
        codes(gathered.codes(block)),
        codewords(&codewords[block * kCodewords * block_dims]) {}

  const float* point(std::size_t i) const { return points + i * block_dims; }
  const float* residual(std::size_t i) const { return residuals + i * block_dims; }
  std::size_t code(std::size_t i) const { return codes[i]; }

  // <r_b - c, x_b> of a point under its code
  float along(std::size_t i) const {
    const float* codeword = codewords + code(i) * block_dims;
    float sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += (residual(i)[k] - codeword[k]) * point(i)[k];
    return sum;
  }

  std::size_t block_dims;
  std::size_t width;
  const float* points;
  const float* residuals;
  const std::uint8_t* codes;
  float* codewords;
};

// The section 7.5 update of one block: 16 independent linear systems. For the points with codeword c, with
// x^ = x_b / ||x|| and q the parallel error that the other blocks leave plus <r_b, x^>, the loss is the sum
// of w ((eta - 1) (q - <c, x^>)^2 + ||r_b - c||^2).
class BlockUpdate {
 public:
  explicit BlockUpdate(std::size_t block_dims)
      : matrices_(kCodewords * block_dims * block_dims), vectors_(kCodewords * block_dims) {}

  void start(std::size_t width) {
    width_ = width;
    std::fill(matrices_.begin(), matrices_.end(), 0.0);
    std::fill(vectors_.begin(), vectors_.end(), 0.0);
    totals_ = {};
  }

  // `others` is the parallel error that the other blocks leave.
  void add(std::size_t code, const float* residual, const float* point, float inverse_norm, float others,
           PointWeight weight) {
    const double extra = static_cast<double>(weight.weight) * (weight.eta - 1) * inverse_norm;
    double q = 0;
    for (std::size_t k = 0; k < width_; ++k) q += static_cast<double>(residual[k]) * point[k];
    q = q * inverse_norm + others;
    double* vector = &vectors_[code * width_];
    double* matrix = &matrices_[code * width_ * width_];
    for (std::size_t k = 0; k < width_; ++k) {
      const double direction = extra * point[k];
      vector[k] += q * direction + static_cast<double>(weight.weight) * residual[k];
      for (std::size_t l = 0; l <= k; ++l) matrix[l * width_ + k] += direction * inverse_norm * point[l];
    }
    totals_[code] += weight.weight;
  }

  // A codeword without points stays.
  void solve(const BlockView& block) {
    const auto n = static_cast<Eigen::Index>(width_);
    for (std::size_t j = 0; j < kCodewords; ++j) {
      if (!(totals_[j] > 0)) continue;
      Eigen::Map<Eigen::MatrixXd> matrix(&matrices_[j * width_ * width_], n,
                                         n);  // column-major: the lower triangle
      matrix.diagonal().array() += totals_[j];
      const Eigen::VectorXd solution =
          matrix.ldlt().solve(Eigen::Map<Eigen::VectorXd>(&vectors_[j * width_], n));
      if (!solution.allFinite()) continue;
      Eigen::Map<Eigen::VectorXf>(block.codewords + j * block.block_dims, n) = solution.cast<float>();
    }
  }

 private:
  std::size_t width_ = 0;
  std::vector<double> matrices_;
  std::vector<double> vectors_;
  std::array<double, kCodewords> totals_ = {};
};

}  // namespace

bool update_codewords(const CodebookShape& shape, std::span<const float> points,
                      std::span<const float> residuals, std::span<const PointWeight> weights,
                      std::span<const std::uint8_t> codes, StopPredicate stop, std::span<float> codewords) {
  const std::vector<float> inverses = inverse_norms_of(points, shape.dims);
  // The parallel error of every point, but for the block that is being exchanged.
  std::vector<float> errors = parallel_errors(shape, points, residuals, codes, inverses, codewords);
  BlockUpdate update(shape.dims_per_block);
  GatheredBlocks gathered(shape, weights.size());
  for (std::size_t b = 0; b < shape.blocks(); ++b) {
    if (b % gathered.capacity() == 0) gathered.gather(b, points, residuals, codes);
    const BlockView block(shape, b, gathered, codewords);
    update.start(block.width);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % kStopInterval == 0 && stop()) return false;
      errors[i] -= block.along(i) * inverses[i];
      update.add(block.code(i), block.residual(i), block.point(i), inverses[i], errors[i], weights[i]);
    }
    update.solve(block);
    for (std::size_t i = 0; i < weights.size(); ++i) errors[i] += block.along(i) * inverses[i];
  }
  return true;
}

double codebook_loss(const CodebookShape& shape, std::span<const float> points,
                     std::span<const float> residuals, std::span<const PointWeight> weights,
                     std::span<const std::uint8_t> codes, std::span<const float> codewords) {
  const std::size_t dims = shape.dims;
  const std::size_t blocks = shape.blocks();
  const Encoder encoder(shape, codewords);
  std::vector<float> decoded(dims);
  double total = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float* point = &points[i * dims];
    const float* residual = &residuals[i * dims];
    encoder.decode(codes.subspan(i * blocks, blocks), decoded);
    const double squared = squared_distance(residual, decoded.data(), dims);
    const double parallel = inner_product(residual, point, dims) - inner_product(decoded.data(), point, dims);
    const double scaled = parallel * inverse_norm(point, dims);
    total += weights[i].weight * (squared + (weights[i].eta - 1.0) * scaled * scaled);
  }
  return total;
}

// Plain k-means in every block: the start of training (section 4.1).
bool train_l2(const CodebookShape& shape, std::span<const float> residuals,
              std::span<const PointWeight> weights, const CodebookTrainingOptions& options,
              StopPredicate stop, std::span<float> codewords) {
  std::mt19937_64 random(options.seed);
  for (std::size_t b = 0; b < shape.blocks(); ++b) {
    float* block_codewords = &codewords[b * kCodewords * shape.dims_per_block];
    const BlockSample sample = block_sample(shape, b, residuals, weights);
    if (stop()) return false;
    seed_codewords(sample, random, block_codewords);
    LloydScratch scratch(sample);
    for (int i = 0; i < options.l2_iterations; ++i) {
      if (stop()) return false;
      lloyd_round(sample, scratch, block_codewords);
    }
  }
  return true;
}

bool train_codebook(const CodebookShape& shape, std::span<const float> points,
                    std::span<const float> residuals, std::span<const PointWeight> weights,
                    const CodebookTrainingOptions& options, StopPredicate stop, std::span<float> codewords) {
  std::fill(codewords.begin(), codewords.end(), 0.0F);
  if (weights.empty()) return true;
  if (!train_l2(shape, residuals, weights, options, stop, codewords)) return false;
  if (std::all_of(weights.begin(), weights.end(), [](PointWeight w) { return w.eta <= 1; })) return true;

  const std::size_t dims = shape.dims;
  const std::size_t blocks = shape.blocks();
  std::vector<std::uint8_t> codes(weights.size() * blocks);
  std::vector<float> transposed(shape.codewords());
  for (int iteration = 0; iteration < options.anisotropic_iterations; ++iteration) {
    const Encoder encoder(shape, codewords, transposed);
    std::vector<float> scratch(encoder.scratch_floats());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % kStopInterval == 0 && stop()) return false;
      const std::span<const float> point = points.subspan(i * dims, dims);
      const std::span<const float> residual = residuals.subspan(i * dims, dims);
      const std::span<std::uint8_t> code = std::span(codes).subspan(i * blocks, blocks);
      if (iteration == 0) {
        encoder.encode(point, residual, weights[i].eta, scratch, code);
      } else {
        encoder.improve(point, residual, weights[i].eta, scratch, code);
      }
    }
    if (!update_codewords(shape, points, residuals, weights, codes, stop, codewords)) return false;
  }
  return true;
}

Encoder::Encoder(const CodebookShape& shape, std::span<const float> codewords, std::span<float> memory)
    : shape_(shape), codewords_(codewords), transposed_(memory) {
  if (!memory.empty())
    transpose_codewords(codewords.data(), shape.blocks(), shape.dims_per_block, memory.data());
}

std::size_t Encoder::scratch_floats() const {
  const std::size_t tables = shape_.blocks() * (sizeof(BlockTable) / sizeof(float));
  return tables + (transposed_.empty() ? shape_.codewords() : 0);
}

double Encoder::encode(std::span<const float> point, std::span<const float> residual, float eta,
                       std::span<float> scratch, std::span<std::uint8_t> codes) const {
  return descend(point, residual, eta, scratch, /*from_nearest=*/true, codes);
}

double Encoder::improve(std::span<const float> point, std::span<const float> residual, float eta,
                        std::span<float> scratch, std::span<std::uint8_t> codes) const {
  return descend(point, residual, eta, scratch, /*from_nearest=*/false, codes);
}

double Encoder::descend(std::span<const float> point, std::span<const float> residual, float eta,
                        std::span<float> scratch, bool from_nearest, std::span<std::uint8_t> codes) const {
  const std::size_t blocks = shape_.blocks();
  auto* tables = reinterpret_cast<BlockTable*>(scratch.data());
  const float* transposed = transposed_.data();
  if (transposed_.empty()) {
    float* copy = reinterpret_cast<float*>(tables + blocks);
    transpose_codewords(codewords_.data(), blocks, shape_.dims_per_block, copy);
    transposed = copy;
  }
  fill_block_tables(transposed, shape_.dims, shape_.dims_per_block, point.data(), residual.data(),
                    inverse_norm(point.data(), shape_.dims), tables, from_nearest ? codes.data() : nullptr);
  return descend_codes(tables, blocks, eta, kMaxDescentRounds, codes.data());
}

void Encoder::decode(std::span<const std::uint8_t> codes, std::span<float> residual) const {
  const std::size_t stride = shape_.dims_per_block;
  for (std::size_t b = 0; b < shape_.blocks(); ++b) {
    std::copy_n(&codewords_[(b * kCodewords + codes[b]) * stride], width_of(shape_, b),
                &residual[b * stride]);
  }
}

}  // namespace scann
