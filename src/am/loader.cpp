// Loading of a table.
#include "am/loader.hpp"

#include "am/build.hpp"
#include "am/row_encoder.hpp"

namespace scann::am {
namespace {

// Keys of what a parallel load shares, beside the model and the queries.
enum LoadKey : uint64 {
  kHeaderKey = 1,
  kModelKey,
  kQueryRowsKey,
  kQueryTidsKey,
  kScanKey,
  kSortKey,
  kFoundKey,
  kCountsKey
};

std::size_t sort_memory(std::size_t memory) { return memory / 2; }

// Rows that are assigned at a time: fewer where they are wide, but enough for PartitionAssigner's promise.
std::size_t batch_rows(std::size_t memory, std::size_t dims) {
  constexpr std::size_t kFewest = 4;
  return std::clamp(memory / 32 / (dims * sizeof(float)), kFewest, std::min(kAssignBatch, kObserveBatch));
}

// One process's part in a load.
class RowLoader {
 public:
  // `neighbors` may be null. Allocates in the current context.
  RowLoader(const BuildTarget& target, TrainedModel& trained, EntrySorter& sorter, NeighborSearch* neighbors,
            std::size_t memory)
      : target_(target),
        trained_(trained),
        sorter_(sorter),
        neighbors_(neighbors),
        memory_(memory),
        reader_(target.index),
        load_context_(CurrentMemoryContext),
        row_context_(AllocSetContextCreate(CurrentMemoryContext, "scann load row", ALLOCSET_DEFAULT_SIZES)) {
    if (model().meta.dims > 0) prepare_rows();
    if (model().meta.height > 0) assigner_.emplace(trained);
  }

  // Loads what the scan gives, or the whole table when it is null, and sorts it.
  LoadCounts load(TableScanDesc scan, bool report_progress) {
    counts_.heap_rows = table_index_build_scan(target_.heap, target_.index, target_.info, true,
                                               report_progress, load_row, this, scan);
    if (batch_size_ > 0) flush_batch();
    counts_.broken_hot_chain = target_.info->ii_BrokenHotChain;
    MemoryContextDelete(row_context_);
    if (report_progress) report_phase(BuildPhase::kSort);
    sorter_.sort();
    return counts_;
  }

 private:
  Model& model() { return trained_.model; }

  static void load_row(Relation /*index*/, ItemPointer tid, Datum* values, bool* isnull, bool /*alive*/,
                       void* loader) {
    static_cast<RowLoader*>(loader)->add_row(*tid, values[0], isnull[0]);
  }

  // Needs the number of dimensions.
  void prepare_rows() {
    const std::size_t dims = model().meta.dims;
    encoder_.emplace(model(), true);
    batch_tids_ = palloc_span<ItemPointerData>(batch_rows(memory_, dims));
    batch_rows_ = palloc_span<float>(batch_tids_.size() * dims);
    std::fill(batch_rows_.begin(), batch_rows_.end(), 0.0F);
  }

  // The first vector of a table which had none when it was sampled (CREATE INDEX CONCURRENTLY).
  void set_late_dimensions(std::size_t dims) {
    const MemoryContext old = MemoryContextSwitchTo(load_context_);
    model().meta.dims = static_cast<uint32>(dims);
    model().leaf = leaf_geometry(model().meta);
    sorter_.geometry_changed();
    prepare_rows();
    MemoryContextSwitchTo(old);
  }

  void add_row(const ItemPointerData& tid, Datum value, bool isnull) {
    const MemoryContext old = MemoryContextSwitchTo(row_context_);
    ++counts_.index_rows;
    const std::span<const float> row =
        isnull ? std::span<const float>() : reader_.read(value, model().meta.dims);
    if (row.empty()) {
      Entry entry;
      entry.error = static_cast<ErrorBound>(isnull ? NullReason::kNull : NullReason::kZeroVector);
      sorter_.put(kNullPartition, tid, entry);
    } else {
      if (model().meta.dims == 0) set_late_dimensions(row.size());
      center(model(), row, batch_rows_.subspan(batch_size_ * row.size(), row.size()));
      batch_tids_[batch_size_++] = tid;
      ++counts_.vectors;
      if (batch_size_ == batch_tids_.size()) flush_batch();
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(row_context_);
  }

  // The last batch is filled up with rows of an earlier one, or zeros: see PartitionAssigner.
  void flush_batch() {
    const auto tids = batch_tids_.first(batch_size_);
    static constexpr std::uint32_t kOnlyLeaf[kAssignBatch] = {};
    const Assignment assigned =
        assigner_ ? assigner_->assign(batch_rows_) : Assignment{.nearest = kOnlyLeaf, .second = {}};
    for (std::size_t i = 0; i < batch_size_; ++i) {
      put_entry(i, assigned.nearest[i]);
      if (!assigned.second.empty()) put_entry(i, assigned.second[i]);
    }
    if (neighbors_ != nullptr) neighbors_->observe(batch_rows_, tids, assigned.nearest, assigned.second);
    batch_size_ = 0;
    CHECK_FOR_INTERRUPTS();
  }

  void put_entry(std::size_t row, std::uint32_t partition) {
    const std::size_t dims = model().meta.dims;
    const Entry entry = encoder_->encode(batch_rows_.subspan(row * dims, dims), partition);
    sorter_.put(static_cast<int32>(partition), batch_tids_[row], entry);
  }

  const BuildTarget& target_;
  TrainedModel& trained_;
  EntrySorter& sorter_;
  NeighborSearch* neighbors_;
  std::size_t memory_;
  VectorReader reader_;
  MemoryContext load_context_;
  MemoryContext row_context_;
  LoadCounts counts_;
  std::optional<RowEncoder> encoder_;
  std::optional<PartitionAssigner> assigner_;
  std::span<float> batch_rows_;
  std::span<ItemPointerData> batch_tids_;
  std::size_t batch_size_ = 0;
};

template <class T>
void share_copy(WorkerTeam& team, uint64 key, std::span<const T> from) {
  const std::span<std::byte> to = team.share(key, from.size_bytes());
  std::memcpy(to.data(), from.data(), from.size_bytes());
}

// What each worker's search keeps.
std::size_t found_bytes(const CalibrationQueries& queries) {
  return MAXALIGN(NeighborSearch::bytes(queries.count()));
}

}  // namespace

struct LoadHeader {
  Metric metric;
  std::size_t queries;
  std::size_t participant_memory;  // bytes
};

namespace {

// Loads and sorts the rows that the parallel scan gives to this process.
LoadCounts load_share(const BuildTarget& target, TrainedModel& trained, const SharedLoad& shared,
                      NeighborSearch* neighbors, bool report_progress) {
  SortCoordinateData part{.isWorker = true, .nParticipants = -1, .sharedsort = shared.sort};
  const std::size_t memory = shared.header->participant_memory;
  EntrySorter sorter(trained.model.leaf, sort_memory(memory), &part);
  RowLoader loader(target, trained, sorter, neighbors, memory);
  const LoadCounts counts = loader.load(table_beginscan_parallel(target.heap, shared.scan), report_progress);
  sorter.end();
  return counts;
}

// A worker's part of a load.
void load_as_worker(const TeamMember& member) {
  const SharedLoad shared{.header = member.shared<LoadHeader>(kHeaderKey),
                          .scan = member.shared<ParallelTableScanDescData>(kScanKey),
                          .sort = member.shared<Sharedsort>(kSortKey),
                          .found = member.shared<std::byte>(kFoundKey),
                          .counts = member.shared<LoadCounts>(kCountsKey)};
  tuplesort_attach_shared(shared.sort, member.segment());
  TrainedModel trained = unflatten(member.shared<std::byte>(kModelKey));
  const std::size_t count = shared.header->queries;
  const std::size_t dims = trained.model.meta.dims;
  const CalibrationQueries queries{.metric = shared.header->metric,
                                   .dims = dims,
                                   .rows = {member.shared<float>(kQueryRowsKey), count * dims},
                                   .tids = {member.shared<ItemPointerData>(kQueryTidsKey), count}};
  NeighborSearch search(queries, shared.found_by(ParallelWorkerNumber, queries));
  shared.counts[ParallelWorkerNumber] = load_share(member.target(), trained, shared, &search, false);
}

}  // namespace

std::span<std::byte> SharedLoad::found_by(int worker, const CalibrationQueries& queries) const {
  const std::size_t bytes = found_bytes(queries);
  return {found + bytes * static_cast<std::size_t>(worker), bytes};
}

void LoadCounts::add(const LoadCounts& other) {
  heap_rows += other.heap_rows;
  index_rows += other.index_rows;
  vectors += other.vectors;
  broken_hot_chain |= other.broken_hot_chain;
}

void TableLoad::run(int workers) {
  report_phase(BuildPhase::kLoad);
  if (!run_with_workers(affordable_workers(workers))) run_alone();
  if (neighbors_) neighbors_->rank();
}

// As many as can keep their neighbours in a quarter of the memory. An index without partitions is for few
// rows; and its dimensions may become known only while it is loaded.
int TableLoad::affordable_workers(int workers) const {
  if (plan_.trained.model.meta.height == 0) return 0;
  const std::size_t most = plan_.memory / 4 / NeighborSearch::bytes(plan_.queries.count());
  return std::clamp<int>(workers, 0, static_cast<int>(std::clamp<std::size_t>(most, 1, 1024)) - 1);
}

void TableLoad::start_search() {
  if (plan_.queries.count() == 0) return;
  const std::size_t bytes = NeighborSearch::bytes(plan_.queries.count());
  neighbors_.emplace(plan_.queries, palloc_span<std::byte>(bytes));
}

void TableLoad::run_alone() {
  sorter_.emplace(plan_.trained.model.leaf, sort_memory(plan_.memory), nullptr);
  start_search();
  RowLoader loader(plan_.target, plan_.trained, *sorter_, neighbors_ ? &*neighbors_ : nullptr, plan_.memory);
  counts_ = loader.load(nullptr, true);
}

// False when no worker could be started.
bool TableLoad::run_with_workers(int workers) {
  if (workers == 0) return false;
  team_.emplace("scann_load_worker", workers, plan_.target);
  snapshot_ = plan_.target.info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
  reserve_shared();
  if (!team_->create()) return abandon_team();
  share();
  const int launched = team_->launch();
  if (launched == 0) return abandon_team();
  take_part();
  team_->wait();
  for (int i = 0; i < launched; ++i) {
    counts_.add(shared_.counts[i]);
    if (neighbors_) neighbors_->merge(shared_.found_by(i, plan_.queries));
  }
  plan_.target.info->ii_BrokenHotChain = counts_.broken_hot_chain;
  SortCoordinateData merge{.isWorker = false, .nParticipants = launched + 1, .sharedsort = shared_.sort};
  sorter_.emplace(plan_.trained.model.leaf, sort_memory(plan_.memory), &merge);
  sorter_->sort();
  return true;
}

void TableLoad::reserve_shared() {
  const int workers = team_->workers();
  team_->reserve(sizeof(LoadHeader));
  team_->reserve(flat_bytes(plan_.trained));
  team_->reserve(plan_.queries.rows.size_bytes());
  team_->reserve(plan_.queries.tids.size_bytes());
  team_->reserve(table_parallelscan_estimate(plan_.target.heap, snapshot_));
  team_->reserve(tuplesort_estimate_shared(workers + 1));
  team_->reserve(found_bytes(plan_.queries) * workers);
  team_->reserve(sizeof(LoadCounts) * workers);
}

void TableLoad::share() {
  const int workers = team_->workers();
  const CalibrationQueries& queries = plan_.queries;
  const auto header = team_->share(kHeaderKey, sizeof(LoadHeader));
  shared_.header = reinterpret_cast<LoadHeader*>(header.data());
  *shared_.header = {.metric = queries.metric,
                     .queries = queries.count(),
                     .participant_memory = plan_.memory / static_cast<std::size_t>(workers + 1)};
  flatten(plan_.trained, team_->share(kModelKey, flat_bytes(plan_.trained)));
  share_copy(*team_, kQueryRowsKey, queries.rows);
  share_copy(*team_, kQueryTidsKey, queries.tids);
  const auto scan = team_->share(kScanKey, table_parallelscan_estimate(plan_.target.heap, snapshot_));
  shared_.scan = reinterpret_cast<ParallelTableScanDesc>(scan.data());
  table_parallelscan_initialize(plan_.target.heap, shared_.scan, snapshot_);
  const auto sort = team_->share(kSortKey, tuplesort_estimate_shared(workers + 1));
  shared_.sort = reinterpret_cast<Sharedsort*>(sort.data());
  tuplesort_initialize_shared(shared_.sort, workers + 1, team_->segment());
  shared_.found = team_->share(kFoundKey, found_bytes(queries) * workers).data();
  shared_.counts =
      reinterpret_cast<LoadCounts*>(team_->share(kCountsKey, sizeof(LoadCounts) * workers).data());
}

// This process's own share of the rows, as a worker's.
void TableLoad::take_part() {
  start_search();
  counts_ = load_share(plan_.target, plan_.trained, shared_, neighbors_ ? &*neighbors_ : nullptr, true);
}

// Nothing came of the team: this process will load alone.
bool TableLoad::abandon_team() {
  end_team();
  return false;
}

void TableLoad::end_team() {
  if (IsMVCCSnapshot(snapshot_)) UnregisterSnapshot(snapshot_);
  team_->end();
  team_.reset();
}

void TableLoad::end() {
  sorter_->end();
  if (team_) end_team();
}

}  // namespace scann::am

extern "C" {

// Where parallel workers that load a table begin.
PGDLLEXPORT void scann_load_worker(dsm_segment* segment, shm_toc* contents);
void scann_load_worker(dsm_segment* segment, shm_toc* contents) {
  scann::am::TeamMember member(segment, contents);
  scann::am::load_as_worker(member);
  member.finish();
}

}  // extern "C"
