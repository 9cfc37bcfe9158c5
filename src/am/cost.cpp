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
}

namespace scann::am {
namespace {

// Prices in units of cpu_operator_cost: a code scored, an int8 vector compared (a component), a candidate
// re-ordered.
constexpr double kCodeCost = 0.05;
constexpr double kComponentCost = 0.02;
constexpr double kCandidateCost = 8;
// Pages that even the cheapest scan reads at random, one of codes and one of vectors: a tiny table is sorted.
constexpr double kFewestPages = 2;

struct ScanCost {
  Cost first_round;
  Cost everything;
  double pages;
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

ScanCost scan_cost(const Model& model, double rows, double wanted) {
  const double dims = std::max(1U, model.meta.dims);
  const SearchPlan plan = plan_search(model, settings.target_recall, wanted);
  const Cost everything = cpu_operator_cost * rows * (kComponentCost * dims + 1);
  if (plan.exhaustive) return {everything, everything, 0};
  const double leaves = static_cast<double>(model.partitions.size());
  const Cost first = cpu_operator_cost *
                     (leaves * kComponentCost * dims + plan.codes * kCodeCost * model.leaf.blocks() / 16 +
                      plan.candidates * kCandidateCost);
  return {std::min(first, everything), everything, 0};
}

}  // namespace

void scann_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
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
  GenericCosts generic = {};
  genericcostestimate(root, path, loop_count, &generic);
  const double rows = std::max(1.0, info->tuples);
  Relation index = index_open(info->indexoid, NoLock);
  const ScanCost cost = scan_cost(open_model(index), rows, expected_rows(root, path));
  index_close(index, NoLock);
  const Cost sort = 2 * cpu_operator_cost * rows * std::log2(rows + 1);
  const Cost scan = seq_page_cost * info->rel->pages + cpu_tuple_cost * info->rel->tuples;
  *startup_cost = kFewestPages * random_page_cost + cost.first_round;
  *total_cost = std::max(*startup_cost, scan + sort + cost.everything);
}

namespace {

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
      dims =
          std::max(dims, static_cast<double>(get_attavgwidth(table->relid, var->varattno)) / sizeof(float));
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
