// Planner costs.
//
// Startup is the first round of a search, which LIMIT queries mostly end with. Total is what a query that
// wants every row pays: all entries compared, all rows fetched, all sorted; never less than a sequential scan
// and a sort.
#include "am/cost.hpp"

#include "am/options.hpp"
#include "am/search.hpp"

extern "C" {
#include <access/detoast.h>
#include <access/heaptoast.h>
#include <parser/parsetree.h>
#include <utils/syscache.h>
}

namespace scann::am {
namespace {

// Prices in units of cpu_operator_cost: a code scored, an int8 vector compared (a component), a candidate
// re-ordered.
constexpr double kCodeCost = 0.05;
constexpr double kComponentCost = 0.02;
constexpr double kCandidateCost = 8;
// A query looks into groups with about this share of all partitions.
constexpr double kRankedShare = 0.4;
// Pages that even the cheapest scan reads at random, one of codes and one of vectors: a tiny table is sorted.
constexpr double kFewestPages = 2;

struct ScanCost {
  Cost first_round;
  Cost everything;
};

// The rows the query is expected to pull from the scan; all of them when there is no limit.
double expected_rows(const PlannerInfo* root, const IndexPath* path) {
  const double rows = std::max(1.0, path->indexinfo->tuples);
  double wanted = root->limit_tuples;
  if (wanted <= 0 && root->tuple_fraction > 0) {
    wanted = root->tuple_fraction >= 1 ? root->tuple_fraction : root->tuple_fraction * rows;
  }
  return wanted > 0 ? std::min(wanted, rows) : rows;
}

ScanCost scan_cost(Oid index_oid, double rows, double wanted) {
  Relation index = index_open(index_oid, NoLock);  // locked by the planner
  const Model& model = open_model(index);
  const double dims = std::max(1U, model.meta.dims);
  const SearchPlan plan = plan_search(model, settings.target_recall, wanted);
  const auto ranked = model.groups.size() > 1
                          ? static_cast<double>(model.groups.size()) +
                                kRankedShare * static_cast<double>(model.partitions.size())
                          : static_cast<double>(model.partitions.size());
  const Cost everything =
      cpu_operator_cost * rows * entries_per_row(model.meta) * (kComponentCost * dims + 1);
  const Cost first = cpu_operator_cost *
                     (ranked * kComponentCost * dims + plan.codes * kCodeCost * model.leaf.blocks() / 16 +
                      plan.candidates * kCandidateCost);
  index_close(index, NoLock);
  return {plan.exhaustive ? everything : std::min(first, everything), everything};
}

}  // namespace

void scann_cost_estimate(PlannerInfo* root, IndexPath* path, double /*loop_count*/, Cost* startup_cost,
                         Cost* total_cost, Selectivity* selectivity, double* correlation, double* pages) {
  const IndexOptInfo* info = path->indexinfo;
  *selectivity = 1;
  *correlation = 0;
  *pages = info->pages;
  if (list_length(path->indexorderbys) != 1) {
    *startup_cost = *total_cost = get_float8_infinity();
#if PG_VERSION_NUM >= 180000
    path->path.disabled_nodes = 2;
#endif
    return;
  }
  const double rows = std::max(1.0, info->tuples);
  const ScanCost cost = info->hypothetical ? ScanCost{0, cpu_operator_cost * rows}
                                           : scan_cost(info->indexoid, rows, expected_rows(root, path));
  const Cost sort = 2 * cpu_operator_cost * rows * std::log2(rows + 1);
  const Cost scan = seq_page_cost * info->rel->pages + cpu_tuple_cost * info->rel->tuples;
  *startup_cost = kFewestPages * random_page_cost + cost.first_round;
  *total_cost = std::max(*startup_cost, scan + sort + cost.everything);
}

namespace {

struct RelationStatistics {
  double rows;
  double pages;
  Oid toast;
};

RelationStatistics relation_statistics(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return {};
  const auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const RelationStatistics statistics{form->reltuples, static_cast<double>(form->relpages),
                                      form->reltoastrelid};
  ReleaseSysCache(tuple);
  return statistics;
}

// The mean width of a column's values in bytes. ANALYZE counts values moved to the TOAST table by their
// pointers; they are taken to fill that table.
double column_width(Oid table, AttrNumber column) {
  constexpr int kPointerWidth = 32;  // more than a TOAST pointer, less than a vector that was moved
  const double width = get_attavgwidth(table, column);
  if (width <= 0 || width > kPointerWidth) return width;
  const double rows = relation_statistics(table).rows;
  const Oid toast = relation_statistics(table).toast;
  return rows > 0 && OidIsValid(toast) ? std::max(width, relation_statistics(toast).pages * BLCKSZ / rows)
                                       : width;
}

// The dimensions of a distance function's vectors, as far as its arguments tell: a constant query has them,
// otherwise the column's mean width does. 0: unknown.
double expected_dimensions(PlannerInfo* root, List* arguments) {
  ListCell* cell = nullptr;
  double dims = 0;
  foreach (cell, arguments) {
    Node* argument = static_cast<Node*>(lfirst(cell));
    if (IsA(argument, Const) && !reinterpret_cast<Const*>(argument)->constisnull) {
      const Datum value = reinterpret_cast<Const*>(argument)->constvalue;
      return static_cast<double>(toast_raw_datum_size(value) - VARHDRSZ) / sizeof(float);
    }
    if (IsA(argument, Var) && root != nullptr) {
      const auto* var = reinterpret_cast<Var*>(argument);
      if (static_cast<int>(var->varno) >= root->simple_rel_array_size) continue;
      const RangeTblEntry* table = planner_rt_fetch(var->varno, root);
      if (table->rtekind != RTE_RELATION) continue;
      dims = std::max(dims, column_width(table->relid, var->varattno) / sizeof(float));
    }
  }
  return dims;
}

// What one call costs: arithmetic, and fetching the value from the TOAST table where it is too wide for its
// row.
Cost distance_cost(double dims) {
  const double bytes = dims * sizeof(float);
  const double toast_chunks = bytes > TOAST_TUPLE_THRESHOLD ? std::ceil(bytes / TOAST_MAX_CHUNK_SIZE) : 0;
  return cpu_operator_cost * (1 + kComponentCost * dims) + toast_chunks * cpu_tuple_cost;
}

}  // namespace
}  // namespace scann::am

// Support function of the distance functions.
SCANN_FUNCTION(scann_distance_support) {
  using namespace scann::am;
  auto* request = reinterpret_cast<Node*>(PG_GETARG_POINTER(0));
  if (!IsA(request, SupportRequestCost)) PG_RETURN_POINTER(nullptr);
  auto* cost = reinterpret_cast<SupportRequestCost*>(request);
  List* arguments = NIL;
  if (cost->node != nullptr && IsA(cost->node, OpExpr))
    arguments = reinterpret_cast<OpExpr*>(cost->node)->args;
  if (cost->node != nullptr && IsA(cost->node, FuncExpr))
    arguments = reinterpret_cast<FuncExpr*>(cost->node)->args;
  cost->startup = 0;
  cost->per_tuple = distance_cost(expected_dimensions(cost->root, arguments));
  PG_RETURN_POINTER(cost);
}
