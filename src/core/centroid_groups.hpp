// Groups of centroids that lie together: the level of the tree above the leaves. Where there are many
// centroids, a point is compared with the groups' centres first, and then only with the members of the
// nearest few groups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/params.hpp"

namespace scann {

// Up to so many centroids, comparing all of them costs no more than finding groups.
inline constexpr std::size_t kLargestFlatLevel = 1500;

// Groups for so many centroids: their square root, so that both levels are as wide; 1 for a flat level.
std::size_t group_count(std::size_t centroids);

// A point is compared with the centroids of so many groups.
inline constexpr std::size_t kProbedGroups = 8;

// What a second entry of x in the partition of another centroid c' costs (SOAR, Sun et al. 2023), where
// r = x - c is the residual against the nearest centroid c and r' = x - c':
//   squared = ||r'||^2, give or take what is the same for all c'; along = <r', r / ||r||>.
// A query looks for the first entry in vain when its inner product with r is large; that with r' is not to be
// large for the same queries. (Weights of 0.5 and 1.5 take up to 8% more codes for the same recall on word
// vectors; 0, no such preference, takes 20 to 45% more.)
inline constexpr float kParallelWeight = 1;
inline float second_loss(float squared, float along) { return squared + kParallelWeight * along * along; }

// Finds the nearest of many centroids to many points. Allocates at construction only.
class CentroidGroups {
 public:
  // Reorders row-major `centroids` (count x dims) so that each group's are consecutive, and finds at most
  // group_count(count) groups. A `stop` that said so leaves an object that is not ready().
  CentroidGroups(std::span<float> centroids, std::size_t dims, StopPredicate stop);
  // With groups known: `first` as first() gave it. `seconds`: for assign_second(), too.
  CentroidGroups(std::span<const float> centroids, std::size_t dims, std::span<const std::uint32_t> first,
                 bool seconds = false);
  // Either way `centroids` must outlive this, unchanged.

  bool ready() const { return !first_.empty(); }
  std::size_t groups() const { return first_.size() - 1; }
  // Where each group's centroids begin, and the end of the last: groups() + 1 numbers.
  std::span<const std::uint32_t> first() const { return first_; }
  // Distances that assign() computes for one point, about.
  static std::size_t comparisons(std::size_t centroids, std::size_t groups);

  // Points that assign() takes at a time.
  static constexpr std::size_t kBatch = 4096;
  // nearest[i] = the centroid nearest to point i, of n <= kBatch row-major points: of all centroids in a flat
  // level, otherwise of the kProbedGroups groups whose centres are nearest to the point. That misses the
  // nearest of all for one point in fifty, and then by little. From four points on, a point's result does not
  // depend on the others it comes with.
  void assign(const float* points, std::size_t n, std::uint32_t* nearest);
  // second[i] = the centroid of least second_loss() but the nearest, of those that assign() looked at. To be
  // called after it, with the same points and what it found, where there are two centroids at least.
  void assign_second(const float* points, std::size_t n, const std::uint32_t* nearest, std::uint32_t* second);

 private:
  [[nodiscard]] bool find_groups(std::span<float> centroids, StopPredicate stop);
  void prepare();
  void prepare_seconds();
  void choose_groups(const float* points, std::size_t n);
  void search_group(std::size_t group, std::span<const std::uint32_t> members, const float* points,
                    std::uint32_t* nearest);
  std::size_t gather(std::span<const std::uint32_t> members, const float* points);
  void find_directions(std::span<const std::uint32_t> members, std::size_t rows,
                       const std::uint32_t* nearest);
  void search_second(std::size_t group, std::span<const std::uint32_t> members, const float* points,
                     const std::uint32_t* nearest, std::uint32_t* second);

  std::span<const float> centroids_;
  std::size_t dims_;
  std::vector<std::uint32_t> first_;
  std::vector<float> centers_;
  std::vector<float> half_norms_;         // ||c||^2 / 2 of centroids
  std::vector<float> center_half_norms_;  // and of centres
  // Scratch of assign().
  std::vector<float> scratch_;
  std::vector<float> products_;         // of a few points with all centres
  std::vector<std::uint64_t> ranked_;   // centres of one point by distance
  std::vector<std::uint32_t> chosen_;   // kProbedGroups groups for each point
  std::vector<std::uint32_t> begin_;    // where each group's points begin in members_
  std::vector<std::uint32_t> members_;  // points by the groups they chose
  std::vector<float> gathered_;         // points of one group
  std::vector<std::uint32_t> found_;
  std::vector<float> found_distance_;
  std::vector<float> distance_;
  // Scratch of assign_second().
  std::vector<float> directions_;  // of gathered points' residuals
  std::vector<float> reaches_;     // inner products of points with their directions,
  std::vector<float> along_;       // of centroids with the directions
  std::vector<float> across_;      // and with the points
};

}  // namespace scann
