// Generated vectors about as hard to search as word vectors of 100 dimensions, in any number: clusters within
// clusters within clusters, of uneven sizes, around which rows spread in 40 of the dimensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "random.hpp"

namespace bench {

class NestedClusters {
 public:
  NestedClusters(std::size_t dims, std::uint64_t seed);

  // The next row, of unit length: dims floats. Rows do not depend on one another, so the first n of a longer
  // sequence are a sample of the same distribution.
  void Next(std::span<float> row);

 private:
  struct Level {
    std::vector<double> cumulative;  // shares of the clusters within a cluster of the level above
    std::vector<float> offsets;      // of all clusters of this level from the centres of those above
  };

  std::size_t dims_;
  Random random_;
  std::vector<float> spectrum_;  // standard deviation in each dimension
  std::vector<Level> levels_;
  std::vector<float> directions_;  // of the spread around centres: kShapes x kSpreadDims x dims
};

}  // namespace bench
