// Every kernel against plain double loops on every instruction set: lengths 0 to 200 and 768 at unaligned
// addresses, matrices of 1 to 300 rows and columns and up to 600 dimensions; documented error bounds, 1e-5
// relative for matrices.
#include "core/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "every_target.hpp"

namespace scann {
namespace {

std::vector<float> normals(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<std::size_t> lengths() {
  std::vector<std::size_t> result;
  for (std::size_t n = 0; n <= 200; ++n) result.push_back(n);
  result.push_back(768);
  return result;
}

TEST(Kernels, TargetHasAName) {
  initialize_kernels();
  EXPECT_GT(std::string(kernel_target()).size(), 0U);
}

TEST(Kernels, DistancesInDouble) {
  const std::vector<float> a = normals(1000, 1);
  const std::vector<float> b = normals(1000, 2);
  on_every_target([&] {
    for (const std::size_t n : lengths()) {
      const float* x = a.data() + n % 5;
      const float* y = b.data() + n % 3;
      long double ab = 0, aa = 0, bb = 0, squared = 0;
      for (std::size_t i = 0; i < n; ++i) {
        ab += static_cast<long double>(x[i]) * y[i];
        aa += static_cast<long double>(x[i]) * x[i];
        bb += static_cast<long double>(y[i]) * y[i];
        squared += (static_cast<long double>(x[i]) - y[i]) * (static_cast<long double>(x[i]) - y[i]);
      }
      const double tolerance = 1e-14 * static_cast<double>(aa + bb);
      ASSERT_NEAR(inner_product(x, y, n), static_cast<double>(ab), tolerance) << n;
      ASSERT_NEAR(squared_distance(x, y, n), static_cast<double>(squared), tolerance) << n;
      const CosineSums sums = cosine_sums(x, y, n);
      ASSERT_NEAR(sums.ab, static_cast<double>(ab), tolerance) << n;
      ASSERT_NEAR(sums.aa, static_cast<double>(aa), tolerance) << n;
      ASSERT_NEAR(sums.bb, static_cast<double>(bb), tolerance) << n;
    }
  });
}

TEST(Kernels, DistancesOfHugeVectors) {
  const std::vector<float> huge(37, 3e38F);
  on_every_target([&] {
    EXPECT_NEAR(inner_product(huge.data(), huge.data(), 37) / (37 * std::pow(double{3e38F}, 2)), 1, 1e-14);
    EXPECT_EQ(squared_distance(huge.data(), huge.data(), 37), 0);
  });
}

TEST(Kernels, LevelsWithinTheirBounds) {
  const std::vector<float> values = normals(1000, 3);
  std::mt19937 random(4);
  std::vector<std::int8_t> levels(1000);
  for (std::int8_t& level : levels) level = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  on_every_target([&] {
    for (const std::size_t n : lengths()) {
      const float* q = values.data() + n % 5;
      const std::int8_t* v = levels.data() + n % 7;
      const float scale = 0.0173F;
      double dot = 0, magnitude = 0, squared = 0;
      for (std::size_t i = 0; i < n; ++i) {
        dot += double{q[i]} * v[i];
        magnitude += std::fabs(double{q[i]} * v[i]);
        squared += std::pow(q[i] - double{scale} * v[i], 2);
      }
      const double rounding = (static_cast<double>(n) + 8) * 0x1p-24;
      ASSERT_LE(std::fabs(dot_i8(q, v, n) - dot), rounding * magnitude) << n;
      ASSERT_LE(std::fabs(squared_distance_i8(q, v, scale, n) - squared), 2 * rounding * squared) << n;
    }
  });
}

// The same bits as a plain loop, for any number of rows; whatever a query's scale, within its bound.
TEST(Kernels, ManyRowsOfLevels) {
  std::mt19937 random(5);
  std::vector<std::int8_t> rows(9 * 768);
  for (std::int8_t& level : rows) level = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
  on_every_target([&] {
    for (const std::size_t n : lengths()) {
      for (const float magnitude : {1.0F, 1e-30F, 1e30F}) {
        std::vector<float> q = normals(n, 6);
        for (float& x : q) x *= magnitude;
        std::vector<std::int8_t> levels(n);
        const float scale = quantize_query(q.data(), n, levels.data());
        ASSERT_GT(scale, 0);
        for (std::size_t i = 0; i < n; ++i)
          ASSERT_LE(std::fabs(q[i] - double{scale} * levels[i]), 0.51 * scale);
        for (const std::size_t count : {0, 1, 2, 3, 4, 5, 9}) {
          std::vector<float> out(count + 1, -77.0F);
          const std::vector<std::int8_t> exact(rows.begin(),
                                               rows.begin() + static_cast<std::ptrdiff_t>(count * n));
          dot_i8_rows(levels.data(), scale, exact.data(), count, n, out.data());
          for (std::size_t r = 0; r < count; ++r) {
            std::int32_t sum = 0;
            for (std::size_t i = 0; i < n; ++i) sum += levels[i] * exact[r * n + i];
            ASSERT_EQ(out[r], scale * static_cast<float>(sum)) << n << " " << r;
          }
          ASSERT_EQ(out.back(), -77.0F);
        }
      }
    }
  });
}

TEST(Kernels, ManyRowsOfTheLargestLevels) {
  on_every_target([] {
    for (const std::size_t n : {1, 7, 500, 517, 1536, 16000}) {
      for (const int level : {-128, 127}) {
        for (const float x : {-1.0F, 1.0F, -3e38F, 1e-40F, 0.0F}) {
          const std::vector<float> q(n, x);
          const std::vector<std::int8_t> rows(2 * n, static_cast<std::int8_t>(level));
          std::vector<std::int8_t> levels(n);
          const float scale = quantize_query(q.data(), n, levels.data());
          float out[2];
          dot_i8_rows(levels.data(), scale, rows.data(), 2, n, out);
          const double want = double{x} * level * static_cast<double>(n);
          const double step = 0.51 * scale * 128 * static_cast<double>(n);
          for (const float dot : out) {
            if (std::fabs(want) > 1e38) continue;
            ASSERT_NEAR(dot, want, step + 1e-6 * std::fabs(want)) << n << " " << x;
          }
        }
      }
    }
  });
}

TEST(Kernels, FiniteMeansEveryOne) {
  on_every_target([] {
    for (const std::size_t n : lengths()) {
      std::vector<float> values(n, std::numeric_limits<float>::max());
      ASSERT_TRUE(all_finite(values.data(), n));
      for (std::size_t i = 0; i < n; ++i) {
        for (const float bad : {INFINITY, -INFINITY, NAN}) {
          const float kept = std::exchange(values[i], bad);
          ASSERT_FALSE(all_finite(values.data(), n)) << n << " " << i;
          values[i] = kept;
        }
      }
    }
  });
}

TEST(Kernels, DifferencesAtLeast) {
  on_every_target([] {
    for (const std::size_t n : lengths()) {
      std::vector<float> values = normals(n, 8);
      const std::vector<float> subtrahends = normals(n, 9);
      if (n > 2) values[n / 2] = NAN;
      for (const float bound : {-INFINITY, -1.0F, 0.0F, 2.5F, INFINITY}) {
        std::vector<std::uint32_t> expected;
        for (std::uint32_t i = 0; i < n; ++i) {
          if (values[i] - subtrahends[i] >= bound) expected.push_back(i);
        }
        std::vector<std::uint32_t> found(n);
        found.resize(differences_at_least(values.data(), subtrahends.data(), n, bound, found.data()));
        ASSERT_EQ(found, expected) << n << " " << bound;
      }
    }
  });
}

TEST(Kernels, CopyAbove) {
  const std::vector<float> values = normals(1000, 5);
  on_every_target([&] {
    for (const std::size_t n : lengths()) {
      const float* x = values.data() + n % 5;
      // None, few, most, all; a bound that is one of the values is not surpassed by it.
      for (const float bound : {10.0F, 2.0F, x[n / 2], -1.0F, -std::numeric_limits<float>::infinity()}) {
        std::vector<float> expected;
        std::copy_if(x, x + n, std::back_inserter(expected), [bound](float v) { return v > bound; });
        std::vector<float> out(n);
        out.resize(copy_above(x, n, bound, out.data()));
        ASSERT_EQ(out, expected) << n << " above " << bound;
      }
    }
  });
}

TEST(Kernels, MatrixProduct) {
  on_every_target([] {
    for (const std::size_t rows : {1, 3, 4, 11, 12, 37, 300}) {
      for (const std::size_t columns : {1, 3, 5, 16, 31, 32, 33, 70}) {
        for (const std::size_t dims : {1, 2, 7, 100, 255, 256, 257, 600}) {
          if (rows * columns * dims > 2000000) continue;
          const std::vector<float> a = normals(rows * dims, 5);
          const std::vector<float> b = normals(columns * dims, 6);
          std::vector<float> out(rows * columns + 1, -77.0F);
          dot_matrix(a.data(), rows, b.data(), columns, dims, out.data());
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < columns; ++j) {
              const double want = inner_product(&a[i * dims], &b[j * dims], dims);
              ASSERT_NEAR(out[i * columns + j], want, 1e-5 * static_cast<double>(dims + 4))
                  << rows << "x" << columns;
            }
          }
          ASSERT_EQ(out.back(), -77.0F);
        }
      }
    }
  });
}

TEST(Kernels, NearestCentroids) {
  on_every_target([] {
    for (const std::size_t count : {1, 2, 15, 32, 33, 200}) {
      for (const std::size_t dims : {1, 3, 100, 300}) {
        const std::size_t n = dims == 100 ? 3 : 290;
        const std::vector<float> points = normals(n * dims, 7);
        std::vector<float> centroids = normals(count * dims, 8);
        if (count > 3) std::copy_n(&centroids[0], dims, &centroids[(count - 1) * dims]);  // a tie
        std::vector<float> half_norms(count);
        for (std::size_t j = 0; j < count; ++j) {
          const float* c = &centroids[j * dims];
          half_norms[j] = static_cast<float>(inner_product(c, c, dims) / 2);
        }
        std::vector<float> scratch(nearest_scratch_floats(count));
        std::vector<std::uint32_t> nearest(n);
        std::vector<float> distance(n);
        nearest_centroids(points.data(), n, centroids.data(), half_norms.data(), count, dims, scratch.data(),
                          nearest.data(), distance.data());
        for (std::size_t i = 0; i < n; ++i) {
          const float* p = &points[i * dims];
          double least = INFINITY;
          for (std::size_t j = 0; j < count; ++j) {
            least = std::min(least, squared_distance(p, &centroids[j * dims], dims));
          }
          ASSERT_LT(nearest[i], count);
          ASSERT_TRUE(count <= 3 || nearest[i] != count - 1);  // of equals the lower index
          const double tolerance = 1e-5 * static_cast<double>(dims + 4);
          ASSERT_NEAR(squared_distance(p, &centroids[nearest[i] * dims], dims), least, tolerance);
          ASSERT_NEAR(distance[i] + inner_product(p, p, dims), least, tolerance);
        }
      }
    }
  });
}

TEST(Kernels, NearestCentroidsOfHugePoints) {
  on_every_target([] {
    const std::size_t n = 40, count = 21, dims = 9;
    std::vector<float> points(n * dims), centroids(count * dims), half_norms(count);
    std::mt19937 random(9);
    for (float& x : points) x = random() % 2 ? 3e38F : -3e38F;
    for (float& x : centroids) x = random() % 2 ? 3e38F : -3e38F;
    for (float& x : half_norms) x = random() % 2 ? INFINITY : 3e38F;
    std::vector<float> scratch(nearest_scratch_floats(count)), distance(n);
    std::vector<std::uint32_t> nearest(n);
    for (const std::size_t some : {std::size_t{1}, n}) {
      nearest_centroids(points.data(), some, centroids.data(), half_norms.data(), count, dims, scratch.data(),
                        nearest.data(), distance.data());
      for (std::size_t i = 0; i < some; ++i) ASSERT_LT(nearest[i], count);
    }
  });
}

}  // namespace
}  // namespace scann
