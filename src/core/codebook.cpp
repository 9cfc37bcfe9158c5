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

#include "core/kernels.hpp"

namespace scann {
namespace {

constexpr int kMaxDescentRounds = 3;
constexpr std::size_t kMaxL2Rows = 32768;   // 16 codewords need no more
constexpr std::size_t kStopInterval = 256;  // rows between two polls of stop()

using PerCodeword = std::array<float, kCodewords>;

// One block of one vector against all 16 codewords.
struct BlockTable {
  PerCodeword error;  // ||r_b - c||^2
  PerCodeword along;  // <r_b - c, x_b> / ||x||
};

std::size_t smallest(const PerCodeword& values) {
  return static_cast<std::size_t>(std::min_element(values.begin(), values.end()) - values.begin());
}

std::size_t width_of(const CodebookShape& shape, std::size_t block) {
  return std::min<std::size_t>(shape.dims_per_block, shape.dims - block * shape.dims_per_block);
}

float inverse_norm(const float* x, std::size_t dims) {
  const double norm = std::sqrt(inner_product(x, x, dims));
  return norm > 0 ? static_cast<float>(1 / norm) : 0.0F;
}

// codewords: 16 rows of `stride` floats, of which `width` count.
void fill_table(const float* codewords, std::size_t stride, std::size_t width, const float* residual,
                const float* point, float inverse, BlockTable& table) {
  table = {};
  for (std::size_t k = 0; k < width; ++k) {
    const float direction = point[k] * inverse;
    for (std::size_t j = 0; j < kCodewords; ++j) {
      const float difference = residual[k] - codewords[j * stride + k];
      table.error[j] += difference * difference;
      table.along[j] += difference * direction;
    }
  }
}

// Lowers the loss sum of errors + (eta - 1) (sum of alongs)^2 by changing one code at a time. Returns the
// loss.
double descend(std::span<const BlockTable> tables, float eta, std::span<std::uint8_t> codes) {
  double error = 0;
  double along = 0;
  const auto resum = [&] {
    error = along = 0;
    for (std::size_t b = 0; b < tables.size(); ++b) {
      error += tables[b].error[codes[b]];
      along += tables[b].along[codes[b]];
    }
  };
  resum();
  const float extra = eta - 1;
  bool changed = extra > 0;
  for (int round = 0; round < kMaxDescentRounds && changed; ++round) {
    changed = false;
    for (std::size_t b = 0; b < tables.size(); ++b) {
      const BlockTable& table = tables[b];
      const float others = static_cast<float>(along) - table.along[codes[b]];
      PerCodeword loss;
      for (std::size_t j = 0; j < kCodewords; ++j) {
        const float parallel = others + table.along[j];
        loss[j] = table.error[j] + extra * parallel * parallel;
      }
      const std::size_t best = smallest(loss);
      if (!(loss[best] < loss[codes[b]])) continue;
      along += table.along[best] - table.along[codes[b]];
      codes[b] = static_cast<std::uint8_t>(best);
      changed = true;
    }
    resum();
  }
  return error + extra * along * along;
}

std::size_t nearest_codeword(const float* codewords, std::size_t dims, const float* residual,
                             float* distance) {
  PerCodeword error = {};
  for (std::size_t k = 0; k < dims; ++k) {
    for (std::size_t j = 0; j < kCodewords; ++j) {
      const float difference = residual[k] - codewords[j * dims + k];
      error[j] += difference * difference;
    }
  }
  const std::size_t best = smallest(error);
  *distance = error[best];
  return best;
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
  const std::size_t stride = (weights.size() + kMaxL2Rows - 1) / kMaxL2Rows;
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

// One round of weighted Lloyd's k-means. A codeword without rows moves to the row that costs most.
void lloyd_round(const BlockSample& sample, float* codewords) {
  std::vector<double> sums(kCodewords * sample.dims, 0.0);
  std::array<double, kCodewords> totals = {};
  std::size_t worst = 0;
  float worst_cost = -1;
  for (std::size_t i = 0; i < sample.count(); ++i) {
    float distance;
    const std::size_t code = nearest_codeword(codewords, sample.dims, sample.row(i), &distance);
    totals[code] += sample.weights[i];
    for (std::size_t k = 0; k < sample.dims; ++k) {
      sums[code * sample.dims + k] += static_cast<double>(sample.weights[i]) * sample.row(i)[k];
    }
    if (distance * sample.weights[i] > worst_cost) {
      worst_cost = distance * sample.weights[i];
      worst = i;
    }
  }
  for (std::size_t j = 0; j < kCodewords; ++j) {
    for (std::size_t k = 0; k < sample.dims; ++k) {
      codewords[j * sample.dims + k] =
          totals[j] > 0 ? static_cast<float>(sums[j * sample.dims + k] / totals[j]) : sample.row(worst)[k];
    }
  }
}

// Subtracts from nothing but the blocks' errors: <r - r~, x> / ||x|| of every point under its codes.
std::vector<float> parallel_errors(const CodebookShape& shape, std::span<const float> points,
                                   std::span<const float> residuals, std::span<const std::uint8_t> codes,
                                   std::span<const float> inverse_norms, const Encoder& encoder) {
  const std::size_t blocks = shape.blocks();
  std::vector<float> decoded(shape.dims);
  std::vector<float> parallel(inverse_norms.size());
  for (std::size_t i = 0; i < parallel.size(); ++i) {
    encoder.decode(codes.subspan(i * blocks, blocks), decoded);
    for (std::size_t k = 0; k < shape.dims; ++k) decoded[k] = residuals[i * shape.dims + k] - decoded[k];
    const double product = inner_product(decoded.data(), &points[i * shape.dims], shape.dims);
    parallel[i] = static_cast<float>(product * inverse_norms[i]);
  }
  return parallel;
}

std::vector<float> inverse_norms_of(std::span<const float> points, std::size_t dims) {
  std::vector<float> inverses(points.size() / dims);
  for (std::size_t i = 0; i < inverses.size(); ++i) inverses[i] = inverse_norm(&points[i * dims], dims);
  return inverses;
}

// The section 7.5 update of one block. For the points with codeword c, with x^ = x_b / ||x|| and q the
// parallel error that the other blocks leave plus <r_b, x^>, the loss is the sum of w ((eta - 1) (q - <c,
// x^>)^2 + ||r_b - c||^2).
class BlockUpdate {
 public:
  BlockUpdate(const CodebookShape& shape, std::size_t block)
      : stride_(shape.dims_per_block), width_(width_of(shape, block)) {
    for (std::size_t j = 0; j < kCodewords; ++j) {
      matrices_[j].setZero(static_cast<Eigen::Index>(width_), static_cast<Eigen::Index>(width_));
      vectors_[j].setZero(static_cast<Eigen::Index>(width_));
    }
  }

  // <r_b - c, x_b> / ||x||
  float along(const float* codeword, const float* residual, const float* point, float inverse) const {
    float sum = 0;
    for (std::size_t k = 0; k < width_; ++k) sum += (residual[k] - codeword[k]) * point[k];
    return sum * inverse;
  }

  void add(std::size_t code, const float* residual, const float* point, float inverse, float others,
           PointWeight weight) {
    const double extra = static_cast<double>(weight.weight) * (weight.eta - 1);
    double q = others;
    for (std::size_t k = 0; k < width_; ++k) q += static_cast<double>(residual[k]) * point[k] * inverse;
    for (std::size_t k = 0; k < width_; ++k) {
      const double direction = static_cast<double>(point[k]) * inverse;
      const auto row = static_cast<Eigen::Index>(k);
      vectors_[code](row) += extra * q * direction + static_cast<double>(weight.weight) * residual[k];
      for (std::size_t l = 0; l <= k; ++l) {
        matrices_[code](row, static_cast<Eigen::Index>(l)) += extra * direction * point[l] * inverse;
      }
    }
    totals_[code] += weight.weight;
  }

  void solve(float* codewords) {
    for (std::size_t j = 0; j < kCodewords; ++j) {
      if (!(totals_[j] > 0)) continue;
      matrices_[j].diagonal().array() += totals_[j];
      const Eigen::VectorXd solution = matrices_[j].ldlt().solve(vectors_[j]);
      if (!solution.allFinite()) continue;
      Eigen::Map<Eigen::VectorXf>(codewords + j * stride_, static_cast<Eigen::Index>(width_)) =
          solution.cast<float>();
    }
  }

 private:
  std::size_t stride_;
  std::size_t width_;
  std::array<Eigen::MatrixXd, kCodewords> matrices_;  // lower triangles
  std::array<Eigen::VectorXd, kCodewords> vectors_;
  std::array<double, kCodewords> totals_ = {};
};

}  // namespace

bool update_codewords(const CodebookShape& shape, std::span<const float> points,
                      std::span<const float> residuals, std::span<const PointWeight> weights,
                      std::span<const std::uint8_t> codes, StopPredicate stop, std::span<float> codewords) {
  const std::size_t blocks = shape.blocks();
  const std::size_t stride = shape.dims_per_block;
  const std::vector<float> inverses = inverse_norms_of(points, shape.dims);
  std::vector<float> parallel =
      parallel_errors(shape, points, residuals, codes, inverses, Encoder(shape, codewords));

  for (std::size_t b = 0; b < blocks; ++b) {
    float* block_codewords = &codewords[b * kCodewords * stride];
    BlockUpdate update(shape, b);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % kStopInterval == 0 && stop()) return false;
      const std::size_t at = i * shape.dims + b * stride;
      const std::size_t code = codes[i * blocks + b];
      parallel[i] -= update.along(block_codewords + code * stride, &residuals[at], &points[at], inverses[i]);
      update.add(code, &residuals[at], &points[at], inverses[i], parallel[i], weights[i]);
    }
    update.solve(block_codewords);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::size_t at = i * shape.dims + b * stride;
      const std::size_t code = codes[i * blocks + b];
      parallel[i] += update.along(block_codewords + code * stride, &residuals[at], &points[at], inverses[i]);
    }
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

bool train_codebook(const CodebookShape& shape, std::span<const float> points,
                    std::span<const float> residuals, std::span<const PointWeight> weights,
                    const CodebookTrainingOptions& options, StopPredicate stop, std::span<float> codewords) {
  std::fill(codewords.begin(), codewords.end(), 0.0F);
  if (weights.empty()) return true;
  const std::size_t blocks = shape.blocks();
  std::mt19937_64 random(options.seed);
  for (std::size_t b = 0; b < blocks; ++b) {
    float* block_codewords = &codewords[b * kCodewords * shape.dims_per_block];
    const BlockSample sample = block_sample(shape, b, residuals, weights);
    if (stop()) return false;
    seed_codewords(sample, random, block_codewords);
    for (int i = 0; i < options.l2_iterations; ++i) {
      if (stop()) return false;
      lloyd_round(sample, block_codewords);
    }
  }

  const bool isotropic =
      std::all_of(weights.begin(), weights.end(), [](PointWeight w) { return w.eta <= 1; });
  if (isotropic) return true;
  std::vector<std::uint8_t> codes(weights.size() * blocks);
  const Encoder encoder(shape, codewords);
  std::vector<float> scratch(encoder.scratch_floats());
  for (int iteration = 0; iteration < options.anisotropic_iterations; ++iteration) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i % kStopInterval == 0 && stop()) return false;
      encoder.encode(points.subspan(i * shape.dims, shape.dims),
                     residuals.subspan(i * shape.dims, shape.dims), weights[i].eta, scratch,
                     std::span(codes).subspan(i * blocks, blocks));
    }
    if (!update_codewords(shape, points, residuals, weights, codes, stop, codewords)) return false;
  }
  return true;
}

Encoder::Encoder(const CodebookShape& shape, std::span<const float> codewords)
    : shape_(shape), codewords_(codewords) {}

std::size_t Encoder::scratch_floats() const { return shape_.blocks() * (sizeof(BlockTable) / sizeof(float)); }

double Encoder::encode(std::span<const float> point, std::span<const float> residual, float eta,
                       std::span<float> scratch, std::span<std::uint8_t> codes) const {
  const std::size_t stride = shape_.dims_per_block;
  const std::span<BlockTable> tables(reinterpret_cast<BlockTable*>(scratch.data()), shape_.blocks());
  const float inverse = inverse_norm(point.data(), shape_.dims);
  for (std::size_t b = 0; b < tables.size(); ++b) {
    fill_table(&codewords_[b * kCodewords * stride], stride, width_of(shape_, b), &residual[b * stride],
               &point[b * stride], inverse, tables[b]);
    codes[b] = static_cast<std::uint8_t>(smallest(tables[b].error));
  }
  return descend(tables, eta, codes);
}

void Encoder::decode(std::span<const std::uint8_t> codes, std::span<float> residual) const {
  const std::size_t stride = shape_.dims_per_block;
  for (std::size_t b = 0; b < shape_.blocks(); ++b) {
    std::copy_n(&codewords_[(b * kCodewords + codes[b]) * stride], width_of(shape_, b),
                &residual[b * stride]);
  }
}

}  // namespace scann
