// CREATE INDEX: sample, train, load, write, calibrate.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// Rows below which an index is not trained: one leaf, every query compares every row.
inline constexpr std::size_t kMinTrainedRows = 1000;

// What pg_stat_progress_create_index shows.
enum class BuildPhase : int64 {
  kSample = PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE + 1,
  kTrainPartitions,
  kTrainCodebook,
  kLoad,
  kSort,
  kWrite,
  kCalibrate,
};

void report_phase(BuildPhase phase);

extern "C" {
IndexBuildResult* scann_build(Relation heap, Relation index, IndexInfo* info);
void scann_build_empty(Relation index);
char* scann_build_phase_name(int64 phase);
}

}  // namespace scann::am
