// A random non-linear map of vectors to more dimensions: generated data of the shape of real ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bench {

// tanh(x W), where W is a matrix of standard normal numbers: for an x of unit length each argument of tanh is
// standard normal too.
class RandomMap {
 public:
  RandomMap(std::size_t from_dims, std::size_t to_dims, std::uint64_t seed);

  // from_dims floats to to_dims floats.
  void Apply(std::span<const float> from, std::span<float> to) const;

 private:
  std::vector<float> weights_;  // W: from_dims x to_dims
};

}  // namespace bench
