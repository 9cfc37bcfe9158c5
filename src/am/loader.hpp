// Loading of a table into a build's sort: rows are assigned to partitions and encoded, in one process or by
// parallel workers.
#pragma once

#include <optional>

#include "am/entry_sorter.hpp"
#include "am/neighbors.hpp"
#include "am/training.hpp"
#include "am/worker_team.hpp"

namespace scann::am {

struct LoadCounts {
  double heap_rows = 0;
  double index_rows = 0;
  double vectors = 0;  // of these, rows with a vector
  bool broken_hot_chain = false;

  void add(const LoadCounts& other);
};

// What a load works with. `queries` are empty where nothing will be calibrated.
struct LoadPlan {
  const BuildTarget& target;
  TrainedModel& trained;
  const CalibrationQueries& queries;
  std::size_t memory;  // bytes, of all processes together
};

// What the processes of a parallel load share, beside the model and the queries.
struct SharedLoad {
  struct LoadHeader* header;
  ParallelTableScanDesc scan;
  Sharedsort* sort;
  std::byte* found;    // each worker's nearest neighbours
  LoadCounts* counts;  // each worker's

  std::span<std::byte> found_by(int worker, const CalibrationQueries& queries) const;
};

// One load, from the table to sorted entries. What comes out does not depend on the number of workers.
class TableLoad {
 public:
  explicit TableLoad(const LoadPlan& plan) : plan_(plan) {}

  // With so many workers beside this process, or fewer: where none can be had, this process does it all.
  void run(int workers);
  const LoadCounts& counts() const { return counts_; }
  // The neighbours of the queries, ranked.
  const NeighborSearch& neighbors() const { return *neighbors_; }
  // Entries in order of (partition, TID).
  EntrySorter& sorted() { return *sorter_; }
  // When all entries have been taken.
  void end();

 private:
  int affordable_workers(int workers) const;
  void run_alone();
  bool run_with_workers(int workers);
  void reserve_shared();
  void share();
  void take_part();
  bool abandon_team();
  void end_team();
  void start_search();

  LoadPlan plan_;
  LoadCounts counts_;
  std::optional<WorkerTeam> team_;
  Snapshot snapshot_ = nullptr;  // of the team's scan
  SharedLoad shared_{};
  std::optional<NeighborSearch> neighbors_;
  std::optional<EntrySorter> sorter_;
};

}  // namespace scann::am
