// Planner costs.
//
// Startup is the first round of a search, which LIMIT queries mostly end with. Total is what a query that
// wants every row pays: all entries compared, all rows fetched, all sorted; never less than a sequential scan
// and a sort.
#include "am/cost.hpp"

#include "am/options.hpp"
#include "am/search.hpp"

extern "C" {
#include <access/genam.h>
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

}  // namespace scann::am
