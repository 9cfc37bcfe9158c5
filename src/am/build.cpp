// Index build.
#include <optional>

#include "am/build.hpp"
#include "am/calibrate.hpp"
#include "am/loader.hpp"
#include "am/sampler.hpp"

namespace scann::am {
namespace {

constexpr std::size_t kCalibrationQueries = 1000;
// Of a sample at most one row in so many is kept from training.
constexpr std::size_t kHeldOutPart = 5;

// One build, from the table to the finished pages.
class Build {
 public:
  Build(Relation heap, Relation index, IndexInfo* info)
      : target_{heap, index, info},
        index_(index),
        options_(index_options(index)),
        memory_(static_cast<std::size_t>(maintenance_work_mem) * 1024),
        workers_(plan_build_workers(heap, index, info)),
        load_({target_, trained_, queries_, memory_}) {}

  IndexBuildResult* run() {
    train();
    load_.run(workers_);
    write();
    if (RelationNeedsWAL(index_)) {
      log_newpage_range(index_, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index_), true);
    }
    auto* result = static_cast<IndexBuildResult*>(palloc0(sizeof(IndexBuildResult)));
    result->heap_tuples = load_.counts().heap_rows;
    result->index_tuples = load_.counts().index_rows;
    return result;
  }

 private:
  Model& model() { return trained_.model; }

  void train() {
    const MemoryContext old = MemoryContextSwitchTo(
        AllocSetContextCreate(CurrentMemoryContext, "scann training", ALLOCSET_DEFAULT_SIZES));
    const MemoryContext training = CurrentMemoryContext;
    report_phase(BuildPhase::kSample);
    Sample sample =
        take_sample(target_.heap, index_, target_.info, options_, sample_memory(memory_), workers_ > 0);
    MemoryContextSwitchTo(old);
    const std::span<float> rows = choose_queries(sample);
    train_model(target_, workers_, options_, queries_.metric, sample, memory_, trained_);
    if (model().meta.height > 0) {
      for (std::size_t i = 0; i < rows.size(); i += sample.dims) {
        center(model(), rows.subspan(i, sample.dims), rows.subspan(i, sample.dims));
      }
    } else {
      queries_.tids = {};
    }
    free_sample(sample);
    MemoryContextDelete(training);
  }

  // The last rows of the sample, copied since the sample goes when training is over; returned to be centred.
  // They are held out of training, which moves centroids towards its rows: with 28 of them to a leaf, a
  // recall of 0.77 looked like 0.82. Where partitions are asked for in a small table, it needs all its rows.
  std::span<float> choose_queries(Sample& sample) {
    const std::size_t room = memory_ / 4 / Calibrator::bytes_per_query(sample.dims);
    const bool small = sample.complete && sample.count < kMinTrainedRows;
    const std::size_t held_out = small ? 0 : sample.count / kHeldOutPart;
    const std::size_t count = std::min(
        {kCalibrationQueries, held_out > 0 ? held_out : sample.count, std::max<std::size_t>(room, 1)});
    const std::size_t first = sample.count - count;
    const auto rows = palloc_span<float>(count * sample.dims);
    std::copy_n(sample.rows.begin() + static_cast<std::ptrdiff_t>(first * sample.dims), rows.size(),
                rows.begin());
    const auto tids = palloc_span<ItemPointerData>(count);
    std::copy_n(sample.tids.begin() + static_cast<std::ptrdiff_t>(first), count, tids.begin());
    queries_ = {.metric = vector_type(index_).metric, .dims = sample.dims, .rows = rows, .tids = tids};
    if (held_out > 0) sample.held_out = count;
    return rows;
  }

  void write() {
    report_phase(BuildPhase::kWrite);
    reserve_meta(index_, MAIN_FORKNUM);
    MetaPage& meta = model().meta;
    if (queries_.count() > 0) calibrator_.emplace(queries_, load_.neighbors(), meta.spilled != 0);
    more_ = load_.sorted().next(&next_partition_, &next_entry_);
    if (meta.height > 0) {
      write_leaves();
      write_inner();
    } else if (meta.dims > 0) {
      meta.root = write_list(model().leaf, 0, nullptr);
    }
    meta.nulls = write_list(model().nulls, kNullPartition, nullptr);
    meta.model_head = write_model_floats(index_, trained_.floats);
    meta.rows = static_cast<uint32>(std::min(load_.counts().vectors, double{UINT32_MAX}));
    load_.end();
    write_meta(index_, MAIN_FORKNUM, meta);
    if (calibrator_) {
      report_phase(BuildPhase::kCalibrate);
      meta.efforts = calibrator_->run(index_, model());
      meta.calibrated = 1;
      meta.blocks = RelationGetNumberOfBlocks(index_);
      write_meta(index_, MAIN_FORKNUM, meta);
    }
  }

  // Writes the run of sorted entries that belongs to one list.
  BlockNumber write_list(const ListGeometry& geometry, int32 partition, double* residual_sum) {
    ListWriter writer(index_, geometry);
    while (more_ && next_partition_ == partition) {
      CHECK_FOR_INTERRUPTS();
      if (residual_sum != nullptr) *residual_sum += next_entry_.residual_squared;
      if (calibrator_) {
        calibrator_->placed(static_cast<std::uint32_t>(partition), next_entry_.tid,
                            static_cast<std::uint32_t>(writer.size()));
      }
      writer.add(next_entry_);
      pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++written_);
      more_ = load_.sorted().next(&next_partition_, &next_entry_);
    }
    last_list_size_ = writer.size();
    return writer.finish();
  }

  void write_leaves() {
    double weighted_sigma = 0;
    double rows = 0;
    for (std::size_t p = 0; p < trained_.partitions.size(); ++p) {
      Partition& partition = trained_.partitions[p];
      double residual_sum = 0;
      partition.head = write_list(model().leaf, static_cast<int32>(p), &residual_sum);
      const auto count = static_cast<double>(last_list_size_);
      partition.count = static_cast<uint32>(last_list_size_);
      partition.sigma =
          count > 0 ? static_cast<float>(std::sqrt(residual_sum / count / model().meta.dims)) : 0;
      weighted_sigma += count * partition.sigma;
      rows += count;
    }
    model().meta.mean_sigma = rows > 0 ? static_cast<float>(weighted_sigma / rows) : 0;
  }

  void write_inner() {
    ListWriter writer(index_, model().inner);
    for (std::size_t p = 0; p < trained_.partitions.size(); ++p) {
      const Partition& partition = trained_.partitions[p];
      Entry entry;
      entry.tid = child_pointer(partition.head);
      entry.scale = partition.scale;
      entry.vector = model().centroid(p);
      entry.inner = {.sigma = partition.sigma, .count = partition.count, .group = partition.group};
      writer.add(entry);
    }
    model().meta.root = writer.finish();
    const std::size_t groups = model().meta.groups;
    if (!prepare_ranking(model(), palloc_span<PartitionGroup>(groups),
                         palloc_span<float>(groups * model().meta.dims),
                         palloc_span<float>(2 * trained_.partitions.size()))) {
      elog(ERROR, "partitions are not in the order of their groups");
    }
  }

  BuildTarget target_;
  Relation index_;
  IndexOptions options_;
  std::size_t memory_;
  int workers_;
  TrainedModel trained_;
  CalibrationQueries queries_{};
  TableLoad load_;
  std::optional<Calibrator> calibrator_;
  bool more_ = false;
  int32 next_partition_ = 0;
  Entry next_entry_;
  int64 written_ = 0;
  std::size_t last_list_size_ = 0;
};

}  // namespace

IndexBuildResult* scann_build(Relation heap, Relation index, IndexInfo* info) {
  Build build(heap, index, info);
  return build.run();
}

void report_phase(BuildPhase phase) {
  pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, static_cast<int64>(phase));
}

void scann_build_empty(Relation index) {
  write_empty_index(index, INIT_FORKNUM, vector_type(index).metric);
  // Generic WAL does not cover init forks: an unlogged index "needs no WAL", its init fork does.
  log_newpage_range(index, INIT_FORKNUM, 0, RelationGetNumberOfBlocksInFork(index, INIT_FORKNUM), true);
}

char* scann_build_phase_name(int64 phase) {
  switch (phase) {
    case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
      return pstrdup("initializing");
    case static_cast<int64>(BuildPhase::kSample):
      return pstrdup("sampling rows");
    case static_cast<int64>(BuildPhase::kTrainPartitions):
      return pstrdup("training partitions");
    case static_cast<int64>(BuildPhase::kTrainCodebook):
      return pstrdup("training codebook");
    case static_cast<int64>(BuildPhase::kLoad):
      return pstrdup("assigning and encoding rows");
    case static_cast<int64>(BuildPhase::kSort):
      return pstrdup("sorting by partition");
    case static_cast<int64>(BuildPhase::kWrite):
      return pstrdup("writing partitions");
    case static_cast<int64>(BuildPhase::kCalibrate):
      return pstrdup("calibrating");
    default:
      return nullptr;
  }
}

}  // namespace scann::am
