// Groups of centroids against exhaustive assignment: flat and grouped levels, 3 to 40 dimensions, batches of
// every size, groups found and groups given.
#include "core/centroid_groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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
