// Partition centroids: k-means on a sample, with empty and tiny clusters re-seeded and leaf sizes kept
// balanced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/params.hpp"

namespace scann {

struct PartitionerOptions {
  int iterations = 10;
  std::uint64_t seed = 1;
  // Bytes of scratch that training may allocate beside the sample and the centroids.
  std::size_t scratch_bytes = 16 << 20;
};

// Trains up to `leaves` centroids on row-major `sample` (count x dims, squared Euclidean assignment, mean
// centroids). Writes them to `centroids` (leaves x dims) and their number to `*trained`: fewer than asked
// only when the sample has fewer distinct rows. No trained leaf holds more than a few times the mean number
// of sample rows unless rows coincide. Deterministic for a seed. Returns false when `stop` said so.
[[nodiscard]] bool train_partitions(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                                    const PartitionerOptions& options, StopPredicate stop,
                                    std::span<float> centroids, std::size_t* trained);

}  // namespace scann
