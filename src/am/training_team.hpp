// k-means by parallel workers: its assignments are cut into chunks, which every process claims as it gets to
// it.
#pragma once

#include "am/sampler.hpp"
#include "am/worker_team.hpp"
#include "core/partitioner.hpp"

namespace scann::am {

// Does all assignments of a training; with so many workers where the sample lies in shared memory, and in any
// case in this process. The outcome is the same.
void assign_rounds(const BuildTarget& target, int workers, const Sample& sample, PartitionTraining& training);

}  // namespace scann::am
