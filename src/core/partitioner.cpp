// Lloyd's k-means with leaves re-balanced between rounds: the largest are split, the smallest give up their
// centroid.
#include "core/partitioner.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "core/centroid_groups.hpp"
#include "core/kernels.hpp"

namespace scann {
namespace {

constexpr double kMaxLeafShare = 2.0;     // leaves above this multiple of the mean are split
constexpr double kTinyLeafShare = 0.5;    // leaves below it may give up their centroid for that
constexpr double kChunkProducts = 4e7;    // multiplications between two polls of stop(): a few milliseconds
constexpr std::size_t kSampleShare = 4;   // the first rounds see every fourth row
constexpr std::size_t kRowsPerLeaf = 32;  // but at least so many a leaf
constexpr int kSplitPasses = 3;           // of power iteration
constexpr int kMaxRepairs = 4;            // rounds after the last that only split

// Every `stride`-th row of the sample.
struct RowSubset {
  const float* rows;
  std::size_t dims;
  std::size_t stride;
  std::size_t count;

  const float* row(std::size_t i) const { return rows + i * stride * dims; }
};

RowSubset subset(std::span<const float> sample, std::size_t dims, std::size_t at_most) {
  const std::size_t count = sample.size() / dims;
  const std::size_t stride = std::max<std::size_t>(1, (count + at_most - 1) / at_most);
  return {sample.data(), dims, stride, (count + stride - 1) / stride};
}

// The state of one training run. Centroids [0, leaves) live in the caller's memory.
class PartitionTrainer {
 public:
  PartitionTrainer(std::span<float> centroids, std::size_t dims, std::size_t leaves, StopPredicate stop)
      : centroids_(centroids), dims_(dims), leaves_(leaves), stop_(stop), sizes_(leaves) {
    const double products =
        static_cast<double>(CentroidGroups::comparisons(leaves)) * static_cast<double>(dims);
    const auto most = static_cast<double>(CentroidGroups::kBatch);
    chunk_ = static_cast<std::size_t>(std::clamp(kChunkProducts / products, 8.0, most));
  }

  void start_from(const RowSubset& rows, std::uint64_t seed);
  [[nodiscard]] bool assign(const RowSubset& rows);
  void move_to_means(const RowSubset& rows);
  bool rebalance(const RowSubset& rows);
  std::size_t drop_empty();

 private:
  struct Piece {
    std::size_t size;
    std::size_t begin;  // in members_
    std::uint32_t leaf;
    bool operator<(const Piece& other) const {
      return std::pair(size, other.leaf) < std::pair(other.size, leaf);
    }
  };

  float* centroid(std::size_t leaf) { return &centroids_[leaf * dims_]; }
  std::vector<Piece> sort_members(const RowSubset& rows);
  std::size_t split(const RowSubset& rows, const Piece& piece);
  void mean_of(const RowSubset& rows, std::span<const std::uint32_t> members, float* mean) const;

  std::span<float> centroids_;
  std::size_t dims_;
  std::size_t leaves_;
  StopPredicate stop_;
  std::size_t chunk_;
  std::vector<std::uint32_t> nearest_;  // leaf of every row of the subset at hand
  std::vector<std::uint32_t> members_;  // its rows, leaf after leaf
  std::vector<std::uint32_t> sizes_;
};

// Random rows, all different positions.
void PartitionTrainer::start_from(const RowSubset& rows, std::uint64_t seed) {
  std::vector<std::uint32_t> order(rows.count);
  std::iota(order.begin(), order.end(), 0U);
  std::mt19937_64 random(seed);
  for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
    std::swap(order[leaf], order[leaf + random() % (order.size() - leaf)]);
    std::copy_n(rows.row(order[leaf]), dims_, centroid(leaf));
  }
}

// Finds every row's nearest centroid and counts the leaves' rows. May reorder centroids.
bool PartitionTrainer::assign(const RowSubset& rows) {
  CentroidGroups groups(centroids_.first(leaves_ * dims_), dims_, stop_);
  if (!groups.ready()) return false;
  std::vector<float> gathered(rows.stride > 1 ? chunk_ * dims_ : 0);
  nearest_.resize(rows.count);
  for (std::size_t from = 0; from < rows.count; from += chunk_) {
    if (stop_()) return false;
    const std::size_t n = std::min(chunk_, rows.count - from);
    const float* chunk = rows.row(from);
    if (rows.stride > 1) {
      for (std::size_t i = 0; i < n; ++i) std::copy_n(rows.row(from + i), dims_, &gathered[i * dims_]);
      chunk = gathered.data();
    }
    groups.assign(chunk, n, &nearest_[from]);
  }
  std::fill(sizes_.begin(), sizes_.end(), 0U);
  for (std::uint32_t leaf : nearest_) ++sizes_[leaf];
  return true;
}

// Moves every centroid to the mean of its rows; an empty leaf's stays. Sums in place, so as to need no other
// memory.
void PartitionTrainer::move_to_means(const RowSubset& rows) {
  for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
    if (sizes_[leaf] > 0) std::fill_n(centroid(leaf), dims_, 0.0F);
  }
  for (std::size_t i = 0; i < rows.count; ++i) {
    float* sum = centroid(nearest_[i]);
    const float* row = rows.row(i);
    for (std::size_t k = 0; k < dims_; ++k) sum[k] += row[k];
  }
  for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
    if (sizes_[leaf] == 0) continue;
    const float scale = 1.0F / static_cast<float>(sizes_[leaf]);
    float* mean = centroid(leaf);
    for (std::size_t k = 0; k < dims_; ++k) mean[k] *= scale;
  }
}

// Counting sort of the rows by leaf.
std::vector<PartitionTrainer::Piece> PartitionTrainer::sort_members(const RowSubset& rows) {
  std::vector<Piece> pieces(leaves_);
  std::vector<std::size_t> next(leaves_);
  std::size_t begin = 0;
  for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
    pieces[leaf] = {sizes_[leaf], begin, static_cast<std::uint32_t>(leaf)};
    next[leaf] = begin;
    begin += sizes_[leaf];
  }
  members_.resize(rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) members_[next[nearest_[i]]++] = static_cast<std::uint32_t>(i);
  return pieces;
}

void PartitionTrainer::mean_of(const RowSubset& rows, std::span<const std::uint32_t> members,
                               float* mean) const {
  std::fill_n(mean, dims_, 0.0F);
  for (std::uint32_t member : members) {
    const float* row = rows.row(member);
    for (std::size_t k = 0; k < dims_; ++k) mean[k] += row[k];
  }
  for (std::size_t k = 0; k < dims_; ++k) mean[k] /= static_cast<float>(members.size());
}

// Gives up the centroids of empty leaves, and of tiny ones where another leaf is too large, for halves of the
// largest leaves. True when anything moved.
bool PartitionTrainer::rebalance(const RowSubset& rows) {
  std::vector<Piece> pieces = sort_members(rows);
  std::vector<Piece> smallest = pieces;
  std::sort(smallest.begin(), smallest.end());
  std::priority_queue<Piece> largest(std::less<Piece>(), std::move(pieces));

  const double mean = static_cast<double>(rows.count) / static_cast<double>(leaves_);
  bool moved = false;
  for (const Piece& victim : smallest) {
    const bool empty = victim.size == 0;
    if (static_cast<double>(victim.size) > kTinyLeafShare * mean) break;
    for (; !largest.empty();) {
      const Piece donor = largest.top();
      if (donor.size < 2 || (!empty && static_cast<double>(donor.size) <= kMaxLeafShare * mean)) return moved;
      largest.pop();
      const std::size_t kept = split(rows, donor);
      if (kept == 0) continue;  // all its rows coincide
      mean_of(rows, std::span(members_).subspan(donor.begin, kept), centroid(donor.leaf));
      mean_of(rows, std::span(members_).subspan(donor.begin + kept, donor.size - kept),
              centroid(victim.leaf));
      largest.push({kept, donor.begin, donor.leaf});
      largest.push({donor.size - kept, donor.begin + kept, victim.leaf});
      sizes_[donor.leaf] = static_cast<std::uint32_t>(kept);
      sizes_[victim.leaf] = static_cast<std::uint32_t>(donor.size - kept);
      moved = true;
      break;
    }
  }
  return moved;
}

// Reorders the piece's members into two halves along the direction in which they spread most (power iteration
// on the halves' difference of means). Returns the size of the first half, 0 when all rows coincide.
std::size_t PartitionTrainer::split(const RowSubset& rows, const Piece& piece) {
  const std::span<std::uint32_t> members = std::span(members_).subspan(piece.begin, piece.size);
  const float* first = rows.row(members[0]);
  const auto differs = [&](std::uint32_t m) { return !std::equal(first, first + dims_, rows.row(m)); };
  const auto other = std::find_if(members.begin(), members.end(), differs);
  if (other == members.end()) return 0;

  std::vector<float> direction(dims_);
  std::vector<float> lower(dims_);
  std::vector<std::pair<float, std::uint32_t>> projected(members.size());
  std::transform(first, first + dims_, rows.row(*other), direction.begin(), std::minus<>());
  const std::size_t half = members.size() / 2;
  for (int pass = 0; pass < kSplitPasses; ++pass) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      projected[i] = {static_cast<float>(inner_product(rows.row(members[i]), direction.data(), dims_)),
                      members[i]};
    }
    std::nth_element(projected.begin(), projected.begin() + static_cast<std::ptrdiff_t>(half),
                     projected.end());
    std::transform(projected.begin(), projected.end(), members.begin(),
                   [](const auto& p) { return p.second; });
    mean_of(rows, members.first(half), lower.data());
    mean_of(rows, members.subspan(half), direction.data());
    std::transform(direction.begin(), direction.end(), lower.begin(), direction.begin(), std::minus<>());
  }
  return half;
}

// Moves the centroids of leaves with rows to the front; returns their number.
std::size_t PartitionTrainer::drop_empty() {
  std::size_t kept = 0;
  for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
    if (sizes_[leaf] == 0) continue;
    if (kept != leaf) std::copy_n(centroid(leaf), dims_, centroid(kept));
    ++kept;
  }
  return kept;
}

}  // namespace

bool train_partitions(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                      const PartitionerOptions& options, StopPredicate stop, std::span<float> centroids,
                      std::size_t* trained) {
  *trained = 0;
  const std::size_t row_bytes = 2 * sizeof(std::uint32_t);
  const RowSubset all = subset(sample, dims, std::max(options.scratch_bytes / row_bytes, 4 * leaves));
  leaves = std::min(leaves, all.count);
  if (leaves == 0) return true;

  const RowSubset few = subset(sample, dims, std::max(all.count / kSampleShare, kRowsPerLeaf * leaves));
  PartitionTrainer trainer(centroids, dims, leaves, stop);
  trainer.start_from(few, options.seed);
  for (int i = 0; i < options.iterations; ++i) {
    const RowSubset& rows = i < options.iterations / 2 ? few : all;
    if (!trainer.assign(rows)) return false;
    trainer.move_to_means(rows);
    trainer.rebalance(rows);
  }
  // Splitting unbalances neighbours a little: repeat until every leaf is small enough.
  for (int i = 0; i < kMaxRepairs; ++i) {
    if (!trainer.assign(all)) return false;
    trainer.move_to_means(all);
    if (!trainer.rebalance(all)) break;
  }
  *trained = trainer.drop_empty();
  return true;
}

}  // namespace scann
