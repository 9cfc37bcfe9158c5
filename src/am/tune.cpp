// scann_tune: calibration with the user's own queries, at any time.
#include "am/inspect.hpp"
#include "am/neighbors.hpp"
#include "am/replay.hpp"
#include "am/row_encoder.hpp"
#include "am/search.hpp"

extern "C" {
#include <executor/spi.h>
#include <tcop/utility.h>
}

namespace scann::am {
namespace {

// More take longer and say little more.
constexpr std::size_t kMostQueries = 10'000;
// With fewer, efforts are rough.
constexpr std::size_t kFewQueries = 100;

// The limits beyond the first few are measured by one query in kDeepEvery.
std::size_t queries_advised(std::size_t k) {
  return k > kCalibratedLimits[kShallowLimits - 1] ? kFewQueries * kDeepEvery : kFewQueries;
}

void check_k(int k) {
  const int largest = static_cast<int>(kCalibratedLimits.back());
  if (k >= 1 && k <= largest) return;
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("k must be between 1 and %d", largest),
           errhint("k is the LIMIT of your queries. Those with a larger one follow what is found for %d.",
                   largest)));
}

// ---- The user's queries -----------------------------------------------------------------------------------

// Runs the user's SQL, read-only and with the user's own rights, inside an SPI connection.
void run_query(const char* sql, std::size_t most) {
  const int code = SPI_execute(sql, true, static_cast<long>(most));
  if (code == SPI_OK_SELECT) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("queries must be an SQL query"),
                  errhint("Give the text of a SELECT which returns query vectors, such as '%s'.",
                          "SELECT v FROM my_queries")));
}

void check_columns(Relation index, TupleDesc columns) {
  if (columns->natts != 1) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("queries must return one column, not %d", columns->natts),
                    errhint("Select nothing but the query vectors.")));
  }
  const Oid wanted = index->rd_opcintype[0];
  const Oid given = getBaseType(SPI_gettypeid(columns, 1));
  if (given != wanted) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("queries must return vectors of type %s, not %s", format_type_be(wanted),
                           format_type_be(given)),
                    errhint("Cast the column to %s.", format_type_be(wanted))));
  }
}

std::span<const float> read_vector(HeapTuple tuple, TupleDesc columns, VectorReader& reader, uint32 dims) {
  bool isnull = false;
  const Datum value = SPI_getbinval(tuple, columns, 1, &isnull);
  if (isnull) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a query vector must not be NULL"),
                    errhint("Leave out the rows without a vector, with WHERE ... IS NOT NULL.")));
  }
  const std::span<const float> vector = reader.read(PointerGetDatum(PG_DETOAST_DATUM(value)), dims);
  if (vector.empty()) {
    ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("a query vector must not be zero"),
                    errdetail("The cosine distance from a zero vector is undefined."),
                    errhint("Leave out the rows with a zero vector.")));
  }
  return vector;
}

// Room for the queries' neighbours, too, is taken from maintenance_work_mem.
std::size_t most_queries(uint32 dims) {
  const std::size_t memory = static_cast<std::size_t>(maintenance_work_mem) * 1024;
  const std::size_t each = dims * sizeof(float) + NeighborSearch::bytes(kDeepEvery) / kDeepEvery;
  return std::clamp(memory / each, kFewQueries, kMostQueries);
}

void check_count(std::size_t count, std::size_t most, std::size_t k) {
  if (count == 0) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("queries return no rows"),
                    errhint("Give at least %zu query vectors.", queries_advised(k))));
  }
  if (count > most) {
    ereport(NOTICE, (errmsg("only the first %zu query vectors are used", most),
                     most < kMostQueries ? errhint("Increase maintenance_work_mem to use more.") : 0));
  }
  if (count < queries_advised(k)) {
    ereport(WARNING,
            (errmsg("index tuned with few queries"), errdetail("There are %zu query vectors.", count),
             errhint("For a LIMIT of %zu, give at least %zu.", k, queries_advised(k))));
  }
}

// The queries in the space of the index: count x dims. `frame` has its mean.
std::span<float> read_queries(Relation index, const char* sql, std::size_t k, const Model& frame) {
  const uint32 dims = frame.meta.dims;
  const std::size_t most = most_queries(dims);
  const MemoryContext context = CurrentMemoryContext;
  VectorReader reader(index);
  SPI_connect();
  run_query(sql, most + 1);
  const TupleDesc columns = SPI_tuptable->tupdesc;
  check_columns(index, columns);
  check_count(SPI_processed, most, k);
  const std::size_t count = std::min<std::size_t>(SPI_processed, most);
  const MemoryContext spi = MemoryContextSwitchTo(context);
  const auto rows = palloc_span<float>(count * dims);
  const MemoryContext row_context =
      AllocSetContextCreate(context, "scann tuning query", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(row_context);
  for (std::size_t i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    center(frame, read_vector(SPI_tuptable->vals[i], columns, reader, dims), rows.subspan(i * dims, dims));
    MemoryContextReset(row_context);
  }
  MemoryContextSwitchTo(spi);
  MemoryContextDelete(row_context);
  SPI_finish();
  return rows;
}

// ---- Their neighbours
// ---------------------------------------------------------------------------------------

// Compares the rows of the table with all queries.
class Observer {
 public:
  Observer(Relation index, const Model& frame, NeighborSearch& search)
      : frame_(frame),
        search_(search),
        reader_(index),
        row_context_(AllocSetContextCreate(CurrentMemoryContext, "scann tuning row", ALLOCSET_DEFAULT_SIZES)),
        rows_(palloc_span<float>(kObserveBatch * frame.meta.dims)) {
    std::fill(std::begin(partitions_), std::end(partitions_), kUnknown);
  }

  void scan(Relation heap, Relation index) {
    IndexInfo* info = BuildIndexInfo(index);
    info->ii_Concurrent = true;  // an MVCC snapshot: rows that a query sees
    table_index_build_scan(heap, index, info, true, false, observe_row, this, nullptr);
    flush();
  }

 private:
  static void observe_row(Relation /*index*/, ItemPointer tid, Datum* values, bool* isnull, bool /*alive*/,
                          void* observer) {
    if (!isnull[0]) static_cast<Observer*>(observer)->add(*tid, values[0]);
  }

  void add(const ItemPointerData& tid, Datum value) {
    const MemoryContext old = MemoryContextSwitchTo(row_context_);
    const std::size_t dims = frame_.meta.dims;
    const std::span<const float> row = reader_.read(value, frame_.meta.dims);
    if (!row.empty()) {
      center(frame_, row, rows_.subspan(size_ * dims, dims));
      tids_[size_++] = tid;
      if (size_ == kObserveBatch) flush();
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(row_context_);
  }

  void flush() {
    search_.observe(rows_.first(size_ * frame_.meta.dims), std::span(tids_).first(size_),
                    std::span(partitions_).first(size_), {});
    size_ = 0;
    CHECK_FOR_INTERRUPTS();
  }

  const Model& frame_;
  NeighborSearch& search_;
  VectorReader reader_;
  MemoryContext row_context_;
  std::span<float> rows_;
  ItemPointerData tids_[kObserveBatch];
  std::uint32_t partitions_[kObserveBatch];  // not known yet
  std::size_t size_ = 0;
};

// A neighbour, to be found in the index by its row.
struct Sought {
  int64 row;
  Neighbor* neighbor;
};

std::span<Sought> sought_neighbors(const NeighborSearch& search, std::size_t queries) {
  std::size_t size = 0;
  for (std::size_t q = 0; q < queries; ++q) size += search.neighbors_of(q).size();
  const auto sought = palloc_span<Sought>(size);
  size = 0;
  for (std::size_t q = 0; q < queries; ++q) {
    for (Neighbor& neighbor : search.neighbors_of(q)) sought[size++] = {tid_key(neighbor.tid), &neighbor};
  }
  std::sort(sought.begin(), sought.end(), [](const Sought& a, const Sought& b) { return a.row < b.row; });
  return sought;
}

// Tells neighbours where their entries are.
void locate(Relation index, const Model& model, std::span<Sought> sought) {
  for (std::uint32_t p = 0; p < model.partitions.size(); ++p) {
    std::uint32_t position = 0;
    for_each_slot(index, model.leaf, model.partitions[p].head, nullptr,
                  [&](const SlotHeader* slot, Page, std::size_t, BlockNumber) {
                    const std::uint32_t here = position++;
                    if (!ItemPointerIsValid(&slot->tid)) return;
                    const int64 row = tid_key(slot->tid);
                    auto it = std::lower_bound(sought.begin(), sought.end(), row,
                                               [](const Sought& s, int64 wanted) { return s.row < wanted; });
                    for (; it != sought.end() && it->row == row; ++it) {
                      EntryPlace* places = it->neighbor->places;
                      places[places[0].partition == kUnknown ? 0 : 1] = {p, here};
                    }
                  });
  }
}

// ---- All together
// -------------------------------------------------------------------------------------------

// As much of the model as brings vectors into the space of the index, in memory that no invalidation frees.
Model copy_frame(const Model& model) {
  Model frame{};
  frame.meta = model.meta;
  const auto mean = palloc_span<float>(model.mean.size());
  std::copy(model.mean.begin(), model.mean.end(), mean.begin());
  frame.mean = mean;
  return frame;
}

void tune(const InspectedIndex& inspected, const char* sql, std::size_t k) {
  Relation index = inspected.index;
  const Model frame = copy_frame(open_model(index));
  const std::span<const float> rows = read_queries(index, sql, k, frame);
  const auto tids = palloc_span<ItemPointerData>(rows.size() / frame.meta.dims);
  for (ItemPointerData& tid : tids) ItemPointerSetInvalid(&tid);  // they are no rows of the table
  const CalibrationQueries queries{
      .metric = frame.meta.metric, .dims = frame.meta.dims, .rows = rows, .tids = tids};
  NeighborSearch search(queries, palloc_span<std::byte>(NeighborSearch::bytes(queries.count())));
  OwnerScope owner(inspected.heap);
  Observer(index, frame, search).scan(inspected.heap, index);
  owner.end();
  search.rank();
  const Model& model = open_model(index);
  locate(index, model, sought_neighbors(search, queries.count()));
  store_efforts(index, replay_searches(index, model, queries, search));
}

}  // namespace
}  // namespace scann::am

SCANN_FUNCTION(scann_tune) {
  using namespace scann::am;
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  const int k = PG_GETARG_INT32(2);
  check_k(k);
  PreventCommandDuringRecovery("scann_tune()");
  PreventCommandIfReadOnly("scann_tune()");
  // Keeps VACUUM away, which would void entries whose places are remembered, and others who tune.
  InspectedIndex inspected(PG_GETARG_OID(0), ShareUpdateExclusiveLock);
  Relation index = inspected.index;
  if (open_model(index).meta.height == 0) {
    ereport(NOTICE, (errmsg("index \"%s\" has nothing to tune", RelationGetRelationName(index)),
                     errdetail("It has no partitions: every query compares all rows.")));
  } else {
    tune(inspected, text_to_cstring(PG_GETARG_TEXT_PP(1)), static_cast<std::size_t>(k));
    const Model& model = open_model(index);
    for (const float target : kCalibratedRecalls) {
      const SearchPlan plan = plan_search(model, target, k);
      Datum values[] = {Float4GetDatum(target), Float4GetDatum(static_cast<float>(plan.recall)),
                        Int32GetDatum(static_cast<int32>(plan.candidates)), Float4GetDatum(plan.margin),
                        Float4GetDatum(static_cast<float>(plan.codes))};
      bool nulls[lengthof(values)] = {};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
  }
  inspected.close();
  return static_cast<Datum>(0);
}
