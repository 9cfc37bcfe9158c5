// Partition centroids: k-means on a sample, with empty and tiny clusters re-seeded and leaf sizes kept
// balanced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/centroid_groups.hpp"
#include "core/params.hpp"

namespace scann {

struct PartitionerOptions {
  int iterations = 8;
  std::uint64_t seed = 1;
  // Bytes of scratch that training may allocate beside the sample and the centroids.
  std::size_t scratch_bytes = 16 << 20;
};

// Every `stride`-th row of a row-major sample.
struct RowSubset {
  const float* rows;
  std::size_t dims;
  std::size_t stride;
  std::size_t count;

  const float* row(std::size_t i) const { return rows + i * stride * dims; }
};

// One assignment of rows to their nearest centroids: nearly all the work of training. Any process that sees
// the same numbers can do chunks of it, with the same outcome.
struct AssignStep {
  RowSubset rows;
  std::span<const float> centroids;            // leaves x dims
  std::span<const std::uint32_t> group_first;  // CentroidGroups::first() of them
  std::span<std::uint32_t> nearest;            // out, one for each row of the subset

  // Rows of a chunk, which takes some milliseconds.
  std::size_t chunk_rows() const;
  std::size_t chunks() const;
};

// What a process needs to do chunks of a step; allocates at construction only.
class ChunkAssigner {
 public:
  explicit ChunkAssigner(const AssignStep& step);
  void assign(std::size_t chunk);

 private:
  AssignStep step_;
  CentroidGroups groups_;
  std::vector<float> gathered_;
};

// k-means step by step, for callers that spread its assignments over processes:
//
//   while (const AssignStep* step = training.next()) { do every chunk of it }
//
// Centroids are written to the memory given (leaves x dims) and trained() says how many: fewer than asked
// only when the sample has fewer distinct rows. No trained leaf holds more than a few times the mean number
// of sample rows unless rows coincide. Deterministic for a seed.
class PartitionTraining {
 public:
  // `sample` is row-major, count x dims; squared Euclidean assignment, mean centroids.
  PartitionTraining(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                    const PartitionerOptions& options, std::span<float> centroids);
  ~PartitionTraining();

  // The next step to do, its rows and centroids unchanged until the next call; null when training is
  // over.
  const AssignStep* next();
  // The most rows that a step has.
  std::size_t most_rows() const;
  std::size_t trained() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All of it in this process. Returns false when `stop` said so.
[[nodiscard]] bool train_partitions(std::span<const float> sample, std::size_t dims, std::size_t leaves,
                                    const PartitionerOptions& options, StopPredicate stop,
                                    std::span<float> centroids, std::size_t* trained);

}  // namespace scann
