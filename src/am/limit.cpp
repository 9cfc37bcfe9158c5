// Learning LIMIT.
#include "am/limit.hpp"

#include "am/inspect.hpp"

namespace scann::am {
namespace {

// An incremental sort reads a batch beyond what is asked of it.
constexpr double kIncrementalSortBatch = 32;

// An index scan below a Limit node, for as long as the query runs.
struct LimitedScan {
  IndexScanState* scan;
  LimitState* limit;
  double extra;  // rows that nodes in between read ahead
  LimitedScan* next;
};

// All running queries of this backend, innermost first.
struct RunningQuery {
  LimitedScan* scans;
  RunningQuery* next;
};
RunningQuery* running_queries = nullptr;
ExecutorStart_hook_type previous_hook = nullptr;

IndexScanDesc override_scan = nullptr;
double override_limit = 0;

void forget_query(void* query) {
  for (RunningQuery** link = &running_queries; *link != nullptr; link = &(*link)->next) {
    if (*link == query) {
      *link = (*link)->next;
      return;
    }
  }
}

struct Search {
  LimitedScan* found = nullptr;
  LimitState* limit = nullptr;
  double extra = 0;
  Oid access_method = InvalidOid;
};

void find_limited_scans(PlanState* node, Search& search);

void find_below(PlanState* node, Search& search, LimitState* limit, double extra) {
  const LimitState* outer_limit = search.limit;
  const double outer_extra = search.extra;
  search.limit = limit;
  search.extra = extra;
  find_limited_scans(node, search);
  search.limit = const_cast<LimitState*>(outer_limit);
  search.extra = outer_extra;
}

template <class Array>
void find_below_all(Array** nodes, int count, Search& search) {
  for (int i = 0; i < count; ++i) find_limited_scans(nodes[i], search);
}

bool visit_child(PlanState* node, void* search) {
  find_below(node, *static_cast<Search*>(search), nullptr, 0);
  return false;
}

bool is_ordered_scann_scan(IndexScanState* scan) {
  return scan->iss_NumOrderByKeys > 0 && scan->iss_RelationDesc != nullptr &&
         is_scann_index(scan->iss_RelationDesc);
}

void note_scan(IndexScanState* scan, Search& search) {
  if (search.limit == nullptr || !is_ordered_scann_scan(scan)) return;
  auto* found = static_cast<LimitedScan*>(palloc(sizeof(LimitedScan)));
  *found = {scan, search.limit, search.extra, search.found};
  search.found = found;
}

// Walks on below a node that hands rows through one for one, or limits them. False for any other node.
bool descend(PlanState* node, Search& search) {
  switch (nodeTag(node)) {
    case T_LimitState:
      find_below(outerPlanState(node), search, castNode(LimitState, node), 0);
      return true;
    case T_IncrementalSortState:
      find_below(outerPlanState(node), search, search.limit, search.extra + kIncrementalSortBatch);
      return true;
    case T_ResultState:
    case T_LockRowsState:
      if (node->qual == nullptr) find_limited_scans(outerPlanState(node), search);
      return node->qual == nullptr;
    case T_SubqueryScanState:
      if (node->qual == nullptr) find_limited_scans(castNode(SubqueryScanState, node)->subplan, search);
      return node->qual == nullptr;
    case T_AppendState:
      find_below_all(castNode(AppendState, node)->appendplans, castNode(AppendState, node)->as_nplans,
                     search);
      return true;
    case T_MergeAppendState:
      find_below_all(castNode(MergeAppendState, node)->mergeplans,
                     castNode(MergeAppendState, node)->ms_nplans, search);
      return true;
    default:
      return false;
  }
}

// Sub-selects have limits of their own.
void find_in_subplans(List* subplans, Search& search) {
  ListCell* cell = nullptr;
  foreach (cell, subplans) {
    find_below(static_cast<SubPlanState*>(lfirst(cell))->planstate, search, nullptr, 0);
  }
}

// Walks down from a node, noting scans below the nearest Limit.
void find_limited_scans(PlanState* node, Search& search) {
  if (node == nullptr) return;
  if (descend(node, search)) {
    find_in_subplans(node->initPlan, search);
    find_in_subplans(node->subPlan, search);
    return;
  }
  if (IsA(node, IndexScanState)) note_scan(castNode(IndexScanState, node), search);
  walk_plan_children(node, visit_child, &search);
}

void note_limits(QueryDesc* query, int eflags) {
  if (previous_hook != nullptr) {
    previous_hook(query, eflags);
  } else {
    standard_ExecutorStart(query, eflags);
  }
  if (query->planstate == nullptr || (eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0) return;
  const MemoryContext old = MemoryContextSwitchTo(query->estate->es_query_cxt);
  Search search;
  find_limited_scans(query->planstate, search);
  if (search.found != nullptr) {
    auto* running = static_cast<RunningQuery*>(palloc(sizeof(RunningQuery)));
    auto* callback = static_cast<MemoryContextCallback*>(palloc(sizeof(MemoryContextCallback)));
    *running = {search.found, running_queries};
    running_queries = running;
    callback->func = forget_query;
    callback->arg = running;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
  }
  MemoryContextSwitchTo(old);
}

}  // namespace

// Rows in the index, which may be partial, as last counted.
static double indexed_rows(IndexScanDesc scan) {
  const double indexed = scan->indexRelation->rd_rel->reltuples;
  return indexed > 0 ? indexed : scan->heapRelation->rd_rel->reltuples;
}

LimitOverride::LimitOverride(IndexScanDesc scan, double limit) {
  override_scan = scan;
  override_limit = limit;
}

void LimitOverride::clear() { override_scan = nullptr; }

WantedRows wanted_rows(IndexScanDesc scan) {
  if (scan == override_scan) return {.limit = override_limit, .pulled = override_limit};
  for (RunningQuery* query = running_queries; query != nullptr; query = query->next) {
    for (LimitedScan* limited = query->scans; limited != nullptr; limited = limited->next) {
      if (limited->scan->iss_ScanDesc != scan) continue;
      const LimitState* limit = limited->limit;
      if (limit->noCount || limit->limitOption == LIMIT_OPTION_WITH_TIES) return {};
      WantedRows wanted;
      wanted.limit = static_cast<double>(limit->count) + static_cast<double>(limit->offset) + limited->extra;
      const double kept = limited->scan->ss.ps.plan->plan_rows;
      const double all = std::max<double>(1, indexed_rows(scan));
      const bool filtered = limited->scan->ss.ps.qual != nullptr;
      wanted.pulled = wanted.limit * (filtered ? std::max(1.0, all / std::max(1.0, kept)) : 1);
      return wanted;
    }
  }
  return {};
}

void install_limit_hook() {
  previous_hook = ExecutorStart_hook;
  ExecutorStart_hook = note_limits;
}

}  // namespace scann::am
