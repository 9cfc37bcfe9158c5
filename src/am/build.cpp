// Index build.
#include <optional>

#include "core/kernels.hpp"

#include "am/build.hpp"
#include "am/calibrate.hpp"
#include "am/sampler.hpp"
#include "am/training.hpp"

extern "C" {
#include <catalog/pg_operator_d.h>
}

namespace scann::am {
namespace {

constexpr std::size_t kCalibrationQueries = 1000;
// Sort key of rows in the null list: behind every partition.
constexpr int32 kNullPartition = INT32_MAX;

void report_phase(BuildPhase phase) {
  pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, static_cast<int64>(phase));
}

// An entry on its way through the sort: this header, codes (one a byte), int8 vector.
struct SortedPayload {
  float scale;
  float residual_squared;
  ErrorBound error;
  std::uint16_t term;
};

// Entries sorted by (partition, TID).
class EntrySorter {
 public:
  EntrySorter(const ListGeometry& geometry, int memory_kb) : geometry_(geometry) {
    descriptor_ = CreateTemplateTupleDesc(3);
    TupleDescInitEntry(descriptor_, 1, "partition", INT4OID, -1, 0);
    TupleDescInitEntry(descriptor_, 2, "tid", INT8OID, -1, 0);
    TupleDescInitEntry(descriptor_, 3, "entry", BYTEAOID, -1, 0);
    AttrNumber attributes[] = {1, 2};
    Oid operators[] = {Int4LessOperator, Int8LessOperator};
    Oid collations[] = {InvalidOid, InvalidOid};
    bool nulls_first[] = {false, false};
    sort_ = tuplesort_begin_heap(descriptor_, 2, attributes, operators, collations, nulls_first, memory_kb,
                                 nullptr, TUPLESORT_NONE);
    in_ = MakeSingleTupleTableSlot(descriptor_, &TTSOpsVirtual);
    out_ = MakeSingleTupleTableSlot(descriptor_, &TTSOpsMinimalTuple);
    geometry_changed();
  }

  // To be called when the geometry given to the constructor got its dimensions.
  void geometry_changed() {
    const std::size_t bytes = VARHDRSZ + sizeof(SortedPayload) + geometry_.blocks() + geometry_.dims();
    payload_ = static_cast<bytea*>(palloc0(bytes));
    SET_VARSIZE(payload_, bytes);
  }

  void put(int32 partition, const ItemPointerData& tid, const Entry& entry) {
    const SortedPayload header{entry.scale, entry.residual_squared, entry.error, entry.term};
    char* to = VARDATA(payload_);
    std::memcpy(to, &header, sizeof(header));
    if (entry.codes != nullptr) std::memcpy(to + sizeof(header), entry.codes, geometry_.blocks());
    if (entry.vector != nullptr)
      std::memcpy(to + sizeof(header) + geometry_.blocks(), entry.vector, geometry_.dims());
    ExecClearTuple(in_);
    in_->tts_values[0] = Int32GetDatum(partition);
    in_->tts_values[1] = Int64GetDatum(static_cast<int64>(ItemPointerGetBlockNumberNoCheck(&tid)) << 16 |
                                       ItemPointerGetOffsetNumberNoCheck(&tid));
    in_->tts_values[2] = PointerGetDatum(payload_);
    std::fill_n(in_->tts_isnull, 3, false);
    ExecStoreVirtualTuple(in_);
    tuplesort_puttupleslot(sort_, in_);
  }

  void sort() { tuplesort_performsort(sort_); }

  // The next entry, valid until the next call; false at the end.
  bool next(int32* partition, Entry* entry) {
    if (!tuplesort_gettupleslot(sort_, true, false, out_, nullptr)) return false;
    slot_getallattrs(out_);
    *partition = DatumGetInt32(out_->tts_values[0]);
    const int64 tid = DatumGetInt64(out_->tts_values[1]);
    const char* from = VARDATA_ANY(DatumGetPointer(out_->tts_values[2]));
    SortedPayload header;
    std::memcpy(&header, from, sizeof(header));
    ItemPointerSet(&entry->tid, static_cast<BlockNumber>(tid >> 16), static_cast<OffsetNumber>(tid & 0xFFFF));
    entry->scale = header.scale;
    entry->residual_squared = header.residual_squared;
    entry->error = header.error;
    entry->term = header.term;
    entry->codes = reinterpret_cast<const std::uint8_t*>(from + sizeof(header));
    entry->vector = reinterpret_cast<const std::int8_t*>(from + sizeof(header) + geometry_.blocks());
    return true;
  }

  void end() {
    ExecDropSingleTupleTableSlot(in_);
    ExecDropSingleTupleTableSlot(out_);
    tuplesort_end(sort_);
  }

 private:
  const ListGeometry& geometry_;
  TupleDesc descriptor_;
  Tuplesortstate* sort_;
  TupleTableSlot* in_;
  TupleTableSlot* out_;
  bytea* payload_ = nullptr;
};

// One build, from the table to the finished pages.
class Build {
 public:
  Build(Relation heap, Relation index, IndexInfo* info)
      : heap_(heap),
        index_(index),
        info_(info),
        options_(index_options(index)),
        memory_(static_cast<std::size_t>(maintenance_work_mem) * 1024),
        reader_(index),
        build_context_(CurrentMemoryContext),
        row_context_(AllocSetContextCreate(CurrentMemoryContext, "scann build row", ALLOCSET_DEFAULT_SIZES)) {
  }

  IndexBuildResult* run() {
    train();
    load();
    write();
    if (RelationNeedsWAL(index_)) {
      log_newpage_range(index_, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index_), true);
    }
    auto* result = static_cast<IndexBuildResult*>(palloc0(sizeof(IndexBuildResult)));
    result->heap_tuples = heap_tuples_;
    result->index_tuples = index_tuples_;
    return result;
  }

 private:
  Model& model() { return trained_.model; }

  void train() {
    const MemoryContext old = MemoryContextSwitchTo(
        AllocSetContextCreate(CurrentMemoryContext, "scann training", ALLOCSET_DEFAULT_SIZES));
    const MemoryContext training = CurrentMemoryContext;
    report_phase(BuildPhase::kSample);
    Sample sample = take_sample(heap_, index_, info_, options_, sample_memory(memory_));
    // The last rows of the sample will be queries; training rotates rows in place.
    const std::size_t room = memory_ / 4 / std::max<std::size_t>(1, Calibrator::memory(1, sample.dims));
    const std::size_t queries = std::min({kCalibrationQueries, sample.count, std::max<std::size_t>(room, 1)});
    const std::size_t first = sample.count - queries;
    const auto query_rows = palloc_span<float>(queries * sample.dims);
    std::copy_n(sample.rows.begin() + static_cast<std::ptrdiff_t>(first * sample.dims), query_rows.size(),
                query_rows.begin());
    MemoryContextSwitchTo(old);
    train_model(index_, options_, reader_.type().metric, sample, memory_, trained_);
    if (model().meta.height > 0) {
      for (std::size_t i = 0; i < query_rows.size(); i += sample.dims) {
        center(model(), query_rows.subspan(i, sample.dims), query_rows.subspan(i, sample.dims));
      }
      calibrator_.emplace(model().meta.metric, sample.dims, query_rows, sample.tids.subspan(first, queries));
    }
    MemoryContextDelete(training);
  }

  static void load_row(Relation /*index*/, ItemPointer tid, Datum* values, bool* isnull, bool /*alive*/,
                       void* build) {
    static_cast<Build*>(build)->add_row(*tid, values[0], isnull[0]);
  }

  void load() {
    report_phase(BuildPhase::kLoad);
    model().nulls = null_geometry();
    sorter_.emplace(model().leaf, std::max(maintenance_work_mem / 2, 64));
    prepare_rows();
    if (model().meta.height > 0) assigner_.emplace(trained_);
    heap_tuples_ = table_index_build_scan(heap_, index_, info_, true, true, load_row, this, nullptr);
    flush_batch();
    report_phase(BuildPhase::kSort);
    sorter_->sort();
    if (calibrator_) calibrator_->rank();
  }

  // Needs the number of dimensions.
  void prepare_rows() {
    encoder_.emplace(model(), true);
    batch_rows_ = palloc_span<float>(kAssignBatch * model().meta.dims);
    batch_tids_ = palloc_span<ItemPointerData>(kAssignBatch);
  }

  // The first vector of a table which had none when it was sampled (CREATE INDEX CONCURRENTLY).
  void set_late_dimensions(std::size_t dims) {
    const MemoryContext old = MemoryContextSwitchTo(build_context_);
    model().meta.dims = static_cast<uint32>(dims);
    model().leaf = leaf_geometry(model().meta);
    sorter_->geometry_changed();
    prepare_rows();
    MemoryContextSwitchTo(old);
  }

  void add_row(const ItemPointerData& tid, Datum value, bool isnull) {
    const MemoryContext old = MemoryContextSwitchTo(row_context_);
    ++index_tuples_;
    const std::span<const float> row =
        isnull ? std::span<const float>() : reader_.read(value, model().meta.dims);
    if (row.empty()) {
      Entry entry;
      entry.error = static_cast<ErrorBound>(isnull ? NullReason::kNull : NullReason::kZeroVector);
      sorter_->put(kNullPartition, tid, entry);
    } else {
      if (model().meta.dims == 0) set_late_dimensions(row.size());
      center(model(), row, batch_rows_.subspan(batch_size_ * row.size(), row.size()));
      batch_tids_[batch_size_++] = tid;
      ++vectors_;
      if (batch_size_ == kAssignBatch) flush_batch();
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(row_context_);
  }

  void flush_batch() {
    const std::size_t dims = model().meta.dims;
    const std::span<const float> rows = batch_rows_.first(batch_size_ * dims);
    const auto tids = batch_tids_.first(batch_size_);
    static constexpr std::uint32_t kOnlyLeaf[kAssignBatch] = {};
    const std::span<const std::uint32_t> partitions =
        assigner_ ? assigner_->assign(rows) : std::span<const std::uint32_t>(kOnlyLeaf).first(batch_size_);
    for (std::size_t i = 0; i < batch_size_; ++i) {
      const Entry entry = encoder_->encode(rows.subspan(i * dims, dims), partitions[i]);
      sorter_->put(static_cast<int32>(partitions[i]), tids[i], entry);
    }
    if (calibrator_) calibrator_->observe(rows, tids, partitions);
    batch_size_ = 0;
    CHECK_FOR_INTERRUPTS();
  }

  void write() {
    report_phase(BuildPhase::kWrite);
    reserve_meta(index_, MAIN_FORKNUM);
    MetaPage& meta = model().meta;
    more_ = sorter_->next(&next_partition_, &next_entry_);
    if (meta.height > 0) {
      write_leaves();
      write_inner();
    } else if (meta.dims > 0) {
      meta.root = write_list(model().leaf, 0, nullptr);
    }
    meta.nulls = write_list(model().nulls, kNullPartition, nullptr);
    meta.model_head = write_model_floats(index_, trained_.floats);
    meta.rows = static_cast<uint32>(std::min(vectors_, double{UINT32_MAX}));
    sorter_->end();
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
      more_ = sorter_->next(&next_partition_, &next_entry_);
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
      entry.inner = {.sigma = partition.sigma, .count = partition.count};
      writer.add(entry);
    }
    model().meta.root = writer.finish();
  }

  Relation heap_;
  Relation index_;
  IndexInfo* info_;
  IndexOptions options_;
  std::size_t memory_;
  VectorReader reader_;
  MemoryContext build_context_;
  MemoryContext row_context_;
  TrainedModel trained_;
  std::optional<Calibrator> calibrator_;
  std::optional<EntrySorter> sorter_;
  std::optional<RowEncoder> encoder_;
  std::optional<PartitionAssigner> assigner_;
  std::span<float> batch_rows_;
  std::span<ItemPointerData> batch_tids_;
  std::size_t batch_size_ = 0;
  double heap_tuples_ = 0;
  double index_tuples_ = 0;
  double vectors_ = 0;  // of these, rows with a vector
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
