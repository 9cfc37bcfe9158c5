// Generated vectors: clusters within clusters.
#include "nested_clusters.hpp"

#include <algorithm>
#include <cmath>

namespace bench {
namespace {

// With these a default index on 336,000 rows scores as many codes for a recall of 0.95 as on GloVe-100, and
// the ten nearest rows are as near: cosine 0.69 to 0.60, where GloVe's have 0.71 to 0.63.
constexpr std::size_t kBranches[] = {40, 30, 30};
constexpr float kOffsets[] = {0.45F, 0.4F, 0.3F};
constexpr double kSizeDecay = 0.8;       // the i-th largest of a cluster's parts has a share of i^-0.8
constexpr double kSpectrumDecay = 0.25;  // the i-th dimension's standard deviation is i^-0.25
constexpr double kSpreadDecay = 0.25;    // and so is that of the i-th direction of the spread
constexpr std::size_t kShapes = 16;      // different sets of directions; clusters share them
constexpr std::size_t kSpreadDims = 40;
constexpr float kSpread = 0.8F;
constexpr float kLeastScale = 0.6F;  // clusters are of different widths, from this
constexpr float kMostScale = 1.4F;   // to this
constexpr float kNoise = 0.1F;       // in all dimensions

}  // namespace

NestedClusters::NestedClusters(std::size_t dims, std::uint64_t seed)
    : dims_(dims), random_(seed), spectrum_(dims) {
  double squares = 0;
  for (std::size_t k = 0; k < dims; ++k) {
    spectrum_[k] = static_cast<float>(std::pow(static_cast<double>(k + 1), -kSpectrumDecay));
    squares += double{spectrum_[k]} * spectrum_[k];
  }
  for (float& deviation : spectrum_) deviation /= static_cast<float>(std::sqrt(squares));

  const auto fill = [&](std::vector<float>& vectors, std::size_t row, float scale) {
    for (std::size_t k = 0; k < dims; ++k)
      vectors[row * dims + k] = scale * spectrum_[k] * static_cast<float>(random_.Normal());
  };
  std::size_t clusters = 1;
  for (std::size_t l = 0; l < std::size(kBranches); ++l) {
    Level& level = levels_.emplace_back();
    clusters *= kBranches[l];
    level.offsets.resize(clusters * dims);
    for (std::size_t c = 0; c < clusters; ++c) fill(level.offsets, c, kOffsets[l]);
    double total = 0;
    for (std::size_t i = 1; i <= kBranches[l]; ++i)
      level.cumulative.push_back(total += std::pow(static_cast<double>(i), -kSizeDecay));
    for (double& share : level.cumulative) share /= total;
  }
  double weights = 0;
  for (std::size_t i = 1; i <= kSpreadDims; ++i)
    weights += std::pow(static_cast<double>(i), -2 * kSpreadDecay);
  directions_.resize(kShapes * kSpreadDims * dims);
  for (std::size_t i = 0; i < kShapes * kSpreadDims; ++i) {
    const double weight = std::pow(static_cast<double>(i % kSpreadDims + 1), -kSpreadDecay);
    fill(directions_, i, kSpread * static_cast<float>(weight / std::sqrt(weights)));
  }
}

void NestedClusters::Next(std::span<float> row) {
  for (std::size_t k = 0; k < dims_; ++k)
    row[k] = kNoise * spectrum_[k] * static_cast<float>(random_.Normal());
  std::size_t cluster = 0;
  for (const Level& level : levels_) {
    const std::size_t branches = level.cumulative.size();
    const auto found = std::ranges::lower_bound(level.cumulative, random_.Uniform());
    const auto branch =
        std::min<std::size_t>(static_cast<std::size_t>(found - level.cumulative.begin()), branches - 1);
    cluster = cluster * branches + branch;
    for (std::size_t k = 0; k < dims_; ++k) row[k] += level.offsets[cluster * dims_ + k];
  }
  const float width = kLeastScale + (kMostScale - kLeastScale) * static_cast<float>(cluster * 37 % 101) / 100;
  const float* directions = &directions_[cluster % kShapes * kSpreadDims * dims_];
  for (std::size_t i = 0; i < kSpreadDims; ++i) {
    const float along = width * static_cast<float>(random_.Normal());
    for (std::size_t k = 0; k < dims_; ++k) row[k] += along * directions[i * dims_ + k];
  }
  double squares = 0;
  for (const float x : row) squares += double{x} * x;
  const auto scale = static_cast<float>(1 / std::sqrt(squares));
  for (float& x : row) x *= scale;
}

}  // namespace bench
