// From a sample to a model: partitions, score-aware loss, rotation, codebook.
#pragma once

#include "am/model.hpp"
#include "am/options.hpp"
#include "am/sampler.hpp"
#include "am/worker_team.hpp"
#include "core/centroid_groups.hpp"

namespace scann::am {

// Trains into memory of the current context. Centres the sample's rows in place. The model's partitions have
// their centroids, but neither heads nor counts yet; its floats lie behind one another in `floats`, as model
// pages hold them. Where nothing can be trained, the model is one of height 0.
struct TrainedModel {
  Model model{};
  std::span<float> floats;
  std::span<Partition> partitions;
  std::span<float> centroids;  // decoded, partitions x dims
};

// A trained model as one run of bytes, for other processes: what a model is made of is copied into `bytes`
// (flat_bytes() of it, maximally aligned), and found again there.
std::size_t flat_bytes(const TrainedModel& trained);
void flatten(const TrainedModel& trained, std::span<std::byte> bytes);
TrainedModel unflatten(std::byte* bytes);

// The partitions of some rows.
struct Assignment {
  std::span<const std::uint32_t> nearest;
  std::span<const std::uint32_t> second;  // empty where rows have one entry
};

// Assigns centred rows to partitions, many at a time. Allocates its scratch once, in the current context.
inline constexpr std::size_t kAssignBatch = 256;
class PartitionAssigner {
 public:
  explicit PartitionAssigner(const TrainedModel& trained);
  // At most kAssignBatch rows of dims floats; the result is valid until the next call. Batches of four rows
  // and more give a row the same partitions whatever other rows come with it.
  Assignment assign(std::span<const float> rows);

 private:
  std::size_t dims_;
  CentroidGroups* groups_;
  std::span<std::uint32_t> nearest_;
  std::span<std::uint32_t> second_;
};

// `memory`: what training may use beside the sample, in bytes. Where the sample is shared, so many workers
// help.
void train_model(const BuildTarget& target, int workers, const IndexOptions& options, Metric metric,
                 Sample& sample, std::size_t memory, TrainedModel& trained);

// The share of maintenance_work_mem that take_sample() may use, so that train_model() fits into the rest.
std::size_t sample_memory(std::size_t memory);

}  // namespace scann::am
