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
constexpr double kChunkProducts = 4e7;    // multiplications in a chunk of an assignment: a few milliseconds
constexpr std::size_t kSampleShare = 4;   // the first rounds see every fourth row
constexpr std::size_t kRowsPerLeaf = 32;  // but at least so many a leaf
constexpr int kSplitPasses = 3;           // of power iteration
constexpr int kMaxRepairs = 4;            // rounds after the last that only split

RowSubset subset(std::span<const float> sample, std::size_t dims, std::size_t at_most) {
  const std::size_t count = sample.size() / dims;
  const std::size_t stride = std::max<std::size_t>(1, (count + at_most - 1) / at_most);
  return {sample.data(), dims, stride, (count + stride - 1) / stride};
}

// The state of k-means. Centroids [0, leaves) live in the caller's memory.
class PartitionTrainer {
 public:
  PartitionTrainer(std::span<float> centroids, std::size_t dims, std::size_t leaves)
      : centroids_(centroids.first(leaves * dims)), dims_(dims), leaves_(leaves), sizes_(leaves) {}

  void start_from(const RowSubset& rows, std::uint64_t seed);
  // Find every row's nearest centroid; then count the leaves' rows.
  AssignStep begin_assignment(const RowSubset& rows);
  void end_assignment();
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
  std::vector<std::uint32_t> group_first_;
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

// May reorder centroids.
AssignStep PartitionTrainer::begin_assignment(const RowSubset& rows) {
  const CentroidGroups groups(centroids_, dims_, [] { return false; });
  group_first_.assign(groups.first().begin(), groups.first().end());
  nearest_.resize(rows.count);
  return {.rows = rows, .centroids = centroids_, .group_first = group_first_, .nearest = nearest_};
}

void PartitionTrainer::end_assignment() {
  std::fill(sizes_.begin(), sizes_.end(), 0U);
  for (std::uint32_t leaf : nearest_) ++sizes_[leaf];
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

std::size_t AssignStep::chunk_rows() const {
  const std::size_t leaves = centroids.size() / rows.dims;
  const double products = static_cast<double>(CentroidGroups::comparisons(leaves, group_first.size() - 1)) *
                          static_cast<double>(rows.dims);
  const auto most = static_cast<double>(CentroidGroups::kBatch);
  return static_cast<std::size_t>(std::clamp(kChunkProducts / products, 8.0, most));
}

std::size_t AssignStep::chunks() const { return (rows.count + chunk_rows() - 1) / chunk_rows(); }

ChunkAssigner::ChunkAssigner(const AssignStep& step)
    : step_(step),
      groups_(step.centroids, step.rows.dims, step.group_first),
      gathered_(step.rows.stride > 1 ? step.chunk_rows() * step.rows.dims : 0) {}

void ChunkAssigner::assign(std::size_t chunk) {
  const RowSubset& rows = step_.rows;
  const std::size_t begin = chunk * step_.chunk_rows();
  const std::size_t n = std::min(step_.chunk_rows(), rows.count - begin);
  const float* points = rows.row(begin);
  if (rows.stride > 1) {
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(rows.row(begin + i), rows.dims, &gathered_[i * rows.dims]);
    }
    points = gathered_.data();
  }
  groups_.assign(points, n, &step_.nearest[begin]);
}

// Most rounds see few of the rows. Then come rounds that only split: splitting unbalances neighbours a
// little, so they are repeated until every leaf is small enough.
struct PartitionTraining::State {
  State(std::span<const float> sample, std::size_t dims, std::size_t leaves,
        const PartitionerOptions& options, const RowSubset& all_rows, std::span<float> centroids)
      : all(all_rows),
        few(subset(sample, dims,
                   std::max({all.count / kSampleShare, kRowsPerLeaf * leaves, std::size_t{1}}))),
        few_rounds(options.iterations * 5 / 8),
        rounds(options.iterations),
        trainer(centroids, dims, leaves),
        finished(leaves == 0) {
    if (!finished) trainer.start_from(few, options.seed);
  }

  const RowSubset& rows() const { return round < few_rounds ? few : all; }

  // What follows an assignment.
  void end_round() {
    trainer.end_assignment();
    trainer.move_to_means(rows());
    const bool moved = trainer.rebalance(rows());
    ++round;
    finished = (round > rounds && !moved) || round == rounds + kMaxRepairs;
    if (finished) trained = trainer.drop_empty();
  }

  RowSubset all;
  RowSubset few;
  int few_rounds;
  int rounds;
  PartitionTrainer trainer;
  AssignStep assignment{};
  int round = 0;  // being done, or to be done next
  bool assigning = false;
  bool finished;
  std::size_t trained = 0;
};

PartitionTraining::PartitionTraining(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                                     const PartitionerOptions& options, std::span<float> centroids) {
  const std::size_t row_bytes = 2 * sizeof(std::uint32_t);
  const RowSubset all = subset(sample, dims, std::max(options.scratch_bytes / row_bytes, 4 * leaves));
  state_ = std::make_unique<State>(sample, dims, std::min(leaves, all.count), options, all, centroids);
}

PartitionTraining::~PartitionTraining() = default;

const AssignStep* PartitionTraining::next() {
  State& state = *state_;
  if (state.assigning) state.end_round();
  state.assigning = !state.finished;
  if (state.finished) return nullptr;
  state.assignment = state.trainer.begin_assignment(state.rows());
  return &state.assignment;
}

std::size_t PartitionTraining::most_rows() const { return state_->all.count; }
std::size_t PartitionTraining::trained() const { return state_->trained; }

bool train_partitions(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                      const PartitionerOptions& options, StopPredicate stop, std::span<float> centroids,
                      std::size_t* trained) {
  *trained = 0;
  PartitionTraining training(sample, dims, leaves, options, centroids);
  while (const AssignStep* step = training.next()) {
    ChunkAssigner assigner(*step);
    for (std::size_t chunk = 0; chunk < step->chunks(); ++chunk) {
      if (stop()) return false;
      assigner.assign(chunk);
    }
  }
  *trained = training.trained();
  return true;
}

}  // namespace scann
