// scann_evaluate_recall: the recall that queries get now, measured with rows of the table as queries.
#include "am/inspect.hpp"
#include "am/limit.hpp"
#include "am/options.hpp"
#include "am/sampler.hpp"
#include "am/scan_queue.hpp"

namespace scann::am {
namespace {

// A row of the table used as a query.
struct SampledQuery {
  Datum value;
  ItemPointerData tid;
};

struct QuerySampler {
  PallocArray<SampledQuery> queries;
  std::size_t wanted;
  std::size_t per_block;
  std::size_t from_block = 0;
  MemoryContext context;
};

void sample_query(Relation /*index*/, ItemPointer tid, Datum* values, bool* isnull, bool /*alive*/,
                  void* arg) {
  auto& sampler = *static_cast<QuerySampler*>(arg);
  if (isnull[0] || sampler.queries.size() >= sampler.wanted || sampler.from_block >= sampler.per_block)
    return;
  const MemoryContext old = MemoryContextSwitchTo(sampler.context);
  sampler.queries.push_back({PointerGetDatum(PG_DETOAST_DATUM_COPY(values[0])), *tid});
  ++sampler.from_block;
  MemoryContextSwitchTo(old);
}

// Takes rows from blocks spread over the table, few from each.
void take_queries(const InspectedIndex& inspected, QuerySampler& sampler) {
  IndexInfo* info = BuildIndexInfo(inspected.index);
  info->ii_Concurrent = true;
  const BlockNumber blocks = RelationGetNumberOfBlocks(inspected.heap);
  const BlockOrder order(blocks);
  sampler.per_block = std::max<std::size_t>(1, 2 * sampler.wanted / std::max<BlockNumber>(blocks, 1));
  for (BlockNumber i = 0; i < blocks && sampler.queries.size() < sampler.wanted; ++i) {
    CHECK_FOR_INTERRUPTS();
    sampler.from_block = 0;
    table_index_build_range_scan(inspected.heap, inspected.index, info, false, false, false, order.at(i), 1,
                                 sample_query, &sampler, nullptr);
  }
}

// Runs queries through one index, whatever the planner would choose.
class QueryRunner {
 public:
  QueryRunner(const InspectedIndex& inspected, std::size_t limit) : inspected_(inspected), limit_(limit) {
    Relation index = inspected.index;
    const Oid type = index->rd_opcintype[0];
    const Oid op = get_opfamily_member(index->rd_opfamily[0], type, type, 1);
    ScanKeyEntryInitialize(&key_, SK_ORDER_BY, 1, 1, type, index->rd_indcollation[0], get_opcode(op), 0);
  }

  // Distances of the nearest rows but the query's own, nearest first.
  PallocArray<double> run(const SampledQuery& query, const Settings& effort) {
    PallocArray<double> distances;
    settings = effort;
    key_.sk_argument = query.value;
    IndexScanDesc scan = begin_index_scan(inspected_.heap, inspected_.index, GetActiveSnapshot(), 0, 1);
    const LimitOverride limit(scan, static_cast<double>(limit_ + 1));
    index_rescan(scan, nullptr, 0, &key_, 1);
    TupleTableSlot* slot = table_slot_create(inspected_.heap, nullptr);
    ItemPointerData own = query.tid;
    while (distances.size() < limit_) {
      ItemPointer tid = index_getnext_tid(scan, ForwardScanDirection);
      if (tid == nullptr || scan->xs_orderbynulls[0] || std::isnan(DatumGetFloat8(scan->xs_orderbyvals[0])))
        break;
      if (ItemPointerEquals(tid, &own) || !index_fetch_heap(scan, slot)) continue;
      distances.push_back(DatumGetFloat8(scan->xs_orderbyvals[0]));
    }
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    return distances;
  }

 private:
  const InspectedIndex& inspected_;
  std::size_t limit_;
  ScanKeyData key_;
};

// Mean share of the exact answers' distances that the index reached.
double mean_recall(const InspectedIndex& inspected, std::size_t k, QuerySampler& sampler,
                   const Settings& current) {
  QueryRunner runner(inspected, k);
  Settings exhaustive = current;
  exhaustive.target_recall = 1;
  exhaustive.max_scan_tuples = -1;
  double sum = 0;
  std::size_t counted = 0;
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "scann query", ALLOCSET_DEFAULT_SIZES);
  for (const SampledQuery& query : sampler.queries) {
    CHECK_FOR_INTERRUPTS();
    const MemoryContext old = MemoryContextSwitchTo(context);
    PallocArray<double> found = runner.run(query, current);
    PallocArray<double> exact = runner.run(query, exhaustive);
    if (!exact.empty()) {
      const auto hits =
          std::count_if(found.begin(), found.end(), [&](double d) { return d <= exact.back(); });
      sum += static_cast<double>(hits) / static_cast<double>(exact.size());
      ++counted;
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(context);
  }
  MemoryContextDelete(context);
  return counted > 0 ? sum / static_cast<double>(counted) : 1;
}

void check_argument(const char* name, int value, int largest) {
  if (value >= 1 && value <= largest) return;
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be between 1 and %d", name, largest)));
}

}  // namespace
}  // namespace scann::am

SCANN_FUNCTION(scann_evaluate_recall) {
  using namespace scann::am;
  const int k = PG_GETARG_INT32(1);
  const int queries = PG_GETARG_INT32(2);
  check_argument("k", k, 10'000);
  check_argument("queries", queries, 100'000);
  InspectedIndex inspected(PG_GETARG_OID(0));
  QuerySampler sampler{.queries = {},
                       .wanted = static_cast<std::size_t>(queries),
                       .per_block = 1,
                       .context = CurrentMemoryContext};
  OwnerScope owner(inspected.heap);
  take_queries(inspected, sampler);
  const Settings current = settings;
  double recall = 0;
  PG_TRY();
  { recall = mean_recall(inspected, static_cast<std::size_t>(k), sampler, current); }
  PG_FINALLY();
  {
    settings = current;
    LimitOverride::clear();
  }
  PG_END_TRY();
  owner.end();
  inspected.close();
  PG_RETURN_FLOAT8(recall);
}
