// k-means against a plain Lloyd iteration, and its promises: balance, re-seeding, distinct rows, determinism;
// clustered, skewed, duplicated and constant samples, 1 to 64 dimensions.
#include "core/partitioner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "core/kernels.hpp"

namespace scann {
namespace {

bool never() { return false; }
bool always() { return true; }

using Rows = std::vector<float>;

struct Partitions {
  std::size_t dims;
  std::size_t trained = 0;
  Rows centroids;
};

Partitions train(const Rows& sample, std::size_t dims, std::size_t leaves,
                 const PartitionerOptions& options = {}) {
  Partitions result{dims, 0, Rows(leaves * dims, -1.0F)};
  EXPECT_TRUE(train_partitions(sample, dims, leaves, options, never, result.centroids, &result.trained));
  EXPECT_LE(result.trained, leaves);
  return result;
}

// Brute-force assignment: rows a leaf, and the sum of squared distances.
struct Assignment {
  std::vector<std::size_t> sizes;
  double error = 0;

  std::size_t largest() const { return *std::max_element(sizes.begin(), sizes.end()); }
  std::size_t smallest() const { return *std::min_element(sizes.begin(), sizes.end()); }
};

Assignment assign(const Rows& sample, const Partitions& partitions) {
  const std::size_t dims = partitions.dims;
  Assignment result{std::vector<std::size_t>(partitions.trained), 0};
  for (std::size_t i = 0; i < sample.size(); i += dims) {
    double best = std::numeric_limits<double>::infinity();
    std::size_t leaf = 0;
    for (std::size_t j = 0; j < partitions.trained; ++j) {
      const double distance = squared_distance(&sample[i], &partitions.centroids[j * dims], dims);
      if (distance < best) {
        best = distance;
        leaf = j;
      }
    }
    ++result.sizes[leaf];
    result.error += best;
  }
  return result;
}

// Rows around `clusters` random centres; cluster sizes fall as 1 / (1 + skew * i).
Rows clustered(std::size_t count, std::size_t dims, std::size_t clusters, double skew) {
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal;
  Rows centres(clusters * dims);
  for (float& value : centres) value = normal(random);
  std::vector<double> shares(clusters);
  for (std::size_t i = 0; i < clusters; ++i) shares[i] = 1 / (1 + skew * static_cast<double>(i));
  std::discrete_distribution<std::size_t> cluster(shares.begin(), shares.end());
  Rows rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t centre = cluster(random);
    for (std::size_t k = 0; k < dims; ++k) rows.push_back(centres[centre * dims + k] + 0.4F * normal(random));
  }
  return rows;
}

// Thirty rounds of Lloyd's algorithm from the first rows.
double plain_k_means_error(const Rows& sample, std::size_t dims, std::size_t leaves) {
  Partitions partitions{dims, leaves,
                        Rows(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(leaves * dims))};
  for (int round = 0; round < 30; ++round) {
    std::vector<double> sums(leaves * dims, 0.0);
    std::vector<double> counts(leaves, 0.0);
    for (std::size_t i = 0; i < sample.size(); i += dims) {
      std::size_t leaf = 0;
      double best = std::numeric_limits<double>::infinity();
      for (std::size_t j = 0; j < leaves; ++j) {
        const double distance = squared_distance(&sample[i], &partitions.centroids[j * dims], dims);
        if (distance < best) {
          best = distance;
          leaf = j;
        }
      }
      ++counts[leaf];
      for (std::size_t k = 0; k < dims; ++k) sums[leaf * dims + k] += sample[i + k];
    }
    for (std::size_t at = 0; at < sums.size(); ++at) {
      if (counts[at / dims] > 0) partitions.centroids[at] = static_cast<float>(sums[at] / counts[at / dims]);
    }
  }
  return assign(sample, partitions).error;
}

TEST(TrainPartitions, IsAsGoodAsPlainKMeans) {
  const Rows sample = clustered(4000, 16, 60, 0.0);
  const Partitions partitions = train(sample, 16, 40);
  EXPECT_EQ(partitions.trained, 40U);
  EXPECT_LT(assign(sample, partitions).error, 1.03 * plain_k_means_error(sample, 16, 40));
}

TEST(TrainPartitions, FindsSeparatedClusters) {
  // 30 groups 100 apart: leaves that start in the same group must be moved to others.
  Rows sample;
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 3000; ++i) {
    sample.push_back(static_cast<float>(i % 30 % 6) * 100 + normal(random));
    sample.push_back(static_cast<float>(i % 30 / 6) * 100 + normal(random));
  }
  const Assignment found = assign(sample, train(sample, 2, 30));
  EXPECT_LT(found.error / 3000, 500);
  EXPECT_GT(found.smallest(), 0U);
}

TEST(TrainPartitions, BalancesSkewedData) {
  for (double skew : {1.0, 5.0}) {
    const Rows sample = clustered(6000, 24, 100, skew);
    const Partitions partitions = train(sample, 24, 60);
    const Assignment found = assign(sample, partitions);
    EXPECT_EQ(partitions.trained, 60U);
    EXPECT_LE(found.largest(), 300U) << skew;  // mean 100
    EXPECT_GT(found.smallest(), 0U);
  }
}

TEST(TrainPartitions, SplitsADenseCoreOutOfAHalo) {
  Rows sample;
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 4000; ++i) {
    for (int k = 0; k < 32; ++k) sample.push_back((i % 2 == 0 ? 0.01F : 1.0F) * normal(random));
  }
  const Assignment found = assign(sample, train(sample, 32, 40));
  EXPECT_LE(found.largest(), 400U);  // mean 100; half of the rows sit on one spot
}

TEST(TrainPartitions, OneLeafIsTheMean) {
  const Partitions partitions = train({1, 10, 2, 20, 6, 60}, 2, 1);
  ASSERT_EQ(partitions.trained, 1U);
  EXPECT_FLOAT_EQ(partitions.centroids[0], 3);
  EXPECT_FLOAT_EQ(partitions.centroids[1], 30);
}

TEST(TrainPartitions, FewerRowsThanLeaves) {
  const Rows sample = {5, 1, 2, 2, 9, 1};
  const Partitions partitions = train(sample, 1, 20);
  ASSERT_EQ(partitions.trained, 4U);
  const std::set<float> found(partitions.centroids.begin(), partitions.centroids.begin() + 4);
  EXPECT_EQ(found, (std::set<float>{1, 2, 5, 9}));
}

TEST(TrainPartitions, FewerDistinctRowsThanLeaves) {
  Rows sample;
  for (int i = 0; i < 1000; ++i) sample.insert(sample.end(), {static_cast<float>(i % 7), 1});
  const Partitions partitions = train(sample, 2, 50);
  EXPECT_EQ(partitions.trained, 7U);
  EXPECT_NEAR(assign(sample, partitions).error, 0, 1e-6);
}

TEST(TrainPartitions, OneDominantDuplicate) {
  Rows sample;
  for (int i = 0; i < 1000; ++i) sample.push_back(i < 600 ? 0.0F : static_cast<float>(i));
  const Partitions partitions = train(sample, 1, 20);
  EXPECT_EQ(partitions.trained, 20U);
  std::vector<std::size_t> sizes = assign(sample, partitions).sizes;
  std::sort(sizes.rbegin(), sizes.rend());
  EXPECT_GE(sizes[0], 600U);  // rows that coincide cannot be split
  EXPECT_LE(sizes[1], 100U);
}

TEST(TrainPartitions, ManyLeavesOfFewRows) {
  const Rows sample = clustered(300, 8, 5, 0.0);
  const Partitions partitions = train(sample, 8, 200);
  EXPECT_EQ(partitions.trained, 200U);
  EXPECT_GT(assign(sample, partitions).smallest(), 0U);
}

TEST(TrainPartitions, DegenerateSamples) {
  EXPECT_EQ(train({}, 3, 10).trained, 0U);
  EXPECT_EQ(train({1, 2, 3}, 3, 10).trained, 1U);
  const Partitions constant = train(Rows(3 * 500, 2.5F), 3, 10);
  ASSERT_EQ(constant.trained, 1U);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_FLOAT_EQ(constant.centroids[k], 2.5F);
}

TEST(TrainPartitions, IsDeterministicForASeed) {
  const Rows sample = clustered(2000, 8, 30, 1.0);
  const Partitions first = train(sample, 8, 25);
  EXPECT_EQ(first.centroids, train(sample, 8, 25).centroids);
  PartitionerOptions other;
  other.seed = 2;
  EXPECT_NE(first.centroids, train(sample, 8, 25, other).centroids);
}

TEST(TrainPartitions, WorksInLittleMemory) {
  const Rows sample = clustered(5000, 8, 30, 0.0);
  PartitionerOptions options;
  options.scratch_bytes = 4096;  // 512 rows
  const Partitions partitions = train(sample, 8, 25, options);
  EXPECT_EQ(partitions.trained, 25U);
  EXPECT_LT(assign(sample, partitions).error, 1.2 * plain_k_means_error(sample, 8, 25));
}

// As processes do that claim chunks: in no order, each with an assigner of its own.
TEST(PartitionTraining, OutcomeDoesNotDependOnWhoDoesWhichChunk) {
  constexpr std::size_t kDims = 16;
  constexpr std::size_t kLeaves = 450;  // found through groups
  const Rows sample = clustered(40'000, kDims, 300, 0.5);
  Rows centroids(kLeaves * kDims);
  PartitionTraining training(sample, kDims, kLeaves, {}, centroids);
  int steps = 0;
  std::size_t most_chunks = 0;
  while (const AssignStep* step = training.next()) {
    ++steps;
    EXPECT_LE(step->rows.count, training.most_rows());
    std::fill(step->nearest.begin(), step->nearest.end(), 0xFFFFFFFF);
    ChunkAssigner odd(*step);
    ChunkAssigner even(*step);
    most_chunks = std::max(most_chunks, step->chunks());
    for (std::size_t chunk = step->chunks(); chunk-- > 0;) (chunk % 2 > 0 ? odd : even).assign(chunk);
  }
  EXPECT_GE(steps, 8);
  EXPECT_GT(most_chunks, 2U);
  const Partitions alone = train(sample, kDims, kLeaves);
  EXPECT_EQ(training.trained(), alone.trained);
  EXPECT_EQ(centroids, alone.centroids);
}

int polls = 0;
bool after_a_while() { return ++polls > 3; }

TEST(TrainPartitions, Stops) {
  const Rows sample = clustered(3000, 64, 30, 0.0);
  Partitions partitions{64, 0, Rows(20 * 64)};
  EXPECT_FALSE(train_partitions(sample, 64, 20, {}, always, partitions.centroids, &partitions.trained));
  polls = 0;
  EXPECT_FALSE(
      train_partitions(sample, 64, 20, {}, after_a_while, partitions.centroids, &partitions.trained));
  EXPECT_EQ(polls, 4);
}

}  // namespace
}  // namespace scann
