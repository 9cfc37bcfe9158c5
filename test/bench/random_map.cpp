// A random non-linear map of vectors to more dimensions.
#include "random_map.hpp"

#include <algorithm>
#include <cmath>

#include "random.hpp"

namespace bench {

RandomMap::RandomMap(std::size_t from_dims, std::size_t to_dims, std::uint64_t seed)
    : weights_(from_dims * to_dims) {
  Random random(seed);
  for (float& weight : weights_) weight = static_cast<float>(random.Normal());
}

void RandomMap::Apply(std::span<const float> from, std::span<float> to) const {
  std::ranges::fill(to, 0.0F);
  const float* weights = weights_.data();
  for (const float x : from) {
    for (float& sum : to) sum += x * *weights++;
  }
  for (float& sum : to) sum = std::tanh(sum);
}

}  // namespace bench
