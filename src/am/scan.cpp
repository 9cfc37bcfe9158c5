// Index scans: rounds of candidates, exact order from lower bounds, completeness.
#include "am/scan.hpp"

#include "am/limit.hpp"
#include "am/options.hpp"
#include "am/row_encoder.hpp"
#include "am/scan_queue.hpp"
#include "am/search.hpp"

namespace scann::am {

ScanStats last_scan_stats = {};

namespace {

// Rows a scan may have to give before comparing every entry costs less than another round.
constexpr double kExhaustiveAfter = 500;
// The most rows fetched before the first is handed out.
constexpr double kMostFilledRows = 10'000;
// A table is not taken for more than nine tenths dead.
constexpr double kLeastLiveShare = 0.1;
// The most rows that a further round may vouch for; beyond, every entry is compared.
constexpr double kLargestRound = 1000;
// A round that keeps more than this share of all rows is no cheaper than comparing them.
constexpr double kLargestShare = 0.25;
// A round vouches for this share of its candidates...
constexpr double kVouchedShare = 0.25;
// ...and the next one keeps this many times more.
constexpr double kRoundGrowth = 8;
// Stop margins grow by this from round to round.
constexpr float kMarginStep = 1;

// What the processor is asked for ahead of time: leaves, vector pages, bytes of a vector, rows of the table.
constexpr std::size_t kLeavesAhead = 16;
constexpr std::size_t kPagesAhead = 64;
constexpr std::size_t kTouchedVector = 512;
constexpr std::size_t kRowsAhead = 32;
constexpr std::size_t kTouchedRow = 1024;

enum class Phase {
  kStart,
  kApproximate,  // rounds over the most promising leaves
  kExhaustive,   // every entry, by int8 bound
  kStragglers,   // rows found too late for their place in the order
  kNulls,        // rows without a distance
  kDone,
};

// Fetches rows of the table and computes their exact distances.
class RowFetcher {
 public:
  explicit RowFetcher(IndexScanDesc scan)
      : scan_(scan),
        is_heap_(scan->heapRelation->rd_tableam == GetHeapamTableAmRoutine()),
        info_(BuildIndexInfo(scan->indexRelation)),
        fetch_(table_index_fetch_begin(scan->heapRelation)),
        slot_(table_slot_create(scan->heapRelation, nullptr)),
        row_context_(AllocSetContextCreate(CurrentMemoryContext, "scann row", ALLOCSET_DEFAULT_SIZES)) {
    if (info_->ii_Expressions != NIL) {
      estate_ = CreateExecutorState();
      GetPerTupleExprContext(estate_)->ecxt_scantuple = slot_;
    }
  }

  // False when the row is not visible to the scan.
  bool distance(ItemPointerData tid, ScanKey order_by, double* distance) {
    const BlockNumber block = ItemPointerGetBlockNumber(&tid);
    if (is_heap_) offer_page(block);
    bool call_again = false;
    const bool visible =
        table_index_fetch_tuple(fetch_, &tid, scan_->xs_snapshot, slot_, &call_again, nullptr);
    if (is_heap_) RecentTableBuffers::note(fetch_, block);
    if (!visible) return false;
    const MemoryContext old = MemoryContextSwitchTo(row_context_);
    bool isnull = false;
    const Datum value = indexed_value(&isnull);
    // A row whose vector the index knows has one, unless its expression is not immutable after all.
    *distance = isnull ? get_float8_infinity()
                       : DatumGetFloat8(FunctionCall2Coll(&order_by->sk_func, order_by->sk_collation, value,
                                                          order_by->sk_argument));
    MemoryContextSwitchTo(old);
    MemoryContextReset(row_context_);
    ExecClearTuple(slot_);
    return true;
  }

  // Asks for the pages of the table that hold these rows, at most kRowsAhead, from disk where they are not in
  // shared buffers, and has the processor load the rows that are. In loops of their own: atomic operations
  // would wait for the loads.
  void prefetch(std::span<const RankedRow> rows) {
    if (!is_heap_) return;
    std::array<Buffer, kRowsAhead> buffers;
    for (std::size_t i = 0; i < rows.size(); ++i) buffers[i] = recent_buffer(rows[i].tid);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (RecentTableBuffers::seems_to_hold(buffers[i], ItemPointerGetBlockNumber(&rows[i].tid))) continue;
      buffers[i] = recent_buffer(rows[i].tid) =
          PrefetchBuffer(scan_->heapRelation, MAIN_FORKNUM, ItemPointerGetBlockNumber(&rows[i].tid))
              .recent_buffer;
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (BufferIsValid(buffers[i])) touch_address(line_pointer(buffers[i], rows[i].tid));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!BufferIsValid(buffers[i])) continue;
      // Read without a lock: a hint, kept within the page.
      const ItemId line = line_pointer(buffers[i], rows[i].tid);
      const std::size_t offset = ItemIdGetOffset(line) % BLCKSZ;
      const std::size_t bytes = std::clamp<std::size_t>(ItemIdGetLength(line), 1, kTouchedRow);
      touch_bytes(BufferGetPage(buffers[i]) + offset, std::min(bytes, BLCKSZ - offset));
    }
  }

  // Before a row is handed out, which the executor then fetches once more.
  void expect(const ItemPointerData& tid) {
    if (is_heap_ && scan_->xs_heapfetch != nullptr)
      RecentTableBuffers::offer(scan_->xs_heapfetch, ItemPointerGetBlockNumber(&tid));
  }

  void end() {
    ExecDropSingleTupleTableSlot(slot_);
    table_index_fetch_end(fetch_);
    if (estate_ != nullptr) FreeExecutorState(estate_);
  }

 private:
  Buffer& recent_buffer(const ItemPointerData& tid) {
    return RecentTableBuffers::of(scan_->heapRelation, ItemPointerGetBlockNumber(&tid));
  }

  // As the heap would do with a page that it looks up.
  void offer_page(BlockNumber block) {
    const Buffer buffer = RecentTableBuffers::offer(fetch_, block);
    if (BufferIsValid(buffer)) heap_page_prune_opt(scan_->heapRelation, buffer);
  }

  static ItemId line_pointer(Buffer buffer, const ItemPointerData& tid) {
    return PageGetItemId(BufferGetPage(buffer), ItemPointerGetOffsetNumber(&tid) % MaxHeapTuplesPerPage);
  }

  Datum indexed_value(bool* isnull) {
    if (estate_ == nullptr) return slot_getattr(slot_, info_->ii_IndexAttrNumbers[0], isnull);
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    ResetPerTupleExprContext(estate_);
    FormIndexDatum(info_, slot_, estate_, values, nulls);
    *isnull = nulls[0];
    return values[0];
  }

  IndexScanDesc scan_;
  bool is_heap_;
  IndexInfo* info_;
  IndexFetchTableData* fetch_;
  TupleTableSlot* slot_;
  MemoryContext row_context_;
  EState* estate_ = nullptr;
};

// Rows already fetched in earlier rounds, which later ones must not hand out again.
class SeenRows {
 public:
  void add(const ItemPointerData& tid) { rows_.push_back(tid_key(tid)); }
  // Makes all rows added so far findable.
  void index() {
    std::sort(rows_.begin(), rows_.end());
    indexed_ = rows_.size();
  }
  bool contains(const ItemPointerData& tid) {
    return indexed_ > 0 && std::binary_search(rows_.begin(), rows_.begin() + indexed_, tid_key(tid));
  }

 private:
  PallocArray<int64> rows_;
  std::size_t indexed_ = 0;
};

// Candidates of a round as the codes gave them, and where their vectors lie.
struct VisitedSegments {
  PallocArray<BlockNumber> vectors;  // vector pages of all segments, behind one another
  PallocArray<std::size_t> first;    // where each segment's begin
};

// One scan from rescan to rescan. Its memory is the context it was constructed in.
class Scan {
 public:
  explicit Scan(IndexScanDesc scan)
      : scan_(scan), index_(scan->indexRelation), context_(CurrentMemoryContext), pass_(candidates_) {}

  // Sets xs_heaptid and the distance of the next row; false at the end.
  bool next() {
    const MemoryContext old = MemoryContextSwitchTo(context_);
    if (phase_ == Phase::kStart) start();
    bool found = false;
    if (settings.max_scan_tuples < 0 || stats_.returned < settings.max_scan_tuples) {
      while (!found && phase_ != Phase::kDone) found = ordered_ ? next_ordered() : next_unordered();
    }
    if (found) ++stats_.returned;
    last_scan_stats = stats_;
    MemoryContextSwitchTo(old);
    return found;
  }

  void end() {
    if (fetcher_ != nullptr) fetcher_->end();
  }

 private:
  ScanKey order_by() { return &scan_->orderByData[0]; }

  // ---- Starting ----

  // What may look at catalogs comes before the model, which an invalidation would free.
  void start() {
    check_scan();
    count_index_scan(scan_);
    const std::span<const float> vector = read_query();
    if (!vector.empty()) fetcher_ = new (palloc(sizeof(RowFetcher))) RowFetcher(scan_);
    const Model& model = open_model(index_);
    ordered_ = !vector.empty() && model.meta.dims > 0;
    plan_.exhaustive = true;
    if (ordered_) {
      check_dimensions(index_, model.meta.dims, static_cast<uint32>(vector.size()));
      prepare_query(model, vector);
      choose_effort(model, wanted_rows(scan_));
    }
    if (plan_.exhaustive) {
      start_exhaustive();
    } else {
      run_round(model);
    }
  }

  void check_scan() {
    if (!IsMVCCSnapshot(scan_->xs_snapshot)) {
      ereport(ERROR,
              (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
               errmsg("index \"%s\" needs an MVCC snapshot to be scanned", RelationGetRelationName(index_))));
    }
    if (scan_->numberOfOrderBys > 1) {
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("index \"%s\" can order by one distance only", RelationGetRelationName(index_)),
                      errhint("Set enable_indexscan to off for this query.")));
    }
  }

  // The query's vector; empty where it gives no order: there is no query, it is NULL, or it has no direction.
  std::span<const float> read_query() {
    if (scan_->numberOfOrderBys == 0 || (order_by()->sk_flags & SK_ISNULL) != 0) return {};
    order_by()->sk_argument = PointerGetDatum(PG_DETOAST_DATUM(order_by()->sk_argument));
    auto* reader = new (palloc(sizeof(VectorReader))) VectorReader(index_);
    return reader->read(order_by()->sk_argument, 0);
  }

  void prepare_query(const Model& model, std::span<const float> vector) {
    query_ = new (palloc(sizeof(Query))) Query(model);
    const auto centered = palloc_span<float>(vector.size());
    center(model, vector, centered);
    query_->prepare(model, centered);
  }

  void choose_effort(const Model& model, const WantedRows& wanted) {
    expected_rows_ = std::max(1.0, wanted.pulled);
    rows_to_fill_ = static_cast<std::size_t>(std::clamp(wanted.limit, 1.0, kMostFilledRows));
    const bool by_hand = settings.num_leaves_to_search > 0 || settings.pre_reordering_num_neighbors > 0;
    plan_round(model, expected_rows_);
    const bool long_scan = wanted.limit < 0 || wanted.pulled > kExhaustiveAfter + wanted.limit ||
                           plan_.candidates > kLargestShare * model.meta.rows * entries_per_row(model.meta);
    plan_.exhaustive |= !model.has_codes() || (long_scan && !by_hand) || settings.target_recall >= 1;
  }

  // Plans the round that finds so many rows.
  void plan_round(const Model& model, double rows) {
    plan_ = plan_search(model, settings.target_recall, rows);
    follow_growth(model, rows);
    leaf_cap_ = settings.num_leaves_to_search > 0 ? static_cast<std::size_t>(settings.num_leaves_to_search)
                                                  : std::numeric_limits<std::size_t>::max();
    if (settings.pre_reordering_num_neighbors > 0) {
      plan_.candidates = static_cast<std::uint32_t>(settings.pre_reordering_num_neighbors);
    }
    vouched_ = std::max(rows, kVouchedShare * plan_.candidates);
  }

  // Among more rows than calibration saw, as many more come between the wanted ones by their codes alone.
  void follow_growth(const Model& model, double rows) {
    const double growth = growth_since_calibration(index_, model);
    const double between = std::max(0.0, plan_.candidates - rows);
    if (growth <= 1) return;
    plan_.candidates +=
        static_cast<std::uint32_t>(std::min<double>(std::ceil((growth - 1) * between), kMostCandidates));
  }

  // ---- Rounds ----

  void next_round(const Model& model) {
    seen_.index();
    handed_in_round_ = 0;
    if (kVouchedShare * kRoundGrowth * plan_.candidates > kLargestRound) {
      start_exhaustive();
      return;
    }
    plan_.candidates = static_cast<std::uint32_t>(plan_.candidates * kRoundGrowth);
    plan_.margin += kMarginStep;
    leaf_cap_ = std::numeric_limits<std::size_t>::max();
    vouched_ = kVouchedShare * plan_.candidates;
    run_round(model);
  }

  // Scores the codes of the most promising leaves and queues the best candidates by lower bound.
  void run_round(const Model& model) {
    phase_ = Phase::kApproximate;
    ++stats_.rounds;
    const MemoryContext round = AllocSetContextCreate(context_, "scann round", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(round);
    VisitedSegments segments;
    CandidateBuffer buffer(palloc_span<Candidate>(CandidateBuffer::capacity_for(plan_.candidates)),
                           plan_.candidates);
    query_->rank_leaves(model);
    scan_leaves(model, buffer, segments);
    queue_candidates(model, buffer.select(), segments);
    MemoryContextSwitchTo(context_);
    MemoryContextDelete(round);
  }

  // Leaves are taken from their order a few at a time, so that all their pages are on the way at once.
  void scan_leaves(const Model& model, CandidateBuffer& buffer, VisitedSegments& segments) {
    std::array<NextLeaf, kLeavesAhead> leaves;
    std::size_t held = 0;
    while (held > 0 || query_->leaves_left() > 0) {
      const std::size_t known = held;
      while (held < leaves.size() && query_->leaves_left() > 0) leaves[held++] = query_->next_leaf(model);
      // In a loop of its own, where nothing keeps the loads from overlapping.
      for (std::size_t i = known; i < held; ++i)
        model.buffers.touch(index_, model.partitions[leaves[i].partition].head);
      // The last one waits until the leaf behind it is known, unless there is none.
      const std::size_t ready = query_->leaves_left() > 0 ? held - 1 : held;
      for (std::size_t i = 0; i < ready; ++i) {
        buffer.tighten();
        if (leaves[i].position >= leaf_cap_ || leaves[i].stop_value(buffer.threshold()) > plan_.margin)
          return;
        const Partition* next = i + 1 < held ? &model.partitions[leaves[i + 1].partition] : nullptr;
        scan_leaf(model, leaves[i].partition, next, buffer, segments);
        ++stats_.leaves;
      }
      leaves[0] = leaves[held - 1];
      held -= ready;
    }
  }

  // Has a code page of so many entries brought closer while `run` is scanned.
  void prefetch_codes(const Model& model, BlockNumber block, std::size_t entries, CodeRun& run) {
    const char* page = model.buffers.touch(index_, block);
    if (page == nullptr) return;
    run.next = reinterpret_cast<const std::uint8_t*>(page + kPageHeaderBytes);
    run.next_bytes =
        model.leaf.code_page_lower(std::min(entries, model.leaf.segment_entries())) - kPageHeaderBytes;
  }

  // Scores the codes of a leaf; `next` is the leaf to be visited after it, if any.
  void scan_leaf(const Model& model, std::size_t partition, const Partition* next, CandidateBuffer& buffer,
                 VisitedSegments& segments) {
    const float base = query_->base(model, partition);
    std::size_t left = model.partitions[partition].count;  // as last counted
    ChainGuard chain(index_);
    for (BlockNumber block = model.partitions[partition].head; BlockNumberIsValid(block);) {
      chain.step(block);
      CHECK_FOR_INTERRUPTS();
      const LockedBuffer code(model.buffers.read(index_, block), LockMode::kShare);
      const CodePage page(index_, code.get(), model.leaf);
      test_for_old_snapshot(scan_->xs_snapshot, index_, code.page());
      block = page.next();
      CodeRun run = code_run(model, page, base, static_cast<std::uint32_t>(segments.first.size()));
      left -= std::min(left, run.count);
      if (BlockNumberIsValid(block)) {
        prefetch_codes(model, block, left, run);
      } else if (next != nullptr) {
        prefetch_codes(model, next->head, next->count, run);
      }
      adc_scan(query_->table(), run, buffer);
      segments.first.push_back(segments.vectors.size());
      for (std::size_t i = 0; i < page.vector_pages_in_use(); ++i)
        segments.vectors.push_back(page.vectors()[i]);
      stats_.entries += page.header().entries;
    }
  }

  // The candidates that lie on one vector page.
  struct CandidatePage {
    const BlockNumber* block;  // followed by the tail's where slots span pages
    std::size_t begin;
    std::size_t end;
  };

  // Groups candidates, in the order in which they lie, into pages.
  std::span<CandidatePage> group_by_page(const Model& model, std::span<const Candidate> found,
                                         VisitedSegments& segments) {
    const auto pages = palloc_span<CandidatePage>(found.size());
    std::size_t size = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const BlockNumber* block =
          &segments.vectors[segments.first[found[i].run] + model.leaf.vector_page_of(found[i].index)];
      if (size == 0 || pages[size - 1].block != block) pages[size++] = {block, i, i};
      pages[size - 1].end = i + 1;
    }
    return pages.first(size);
  }

  // Reads the int8 vectors of the candidates, one page after another, when many of them were asked for at
  // once. `found`: in the order in which they were scored.
  void queue_candidates(const Model& model, std::span<const Candidate> found, VisitedSegments& segments) {
    candidates_.clear();
    SlotReader reader(index_, model.leaf);
    const auto pages = group_by_page(model, found, segments);
    const auto touch = [&](const CandidatePage& page) {
      for (std::size_t i = page.begin; i < page.end; ++i) {
        const std::size_t bytes = std::min(model.leaf.slot_bytes(), kTouchedVector);
        model.buffers.touch(index_, *page.block, model.leaf.slot_offset(found[i].index), bytes);
      }
    };
    // Many at a time: the atomic operations of reading a page wait for whatever is being loaded.
    for (std::size_t first = 0; first < pages.size(); first += kPagesAhead) {
      const std::size_t end = std::min(first + kPagesAhead, pages.size());
      for (std::size_t p = first; p < end; ++p) touch(pages[p]);
      for (std::size_t p = first; p < end; ++p) queue_page(model, pages[p], found, reader);
    }
    candidates_.arrange();
  }

  void queue_page(const Model& model, const CandidatePage& page, std::span<const Candidate> found,
                  SlotReader& reader) {
    CHECK_FOR_INTERRUPTS();
    const LockedBuffer buffer(model.buffers.read(index_, *page.block), LockMode::kShare);
    check_page(index_, buffer.get(), PageKind::kVectors, ListKind::kLeaf);
    test_for_old_snapshot(scan_->xs_snapshot, index_, buffer.page());
    const std::size_t last = model.leaf.slot_offset(found[page.end - 1].index);
    if (page_lower(buffer.page()) < last + std::min(model.leaf.slot_bytes(), kPageCapacity)) {
      report_corruption(index_, *page.block, "a vector page holds too few slots");
    }
    for (std::size_t i = page.begin; i < page.end; ++i) {
      const SlotHeader& slot = *slot_at(buffer.page(), model.leaf, found[i].index);
      if (!ItemPointerIsValid(&slot.tid)) continue;
      const BlockNumber tail = model.leaf.pages_per_slot() > 1 ? page.block[1] : InvalidBlockNumber;
      const std::int8_t* vector = reader.vector(buffer.page(), found[i].index, tail, nullptr);
      candidates_.append({lower_bound(model, *query_, slot, vector), slot.tid});
    }
  }

  // ---- Every entry ----

  void start_exhaustive() {
    seen_.index();
    phase_ = Phase::kExhaustive;
    pass_.restart(static_cast<std::size_t>(work_mem) * 1024);
    run_pass();
  }

  void run_pass() {
    const Model& model = open_model(index_);
    SlotReader reader(index_, model.leaf);
    ++stats_.rounds;
    if (model.meta.height > 0) {
      for (const Partition& partition : model.partitions)
        pass_over(model, model.leaf, partition.head, reader);
    } else if (model.meta.dims > 0) {
      pass_over(model, model.leaf, model.meta.root, reader);
    }
    pass_.finish();
  }

  void pass_over(const Model& model, const ListGeometry& geometry, BlockNumber head, SlotReader& reader) {
    ++stats_.leaves;
    for_each_slot(index_, geometry, head, nullptr,
                  [&](SlotHeader* slot, Page page, std::size_t entry, BlockNumber tail) {
                    test_for_old_snapshot(scan_->xs_snapshot, index_, page);
                    if (!ItemPointerIsValid(&slot->tid)) return;
                    ++stats_.entries;
                    double bound = 0;
                    if (geometry.list() == ListKind::kNulls) {
                      bound = slot->error == static_cast<ErrorBound>(NullReason::kNull) ? 1 : 0;
                    } else if (ordered_) {
                      bound = lower_bound(model, *query_, *slot, reader.vector(page, entry, tail, nullptr));
                    }
                    pass_.add({bound, slot->tid});
                  });
  }

  void start_nulls() {
    phase_ = Phase::kNulls;
    pass_.restart(static_cast<std::size_t>(work_mem) * 1024);
    run_null_pass();
  }

  void run_null_pass() {
    const Model& model = open_model(index_);
    SlotReader reader(index_, model.nulls);
    pass_over(model, model.nulls, model.meta.nulls, reader);
    pass_.finish();
  }

  // Takes the next candidate; false when the pass is used up and there is no other. Both entries of a row
  // have the same bound, so the second follows the first.
  bool pop_candidate(RankedRow* row) {
    for (;;) {
      if (!candidates_.empty()) {
        *row = candidates_.pop();
        if (ItemPointerEquals(&row->tid, &last_popped_)) continue;
        last_popped_ = row->tid;
        if (!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&row->tid))) report_invalid_link(index_);
        return true;
      }
      if (phase_ == Phase::kApproximate || !pass_.truncated()) return false;
      pass_.next();
      if (phase_ == Phase::kNulls) {
        run_null_pass();
      } else {
        run_pass();
      }
    }
  }

  // ---- Handing out ----

  bool next_unordered() {
    RankedRow row;
    if (pop_candidate(&row)) {
      const bool is_nan = ordered_by_nan(row);
      hand_out(row.tid, get_float8_nan(), !is_nan);
      return true;
    }
    if (phase_ == Phase::kExhaustive) {
      start_nulls();
    } else {
      phase_ = Phase::kDone;
    }
    return false;
  }

  // Every distance from a query without a direction is NaN, and from a NULL query NULL.
  bool ordered_by_nan(const RankedRow& row) const {
    const bool null_query = scan_->numberOfOrderBys == 0 || (scan_->orderByData[0].sk_flags & SK_ISNULL) != 0;
    return !null_query && (phase_ != Phase::kNulls || row.distance == 0);
  }

  bool next_ordered() {
    CHECK_FOR_INTERRUPTS();
    if (phase_ == Phase::kStragglers) return next_straggler();
    if (phase_ == Phase::kNulls) return next_null();
    if (phase_ == Phase::kApproximate) {
      if (!filled_) {
        fill();
        return false;
      }
      if (static_cast<double>(handed_in_round_) >= vouched_) {
        next_round(open_model(index_));
        return false;
      }
    }
    if (!ready_.empty() && !a_candidate_may_precede(ready_.front())) {
      const RankedRow row = ready_.pop();
      last_distance_ = row.distance;
      ++handed_in_round_;
      hand_out(row.tid, row.distance, false);
      return true;
    }
    RankedRow candidate;
    if (pop_candidate(&candidate)) {
      fetch(candidate.tid);
    } else if (!ready_.empty()) {
      return false;  // nothing but second entries seemed to precede what is ready
    } else if (phase_ == Phase::kApproximate) {
      next_round(open_model(index_));
    } else {
      phase_ = Phase::kStragglers;
    }
    return false;
  }

  // Before the first row is handed out, fetches as many as are wanted. Where some turn out to be dead, rows
  // that VACUUM has not removed yet stand between the live ones, and a round for that many more starts
  // afresh.
  void fill() {
    std::array<RankedRow, kRowsAhead> next;
    const std::size_t wanted = std::min(next.size(), rows_to_fill_ - std::min(rows_to_fill_, ready_.size()));
    std::size_t taken = 0;
    while (taken < wanted && pop_candidate(&next[taken])) ++taken;
    if (taken > 0) {
      fetcher_->prefetch(std::span(next).first(taken));
      for (std::size_t i = 0; i < taken; ++i) fetch(next[i].tid);
      return;
    }
    filled_ = true;
    if (dead_ == 0) return;
    const auto live = static_cast<double>(ready_.size());
    const double live_share = std::max(kLeastLiveShare, live / (live + static_cast<double>(dead_)));
    const Model& model = open_model(index_);
    plan_round(model, expected_rows_ / live_share);
    seen_.index();
    if (plan_.exhaustive) {
      start_exhaustive();
    } else {
      run_round(model);
    }
  }

  bool a_candidate_may_precede(const RankedRow& row) {
    if (!candidates_.empty()) return candidates_.front().distance < row.distance;
    return phase_ == Phase::kExhaustive && pass_.truncated();
  }

  void fetch(const ItemPointerData& tid) {
    if (seen_.contains(tid)) return;
    if (phase_ == Phase::kApproximate) seen_.add(tid);
    double distance = 0;
    ++stats_.reordered;
    if (!fetcher_->distance(tid, order_by(), &distance)) {
      ++dead_;
      return;
    }
    (distance < last_distance_ ? stragglers_ : ready_).push({distance, tid});
  }

  bool next_straggler() {
    if (stragglers_.empty()) {
      start_nulls();
      return false;
    }
    const RankedRow row = stragglers_.pop();
    hand_out(row.tid, row.distance, false);
    return true;
  }

  bool next_null() {
    RankedRow row;
    if (!pop_candidate(&row)) {
      phase_ = Phase::kDone;
      return false;
    }
    hand_out(row.tid, get_float8_nan(), row.distance != 0);
    return true;
  }

  void hand_out(const ItemPointerData& tid, double distance, bool isnull) {
    if (fetcher_ != nullptr) fetcher_->expect(tid);
    scan_->xs_heaptid = tid;
    scan_->xs_recheck = false;
    scan_->xs_recheckorderby = false;
    if (scan_->numberOfOrderBys == 0) return;
    scan_->xs_orderbyvals[0] = Float8GetDatum(distance);
    scan_->xs_orderbynulls[0] = isnull;
  }

  IndexScanDesc scan_;
  Relation index_;
  MemoryContext context_;
  Phase phase_ = Phase::kStart;
  bool ordered_ = false;
  Query* query_ = nullptr;
  RowFetcher* fetcher_ = nullptr;
  SearchPlan plan_;
  std::size_t leaf_cap_ = 0;
  double expected_rows_ = 0;  // that the first round is planned for
  std::size_t rows_to_fill_ = 0;
  bool filled_ = false;  // whether they were fetched
  int64 dead_ = 0;       // rows fetched that the snapshot does not see
  double vouched_ = 0;   // rows this round may hand out
  int64 handed_in_round_ = 0;
  RowQueue candidates_;  // by lower bound
  RowQueue ready_;       // by exact distance
  RowQueue stragglers_;  // nearer than a row already handed out
  BoundedPass pass_;
  ItemPointerData last_popped_{};  // of the candidates
  SeenRows seen_;
  double last_distance_ = -std::numeric_limits<double>::infinity();
  ScanStats stats_ = {};
};

// What the scan descriptor points to.
struct ScanOpaque {
  MemoryContext context;  // of the Scan
  Scan* scan;             // null before the first rescan
};

}  // namespace

IndexScanDesc scann_begin_scan(Relation index, int keys, int order_bys) {
  IndexScanDesc scan = RelationGetIndexScan(index, keys, order_bys);
  auto* opaque = static_cast<ScanOpaque*>(palloc0(sizeof(ScanOpaque)));
  opaque->context = AllocSetContextCreate(CurrentMemoryContext, "scann scan", ALLOCSET_DEFAULT_SIZES);
  scan->opaque = opaque;
  if (order_bys > 0) {
    scan->xs_orderbyvals = static_cast<Datum*>(palloc0(sizeof(Datum) * static_cast<std::size_t>(order_bys)));
    scan->xs_orderbynulls = static_cast<bool*>(palloc0(sizeof(bool) * static_cast<std::size_t>(order_bys)));
  }
  return scan;
}

void scann_rescan(IndexScanDesc scan, ScanKey keys, int key_count, ScanKey order_bys, int order_by_count) {
  auto* opaque = static_cast<ScanOpaque*>(scan->opaque);
  if (opaque->scan != nullptr) opaque->scan->end();
  opaque->scan = nullptr;
  MemoryContextReset(opaque->context);
  if (keys != nullptr && key_count > 0) std::copy_n(keys, key_count, scan->keyData);
  if (order_bys != nullptr && order_by_count > 0) std::copy_n(order_bys, order_by_count, scan->orderByData);
  const MemoryContext old = MemoryContextSwitchTo(opaque->context);
  opaque->scan = new (palloc(sizeof(Scan))) Scan(scan);
  MemoryContextSwitchTo(old);
}

bool scann_get_tuple(IndexScanDesc scan, ScanDirection direction) {
  Assert(ScanDirectionIsForward(direction));
  (void)direction;
  return static_cast<ScanOpaque*>(scan->opaque)->scan->next();
}

void scann_end_scan(IndexScanDesc scan) {
  auto* opaque = static_cast<ScanOpaque*>(scan->opaque);
  if (opaque->scan != nullptr) opaque->scan->end();
  MemoryContextDelete(opaque->context);
}

}  // namespace scann::am
