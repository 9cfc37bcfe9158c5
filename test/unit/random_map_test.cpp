// The map to more dimensions: the size of its arguments, what a seed decides, and that it is not linear.
#include "../bench/random_map.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t kTo = 2000;

std::vector<float> mapped(const std::vector<float>& from, std::uint64_t seed) {
  std::vector<float> to(kTo, 7.0F);
  RandomMap(from.size(), kTo, seed).Apply(from, to);
  return to;
}

TEST(RandomMap, ArgumentsOfUnitVectorsAreStandardNormal) {
  double sum = 0;
  double squares = 0;
  for (const float y : mapped({0.6F, 0, -0.8F}, 1)) {
    ASSERT_LT(std::abs(y), 1);
    sum += std::atanh(y);
    squares += std::atanh(y) * std::atanh(y);
  }
  EXPECT_NEAR(sum / kTo, 0, 0.1);
  EXPECT_NEAR(squares / kTo, 1, 0.15);
}

TEST(RandomMap, IsTheSameForTheSameSeedOnly) {
  const std::vector<float> from = {0.5F, 0.5F, 0.5F, 0.5F};
  EXPECT_EQ(mapped(from, 1), mapped(from, 1));
  EXPECT_NE(mapped(from, 1), mapped(from, 2));
}

TEST(RandomMap, IsTanhOfALinearMap) {
  const auto a = mapped({1, 0}, 1);
  const auto b = mapped({0, 1}, 1);
  const auto both = mapped({0.5F, -0.25F}, 1);
  for (std::size_t i = 0; i < kTo; ++i) {
    EXPECT_NEAR(both[i], std::tanh(0.5 * std::atanh(a[i]) - 0.25 * std::atanh(b[i])), 1e-3);
  }
  EXPECT_EQ(mapped({0, 0}, 1), std::vector<float>(kTo, 0.0F));
}

}  // namespace
}  // namespace bench
