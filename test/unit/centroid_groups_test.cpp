// Groups of centroids against exhaustive assignment: flat and grouped levels, 3 to 40 dimensions, batches of
// every size, groups found and groups given.
#include "core/centroid_groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/kernels.hpp"

namespace scann {
namespace {

bool never() { return false; }
bool always() { return true; }

using Rows = std::vector<float>;

// Rows around centres that lie around centres of their own.
Rows nested_clusters(std::size_t count, std::size_t dims, unsigned seed) {
  constexpr std::size_t kCentres = 30;
  std::mt19937_64 random(seed);
  std::mt19937_64 fixed(1);
  std::normal_distribution<float> normal;
  Rows centres(kCentres * dims);
  for (float& x : centres) x = normal(fixed);
  Rows rows(count * dims);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t centre = random() % kCentres;
    for (std::size_t k = 0; k < dims; ++k)
      rows[i * dims + k] = centres[centre * dims + k] + 0.5F * normal(random);
  }
  return rows;
}

std::uint32_t nearest_of_all(const float* point, const Rows& centroids, std::size_t dims) {
  std::uint32_t best = 0;
  double least = squared_distance(point, centroids.data(), dims);
  for (std::uint32_t c = 1; c * dims < centroids.size(); ++c) {
    const double distance = squared_distance(point, &centroids[c * dims], dims);
    if (distance < least) {
      least = distance;
      best = c;
    }
  }
  return best;
}

TEST(CentroidGroups, FewCentroidsAreOneGroup) {
  EXPECT_EQ(group_count(1), 1U);
  EXPECT_EQ(group_count(kLargestFlatLevel), 1U);
  EXPECT_EQ(group_count(4000), 63U);
  Rows centroids = nested_clusters(200, 5, 2);
  const Rows before = centroids;
  CentroidGroups groups(centroids, 5, never);
  ASSERT_TRUE(groups.ready());
  EXPECT_EQ(groups.groups(), 1U);
  EXPECT_EQ(centroids, before);
  const Rows points = nested_clusters(100, 5, 3);
  std::vector<std::uint32_t> nearest(100);
  groups.assign(points.data(), nearest.size(), nearest.data());
  for (std::size_t i = 0; i < nearest.size(); ++i)
    EXPECT_EQ(nearest[i], nearest_of_all(&points[i * 5], centroids, 5));
}

class Grouped : public testing::TestWithParam<std::size_t> {};

TEST_P(Grouped, HoldEveryCentroidOnceAndFindNearlyAllNearest) {
  const std::size_t dims = GetParam();
  constexpr std::size_t kCount = 2500;
  Rows centroids = nested_clusters(kCount, dims, 2);
  std::vector<Rows> before;
  for (std::size_t i = 0; i < kCount; ++i)
    before.emplace_back(centroids.begin() + static_cast<std::ptrdiff_t>(i * dims),
                        centroids.begin() + static_cast<std::ptrdiff_t>((i + 1) * dims));
  CentroidGroups groups(centroids, dims, never);
  ASSERT_TRUE(groups.ready());
  EXPECT_GT(groups.groups(), 40U);
  EXPECT_LE(groups.groups(), group_count(kCount));
  EXPECT_EQ(groups.first().front(), 0U);
  EXPECT_EQ(groups.first().back(), kCount);
  for (std::size_t g = 0; g < groups.groups(); ++g) EXPECT_LT(groups.first()[g], groups.first()[g + 1]);

  std::vector<Rows> after;
  for (std::size_t i = 0; i < kCount; ++i)
    after.emplace_back(centroids.begin() + static_cast<std::ptrdiff_t>(i * dims),
                       centroids.begin() + static_cast<std::ptrdiff_t>((i + 1) * dims));
  std::sort(before.begin(), before.end());
  std::sort(after.begin(), after.end());
  EXPECT_EQ(before, after);

  constexpr std::size_t kPoints = 1000;
  const Rows points = nested_clusters(kPoints, dims, 3);
  std::vector<std::uint32_t> nearest(kPoints);
  groups.assign(points.data(), kPoints, nearest.data());
  std::size_t exact = 0;
  double found = 0;
  double least = 0;
  for (std::size_t i = 0; i < kPoints; ++i) {
    const std::uint32_t best = nearest_of_all(&points[i * dims], centroids, dims);
    exact += nearest[i] == best ? 1 : 0;
    found += squared_distance(&points[i * dims], &centroids[nearest[i] * dims], dims);
    least += squared_distance(&points[i * dims], &centroids[best * dims], dims);
  }
  EXPECT_GT(exact, kPoints * 9 / 10);
  EXPECT_LT(found, 1.01 * least);
}

INSTANTIATE_TEST_SUITE_P(Dims, Grouped, testing::Values(3, 17, 40));

TEST(CentroidGroups, ResultsDependNeitherOnTheBatchNorOnWhoFoundTheGroups) {
  constexpr std::size_t kDims = 20;
  Rows centroids = nested_clusters(2000, kDims, 2);
  CentroidGroups found(centroids, kDims, never);
  ASSERT_TRUE(found.ready());
  CentroidGroups given(std::span<const float>(centroids), kDims, found.first());
  const Rows points = nested_clusters(CentroidGroups::kBatch, kDims, 3);
  std::vector<std::uint32_t> all(CentroidGroups::kBatch);
  found.assign(points.data(), all.size(), all.data());
  std::vector<std::uint32_t> some(all.size());
  for (std::size_t from = 0, size = 4; from < all.size(); from += size, size = size * 3 / 2) {
    size = std::min(size, all.size() - from);
    given.assign(&points[from * kDims], size, &some[from]);
  }
  EXPECT_EQ(all, some);
}

double second_loss_of(const float* x, const float* nearest, const float* other, std::size_t dims) {
  std::vector<double> r(dims);
  double norm = 0;
  for (std::size_t k = 0; k < dims; ++k) {
    r[k] = double{x[k]} - nearest[k];
    norm += r[k] * r[k];
  }
  double squared = 0;
  double along = 0;
  for (std::size_t k = 0; k < dims; ++k) {
    const double other_residual = double{x[k]} - other[k];
    squared += other_residual * other_residual;
    along += norm > 0 ? other_residual * r[k] / std::sqrt(norm) : 0;
  }
  return squared + kParallelWeight * along * along;
}

// The second centroid's loss is the least of all but the nearest; but for rounding, where two are as good.
TEST(CentroidGroups, SecondIsTheBestOfAllInAFlatLevel) {
  for (const std::size_t dims : {1, 3, 20, 100}) {
    SCOPED_TRACE(dims);
    constexpr std::size_t kCount = 150;
    constexpr std::size_t kPoints = 300;
    const Rows centroids = nested_clusters(kCount, dims, 2);
    Rows points = nested_clusters(kPoints, dims, 3);
    std::copy_n(&centroids[7 * dims], dims, &points[5 * dims]);  // a point without a residual
    const std::vector<std::uint32_t> first = {0, kCount};
    CentroidGroups groups(std::span<const float>(centroids), dims, first, true);
    std::vector<std::uint32_t> nearest(kPoints);
    std::vector<std::uint32_t> second(kPoints);
    groups.assign(points.data(), kPoints, nearest.data());
    groups.assign_second(points.data(), kPoints, nearest.data(), second.data());
    EXPECT_EQ(nearest[5], 7U);
    std::size_t next_nearest = 0;
    for (std::size_t i = 0; i < kPoints; ++i) {
      ASSERT_NE(second[i], nearest[i]);
      const float* x = &points[i * dims];
      const float* c = &centroids[nearest[i] * dims];
      double least = std::numeric_limits<double>::infinity();
      double nearest_other = least;
      for (std::size_t other = 0; other < kCount; ++other) {
        if (other == nearest[i]) continue;
        least = std::min(least, second_loss_of(x, c, &centroids[other * dims], dims));
        nearest_other = std::min(nearest_other, squared_distance(x, &centroids[other * dims], dims));
      }
      const float* chosen = &centroids[second[i] * dims];
      EXPECT_NEAR(second_loss_of(x, c, chosen, dims), least, 1e-4 * (1 + least));
      next_nearest += squared_distance(x, chosen, dims) <= nearest_other * (1 + 1e-6) ? 1 : 0;
    }
    // The loss is not just the distance.
    if (dims > 1) {
      EXPECT_LT(next_nearest, kPoints * 9 / 10);
    }
  }
}

TEST(CentroidGroups, SecondIsNearlyTheBestThroughGroups) {
  constexpr std::size_t kDims = 20;
  constexpr std::size_t kPoints = 1000;
  Rows centroids = nested_clusters(2500, kDims, 2);
  const CentroidGroups found(centroids, kDims, never);
  CentroidGroups groups(std::span<const float>(centroids), kDims, found.first(), true);
  const Rows points = nested_clusters(kPoints, kDims, 3);
  std::vector<std::uint32_t> nearest(kPoints);
  std::vector<std::uint32_t> second(kPoints);
  groups.assign(points.data(), kPoints, nearest.data());
  groups.assign_second(points.data(), kPoints, nearest.data(), second.data());
  double loss = 0;
  double least = 0;
  for (std::size_t i = 0; i < kPoints; ++i) {
    ASSERT_NE(second[i], nearest[i]);
    const float* x = &points[i * kDims];
    const float* c = &centroids[nearest[i] * kDims];
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t other = 0; other < 2500; ++other) {
      if (other != nearest[i]) best = std::min(best, second_loss_of(x, c, &centroids[other * kDims], kDims));
    }
    loss += second_loss_of(x, c, &centroids[second[i] * kDims], kDims);
    least += best;
  }
  EXPECT_GE(loss, least * (1 - 1e-4));
  EXPECT_LT(loss, 1.03 * least);
}

// Whatever the batch; and where distances overflow, still another than the nearest.
TEST(CentroidGroups, SecondDependsOnThePointAlone) {
  constexpr std::size_t kDims = 20;
  for (const std::size_t count : {2, 300, 2000}) {
    SCOPED_TRACE(count);
    Rows centroids = nested_clusters(count, kDims, 2);
    const CentroidGroups found(centroids, kDims, never);
    CentroidGroups groups(std::span<const float>(centroids), kDims, found.first(), true);
    Rows points = nested_clusters(1000, kDims, 3);
    std::fill_n(points.begin(), kDims, 3e38F);
    std::vector<std::uint32_t> nearest(1000);
    std::vector<std::uint32_t> all(1000);
    groups.assign(points.data(), 1000, nearest.data());
    groups.assign_second(points.data(), 1000, nearest.data(), all.data());
    EXPECT_NE(all[0], nearest[0]);
    EXPECT_LT(all[0], count);
    std::vector<std::uint32_t> some(1000);
    for (std::size_t from = 0, size = 4; from < 1000; from += size, size = size * 3 / 2) {
      size = std::min<std::size_t>(size, 1000 - from);
      groups.assign(&points[from * kDims], size, &nearest[from]);
      groups.assign_second(&points[from * kDims], size, &nearest[from], &some[from]);
    }
    EXPECT_EQ(all, some);
  }
}

TEST(CentroidGroups, EqualCentroidsAreOneGroup) {
  Rows centroids(2000 * 4, 1.5F);
  CentroidGroups groups(centroids, 4, never);
  ASSERT_TRUE(groups.ready());
  EXPECT_EQ(groups.groups(), 1U);
}

TEST(CentroidGroups, StopsWhenAsked) {
  Rows centroids = nested_clusters(2000, 4, 2);
  EXPECT_FALSE(CentroidGroups(centroids, 4, always).ready());
}

}  // namespace
}  // namespace scann
