// Groups of centroids, and assignment through them.
#include "core/centroid_groups.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/kernels.hpp"
#include "core/partitioner.hpp"

namespace scann {
namespace {

constexpr std::size_t kPointsAtATime = 256;  // whose products with all centres are kept
constexpr std::size_t kFewestPoints = 4;     // products of fewer are rounded differently
constexpr int kGroupIterations = 4;

std::vector<float> half_norms_of(std::span<const float> rows, std::size_t dims) {
  std::vector<float> half_norms(rows.size() / dims);
  for (std::size_t i = 0; i < half_norms.size(); ++i) {
    half_norms[i] = static_cast<float>(inner_product(&rows[i * dims], &rows[i * dims], dims) / 2);
  }
  return half_norms;
}

}  // namespace

std::size_t group_count(std::size_t centroids) {
  if (centroids <= kLargestFlatLevel) return 1;
  return static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(centroids))));
}

std::size_t CentroidGroups::comparisons(std::size_t centroids, std::size_t groups) {
  return groups == 1 ? centroids : groups + kProbedGroups * centroids / groups;
}

CentroidGroups::CentroidGroups(std::span<float> centroids, std::size_t dims, StopPredicate stop)
    : centroids_(centroids), dims_(dims) {
  if (find_groups(centroids, stop)) prepare();
}

CentroidGroups::CentroidGroups(std::span<const float> centroids, std::size_t dims,
                               std::span<const std::uint32_t> first, bool seconds)
    : centroids_(centroids), dims_(dims), first_(first.begin(), first.end()) {
  prepare();
  if (seconds) prepare_seconds();
}

// Computes what follows from the groups, and allocates scratch.
void CentroidGroups::prepare() {
  half_norms_ = half_norms_of(centroids_, dims_);
  distance_.resize(kBatch);
  scratch_.resize(nearest_scratch_floats(half_norms_.size()));
  if (groups() == 1) return;
  centers_.assign(groups() * dims_, 0.0F);
  for (std::size_t g = 0; g < groups(); ++g) {
    const float share = 1.0F / static_cast<float>(first_[g + 1] - first_[g]);
    for (std::size_t i = first_[g]; i < first_[g + 1]; ++i) {
      for (std::size_t k = 0; k < dims_; ++k) centers_[g * dims_ + k] += share * centroids_[i * dims_ + k];
    }
  }
  center_half_norms_ = half_norms_of(centers_, dims_);
  products_.resize(kPointsAtATime * groups());
  ranked_.resize(groups());
  chosen_.resize(kBatch * kProbedGroups);
  begin_.resize(groups() + 2);
  members_.resize(kBatch * kProbedGroups);
  gathered_.resize(kPointsAtATime * dims_);
  found_.resize(kPointsAtATime);
  found_distance_.resize(kPointsAtATime);
}

void CentroidGroups::prepare_seconds() {
  if (groups() == 1) {  // of which all points are members
    begin_ = {0, 0};
    members_.resize(kBatch);
    std::iota(members_.begin(), members_.end(), 0U);
    gathered_.resize(kPointsAtATime * dims_);
  }
  std::size_t widest = 0;
  for (std::size_t g = 0; g < groups(); ++g)
    widest = std::max<std::size_t>(widest, first_[g + 1] - first_[g]);
  directions_.resize(kPointsAtATime * dims_);
  reaches_.resize(kPointsAtATime);
  along_.resize(kPointsAtATime * widest);
  across_.resize(kPointsAtATime * widest);
}

// k-means over the centroids, which are then brought into the order of their groups.
bool CentroidGroups::find_groups(std::span<float> centroids, StopPredicate stop) {
  const std::size_t count = centroids.size() / dims_;
  const std::size_t wanted = group_count(count);
  if (wanted == 1) {
    first_ = {0, static_cast<std::uint32_t>(count)};
    return true;
  }
  std::vector<float> centers(wanted * dims_);
  std::size_t trained = 0;
  PartitionerOptions options;
  options.iterations = kGroupIterations;
  if (!train_partitions(centroids, dims_, wanted, options, stop, centers, &trained)) return false;
  const std::vector<float> half_norms = half_norms_of(std::span(centers).first(trained * dims_), dims_);
  std::vector<std::uint32_t> group(count);
  std::vector<float> distance(count);
  std::vector<float> scratch(nearest_scratch_floats(trained));
  nearest_centroids(centroids.data(), count, centers.data(), half_norms.data(), trained, dims_,
                    scratch.data(), group.data(), distance.data());
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&group](auto a, auto b) { return group[a] < group[b]; });
  const std::vector<float> before(centroids.begin(), centroids.end());
  first_ = {0};
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(&before[order[i] * dims_], dims_, &centroids[i * dims_]);
    if (i > 0 && group[order[i]] != group[order[i - 1]]) first_.push_back(static_cast<std::uint32_t>(i));
  }
  first_.push_back(static_cast<std::uint32_t>(count));
  return true;
}

// Chooses the nearest groups of every point, and sorts the points by group.
void CentroidGroups::choose_groups(const float* points, std::size_t n) {
  const std::size_t probed = std::min(kProbedGroups, groups());
  std::fill(begin_.begin(), begin_.end(), 0U);
  for (std::size_t from = 0; from < n; from += kPointsAtATime) {
    const std::size_t rows = std::min(kPointsAtATime, n - from);
    dot_matrix(points + from * dims_, rows, centers_.data(), groups(), dims_, products_.data());
    for (std::size_t i = 0; i < rows; ++i) {
      const float* products = &products_[i * groups()];
      // A float that is not negative orders as its bits do; the group makes keys distinct.
      float lowest = std::numeric_limits<float>::infinity();
      for (std::size_t g = 0; g < groups(); ++g)
        lowest = std::min(lowest, center_half_norms_[g] - products[g]);
      for (std::size_t g = 0; g < groups(); ++g) {
        const float distance = center_half_norms_[g] - products[g] - lowest;
        ranked_[g] = std::uint64_t{std::bit_cast<std::uint32_t>(distance)} << 32 | g;
      }
      std::nth_element(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(probed - 1),
                       ranked_.end());
      for (std::size_t p = 0; p < probed; ++p) {
        const auto group = static_cast<std::uint32_t>(ranked_[p]);
        chosen_[(from + i) * probed + p] = group;
        ++begin_[group + 2];
      }
    }
  }
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  for (std::size_t i = 0; i < n * probed; ++i) {
    members_[begin_[chosen_[i] + 1]++] = static_cast<std::uint32_t>(i / probed);
  }
}

// Brings points of a group together; returns their number, filled up to kFewestPoints by repeating the last.
std::size_t CentroidGroups::gather(std::span<const std::uint32_t> members, const float* points) {
  const std::size_t rows = std::max(members.size(), kFewestPoints);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t member = members[std::min(i, members.size() - 1)];
    std::copy_n(points + member * dims_, dims_, &gathered_[i * dims_]);
  }
  return rows;
}

void CentroidGroups::search_group(std::size_t group, std::span<const std::uint32_t> members,
                                  const float* points, std::uint32_t* nearest) {
  const std::uint32_t first = first_[group];
  for (std::size_t from = 0; from < members.size(); from += kPointsAtATime) {
    const auto some = members.subspan(from, std::min(kPointsAtATime, members.size() - from));
    const std::size_t rows = gather(some, points);
    nearest_centroids(gathered_.data(), rows, &centroids_[first * dims_], &half_norms_[first],
                      first_[group + 1] - first, dims_, scratch_.data(), found_.data(),
                      found_distance_.data());
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (found_distance_[i] >= distance_[some[i]]) continue;
      distance_[some[i]] = found_distance_[i];
      nearest[some[i]] = first + found_[i];
    }
  }
}

void CentroidGroups::assign(const float* points, std::size_t n, std::uint32_t* nearest) {
  if (groups() == 1) {
    nearest_centroids(points, n, centroids_.data(), half_norms_.data(), half_norms_.size(), dims_,
                      scratch_.data(), nearest, distance_.data());
    return;
  }
  choose_groups(points, n);
  std::fill_n(distance_.begin(), n, std::numeric_limits<float>::infinity());
  std::fill_n(nearest, n, 0U);
  for (std::size_t g = 0; g < groups(); ++g) {
    const auto members = std::span(members_).subspan(begin_[g], begin_[g + 1] - begin_[g]);
    search_group(g, members, points, nearest);
  }
}

// Directions of the gathered points' residuals, and how far the points reach along them. A point on its
// centroid has none.
void CentroidGroups::find_directions(std::span<const std::uint32_t> members, std::size_t rows,
                                     const std::uint32_t* nearest) {
  for (std::size_t i = 0; i < rows; ++i) {
    const float* point = &gathered_[i * dims_];
    const float* centroid = &centroids_[nearest[members[std::min(i, members.size() - 1)]] * dims_];
    float* direction = &directions_[i * dims_];
    for (std::size_t k = 0; k < dims_; ++k) direction[k] = point[k] - centroid[k];
    const double norm = std::sqrt(inner_product(direction, direction, dims_));
    const auto scale = static_cast<float>(norm > 0 ? 1 / norm : 0);
    for (std::size_t k = 0; k < dims_; ++k) direction[k] *= scale;
    reaches_[i] = static_cast<float>(inner_product(point, direction, dims_));
  }
}

void CentroidGroups::search_second(std::size_t group, std::span<const std::uint32_t> members,
                                   const float* points, const std::uint32_t* nearest, std::uint32_t* second) {
  const std::uint32_t first = first_[group];
  const std::size_t width = first_[group + 1] - first;
  const float* centroids = &centroids_[first * dims_];
  for (std::size_t from = 0; from < members.size(); from += kPointsAtATime) {
    const auto some = members.subspan(from, std::min(kPointsAtATime, members.size() - from));
    const std::size_t rows = gather(some, points);
    find_directions(some, rows, nearest);
    dot_matrix(gathered_.data(), rows, centroids, width, dims_, across_.data());
    dot_matrix(directions_.data(), rows, centroids, width, dims_, along_.data());
    for (std::size_t i = 0; i < some.size(); ++i) {
      float least = distance_[some[i]];
      for (std::size_t j = 0; j < width; ++j) {
        const float squared = 2 * (half_norms_[first + j] - across_[i * width + j]);
        const float loss = second_loss(squared, reaches_[i] - along_[i * width + j]);
        if (!(loss < least) || first + j == nearest[some[i]]) continue;
        least = loss;
        second[some[i]] = static_cast<std::uint32_t>(first + j);
      }
      distance_[some[i]] = least;
    }
  }
}

void CentroidGroups::assign_second(const float* points, std::size_t n, const std::uint32_t* nearest,
                                   std::uint32_t* second) {
  if (groups() == 1) begin_[1] = static_cast<std::uint32_t>(n);
  std::fill_n(distance_.begin(), n, std::numeric_limits<float>::infinity());
  // Where no loss is finite, any other will do.
  for (std::size_t i = 0; i < n; ++i) second[i] = nearest[i] == 0 ? 1 : 0;
  for (std::size_t g = 0; g < groups(); ++g) {
    const auto members = std::span(members_).subspan(begin_[g], begin_[g + 1] - begin_[g]);
    search_second(g, members, points, nearest, second);
  }
}

}  // namespace scann
