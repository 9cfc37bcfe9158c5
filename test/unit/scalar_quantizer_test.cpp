// The bounds hold whatever the data: 1 to 1536 dimensions, components from denormals to 3e38, mixtures of
// both, zeros, duplicates and queries equal to the vector, against distances in long double and as users see
// them, on every instruction set.
#include "core/scalar_quantizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/kernels.hpp"
#include "every_target.hpp"

namespace scann {
namespace {

constexpr float kHuge = 3e38F;
constexpr float kDenormal = std::numeric_limits<float>::denorm_min();

using Vector = std::vector<float>;

// Vectors of every kind that is hard to quantise.
std::vector<Vector> hostile_vectors(std::size_t dims) {
  std::mt19937 random(static_cast<unsigned>(dims));
  std::normal_distribution<float> normal;
  std::vector<Vector> vectors;
  for (const float scale : {1.0F, 1e-20F, 1e-38F, 1e-42F, kDenormal, 1e20F, 1e37F}) {
    Vector v(dims);
    for (float& x : v) x = normal(random) * scale;
    vectors.push_back(v);
  }
  vectors.emplace_back(dims, 0.0F);
  vectors.emplace_back(dims, 1.0F);
  vectors.emplace_back(dims, kHuge);
  vectors.emplace_back(dims, -kHuge);
  vectors.emplace_back(dims, kDenormal);
  vectors.emplace_back(dims, std::numeric_limits<float>::min());
  Vector spike(dims, 1e-3F);
  spike[dims / 2] = 1e6F;
  vectors.push_back(spike);
  Vector mixture(dims);
  for (std::size_t i = 0; i < dims; ++i)
    mixture[i] = std::ldexp(normal(random), static_cast<int>(i % 250) - 125);
  vectors.push_back(mixture);
  Vector whole(dims);  // quantised without any error
  for (float& x : whole) x = static_cast<float>(static_cast<int>(random() % 255) - 127);
  whole[0] = 127;
  vectors.push_back(whole);
  return vectors;
}

struct Quantized {
  ScalarQuantized code;
  std::vector<std::int8_t> levels;
  double norm;  // of levels
};

Quantized quantize(const Vector& x) {
  Quantized result;
  result.levels.resize(x.size());
  result.code = scalar_quantize(x, result.levels);
  double squared = 0;
  for (const int level : result.levels) squared += level * level;
  result.norm = std::sqrt(squared);
  return result;
}

const std::size_t kDims[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 384, 768, 1536};

TEST(ErrorBound, RoundsUpByLittle) {
  EXPECT_EQ(encode_error_bound(0), 0);
  EXPECT_EQ(decode_error_bound(encode_error_bound(1.0)), 1.0F);
  for (double error = 1e-46; error < 3e38; error *= 1.37) {
    const double decoded = decode_error_bound(encode_error_bound(error));
    EXPECT_GE(decoded, error);
    EXPECT_LE(decoded, error * (1 + 1.0 / 128) + 1e-40);
  }
  EXPECT_EQ(decode_error_bound(encode_error_bound(3.4e38)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(decode_error_bound(encode_error_bound(1e300)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(decode_error_bound(encode_error_bound(NAN)), std::numeric_limits<float>::infinity());
}

TEST(ScalarQuantizer, ErrorBoundHolds) {
  on_every_target([] {
    for (const std::size_t dims : kDims) {
      for (const Vector& x : hostile_vectors(dims)) {
        const Quantized code = quantize(x);
        long double squared = 0;
        for (std::size_t i = 0; i < dims; ++i) {
          const long double error = x[i] - static_cast<long double>(code.code.scale) * code.levels[i];
          squared += error * error;
          ASSERT_GE(code.levels[i], -127);
        }
        ASSERT_LE(std::sqrt(squared), decode_error_bound(code.code.error));
      }
    }
  });
}

TEST(ScalarQuantizer, ZeroAndUsualPrecision) {
  EXPECT_EQ(quantize(Vector(10)).code.scale, 0.0F);
  EXPECT_EQ(quantize(Vector(10)).code.error, 0);
  for (const std::size_t dims : {100, 768}) {
    const Vector x = hostile_vectors(dims)[0];
    const double norm = std::sqrt(inner_product(x.data(), x.data(), dims));
    EXPECT_LT(decode_error_bound(quantize(x).code.error), 0.012 * norm);
  }
}

TEST(ScalarQuantizer, InnerProductBoundHolds) {
  on_every_target([] {
    for (const std::size_t dims : kDims) {
      const std::vector<Vector> vectors = hostile_vectors(dims);
      for (const Vector& x : vectors) {
        const Quantized code = quantize(x);
        for (const Vector& q : vectors) {
          const double query_norm = std::sqrt(inner_product(q.data(), q.data(), dims)) * (1 + 1e-12);
          const double bound =
              inner_product_lower_bound(dot_i8(q.data(), code.levels.data(), dims), query_norm,
                                        code.code.scale, code.norm, code.code.error, dims);
          long double exact = 0;
          for (std::size_t i = 0; i < dims; ++i) exact -= static_cast<long double>(q[i]) * x[i];
          ASSERT_LE(bound, exact) << dims;
          ASSERT_LE(bound, -inner_product(q.data(), x.data(), dims)) << dims;
        }
      }
    }
  });
}

TEST(ScalarQuantizer, DistanceBoundHolds) {
  on_every_target([] {
    for (const std::size_t dims : kDims) {
      const std::vector<Vector> vectors = hostile_vectors(dims);
      for (const Vector& x : vectors) {
        const Quantized code = quantize(x);
        std::vector<Vector> queries = vectors;
        Vector near = x;  // the code itself, nudged: differences cancel
        for (std::size_t i = 0; i < dims; ++i) {
          near[i] = std::nextafter(code.code.scale * code.levels[i], i % 2 ? kHuge : -kHuge);
        }
        queries.push_back(near);
        for (const Vector& q : queries) {
          const float squared = squared_distance_i8(q.data(), code.levels.data(), code.code.scale, dims);
          const double bound = distance_lower_bound(squared, code.code.error, dims);
          ASSERT_GE(bound, 0);
          long double exact = 0;
          for (std::size_t i = 0; i < dims; ++i) {
            const long double difference = static_cast<long double>(q[i]) - x[i];
            exact += difference * difference;
          }
          ASSERT_LE(bound, std::sqrt(exact)) << dims;
          ASSERT_LE(bound, std::sqrt(squared_distance(q.data(), x.data(), dims))) << dims;
        }
      }
    }
  });
}

TEST(ScalarQuantizer, BoundsAreTight) {
  const std::size_t dims = 100;
  const std::vector<Vector> vectors = hostile_vectors(dims);
  const Quantized code = quantize(vectors[0]);
  Vector q = vectors[0];
  std::shuffle(q.begin(), q.end(), std::mt19937(1));
  const double norm = std::sqrt(inner_product(q.data(), q.data(), dims));
  const double error = decode_error_bound(code.code.error);
  const double dot = dot_i8(q.data(), code.levels.data(), dims);
  EXPECT_NEAR(inner_product_lower_bound(dot, norm, code.code.scale, code.norm, code.code.error, dims),
              -dot * code.code.scale - norm * error, 1e-5 * norm * norm);
  const double squared = squared_distance_i8(q.data(), code.levels.data(), code.code.scale, dims);
  EXPECT_NEAR(distance_lower_bound(squared, code.code.error, dims), std::sqrt(squared) - error, 1e-4);
}

TEST(ScalarQuantizer, OverflowsLoseNothing) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const ErrorBound error = encode_error_bound(1);
  for (const double bad : {kInfinity, -kInfinity, double{NAN}}) {
    EXPECT_EQ(inner_product_lower_bound(bad, 1, 1, 1, error, 100), -kInfinity);
    EXPECT_EQ(distance_lower_bound(bad, error, 100), 0);
  }
  EXPECT_EQ(distance_lower_bound(4, encode_error_bound(kInfinity), 100), 0);
  EXPECT_EQ(inner_product_lower_bound(1, 1, 1, 1, encode_error_bound(kInfinity), 100), -kInfinity);
}

}  // namespace
}  // namespace scann
