// Replay of searches.
#include "am/replay.hpp"

#include <array>
#include <vector>

#include "am/search.hpp"
#include "core/effort.hpp"

namespace scann::am {
namespace {

// Measured as the time of queries through SQL, with different numbers of candidates kept and of leaves
// allowed, in 1,284 leaves of 100 dimensions.
constexpr SearchCost kSearchCost = {.leaf = 110, .candidate = 105};

// Limits are measured in groups. The larger a limit the more a query takes, but the more it tells, too: fewer
// queries do.
struct LimitGroup {
  std::size_t first;  // of kCalibratedLimits
  std::size_t limits;
  std::span<const std::uint32_t> candidates;  // values of K
  std::size_t first_narrowing;                // queries after which the grid is first narrowed, then whenever
                                              // they have doubled
};
constexpr std::uint32_t kFewCandidates[] = {8,   10,   13,   16,   20,   25,   32,   40,  50,  64,
                                            80,  100,  125,  160,  200,  250,  320,  400, 500, 640,
                                            800, 1000, 1250, 1600, 2000, 2500, 3200, 4000};
constexpr std::uint32_t kSomeCandidates[] = {100, 125,  160,  200,  250,  320,  400,  500, 640,
                                             800, 1000, 1250, 1600, 2000, 2500, 3200, 4000};
constexpr std::uint32_t kManyCandidates[] = {300,  360,  430,  520,  640,  800,  1000,  1250,  1600, 2000,
                                             2500, 3200, 4000, 5000, 6400, 8000, 10000, 12500, 16000};
constexpr LimitGroup kGroups[] = {
    {0, 2, kFewCandidates, 16}, {2, 1, kSomeCandidates, 8}, {3, 2, kManyCandidates, 4}};
constexpr std::size_t kGroupCount = std::size(kGroups);
// Queries that the second group needs.
constexpr std::size_t kQueriesForSome = 500;

// Between two of them the margin is interpolated. Where residuals spread over few of many dimensions, a
// query's neighbours lie many sigmas away along it: at 384 dimensions of text a recall of 0.95 takes a margin
// of 4.4, with which 32 candidates suffice.
constexpr float kMargins[] = {-4.0F, -3.0F, -2.5F, -2.0F, -1.5F, -1.25F, -1.0F, -0.75F, -0.5F, -0.25F,
                              0.0F,  0.25F, 0.5F,  0.75F, 1.0F,  1.25F,  1.5F,  1.75F,  2.0F,  2.25F,
                              2.5F,  2.75F, 3.0F,  3.5F,  4.0F,  4.5F,   5.0F,  5.5F,   6.0F,  7.0F,
                              8.0F,  9.0F,  10.0F, 12.0F, 14.0F, 18.0F,  27.0F};

constexpr std::uint32_t kPlaces = std::size(Neighbor{}.places);

// Leaves whose pages are asked for together.
constexpr std::size_t kLeavesAhead = 8;

// A grid of efforts, and how many queries have fed it.
struct FedGrid {
  explicit FedGrid(const LimitGroup& group)
      : grid(std::span(kCalibratedLimits).subspan(group.first, group.limits), kCalibratedRecalls,
             group.candidates, kMargins, kSearchCost),
        next_narrowing(group.first_narrowing),
        stop_values(group.candidates.size()) {}

  // Whether any pair of the grid would visit the leaf.
  bool offer(const NextLeaf& leaf) {
    for (std::size_t k = 0; k < stop_values.size(); ++k) stop_values[k] = leaf.stop_value(grid.threshold(k));
    return grid.offer_leaf(stop_values);
  }

  void end_query() {
    grid.end_query();
    if (++queries < next_narrowing) return;
    grid.narrow();
    next_narrowing *= 2;
  }

  EffortGrid grid;
  std::size_t queries = 0;
  std::size_t next_narrowing;
  std::vector<float> stop_values;
};

// What is kept from query to query.
struct Replay {
  Replay(Relation relation, const Model& trained, std::size_t queries, Query& prepared,
         const RecentBuffers& recent)
      : index(relation),
        model(trained),
        some_every(std::max<std::size_t>(1, queries / kQueriesForSome)),
        query(prepared),
        buffers(recent) {
    for (const LimitGroup& group : kGroups) all_grids.emplace_back(group);
  }

  void add(std::span<const float> vector, std::span<const Neighbor> neighbors, const Neighbor& own,
           bool deep);
  EffortTable choose() const;
  void order_by_partition(std::span<const Neighbor> neighbors);
  const EntryPlace& place(std::span<const Neighbor> neighbors, std::uint32_t entry) const {
    return neighbors[entry / kPlaces].places[entry % kPlaces];
  }
  void search(std::span<const Neighbor> neighbors, const Neighbor& own, std::span<FedGrid*> grids);
  void visit(std::uint32_t partition, std::span<const Neighbor> neighbors, const Neighbor& own,
             std::span<FedGrid*> grids);
  void score_list(std::size_t partition);
  void score_page(const CodePage& page, float base);
  void find_truths(std::uint32_t partition, std::span<const Neighbor> neighbors);

  Relation index;
  const Model& model;
  std::size_t some_every;
  std::size_t added = 0;
  Query& query;
  RecentBuffers buffers;
  std::vector<FedGrid> all_grids;           // for each of kGroups
  std::vector<std::uint32_t> by_partition;  // entries of the neighbours at hand: kPlaces * rank + place
  std::vector<float> scores;                // of the leaf at hand
  std::vector<TrueNeighbor> truths;         // in it
};

void Replay::order_by_partition(std::span<const Neighbor> neighbors) {
  by_partition.clear();
  for (std::uint32_t e = 0; e < kPlaces * neighbors.size(); ++e) {
    if (place(neighbors, e).position != kUnknown) by_partition.push_back(e);
  }
  std::sort(by_partition.begin(), by_partition.end(), [&](std::uint32_t a, std::uint32_t b) {
    return place(neighbors, a).partition < place(neighbors, b).partition;
  });
}

// Scores all codes of a leaf.
void Replay::score_list(std::size_t partition) {
  scores.clear();
  const float base = query.base(model, partition);
  ChainGuard chain(index);
  for (BlockNumber block = model.partitions[partition].head; BlockNumberIsValid(block);) {
    chain.step(block);
    const LockedBuffer buffer(buffers.read(index, block), LockMode::kShare);
    const CodePage page(index, buffer.get(), model.leaf);
    block = page.next();
    if (BlockNumberIsValid(block)) buffers.touch(index, block);
    score_page(page, base);
  }
}

void Replay::score_page(const CodePage& page, float base) {
  const CodeRun run = code_run(model, page, base, 0);
  const std::size_t first = scores.size();
  call_core([&] { scores.resize(first + run.count); });
  adc_scores(query.table(), run, &scores[first]);
  if (page.header().voids == 0) return;
  for (std::size_t i = 0; i < run.count; ++i) {
    if (!page.is_live(i)) scores[first + i] = -std::numeric_limits<float>::infinity();
  }
}

void Replay::find_truths(std::uint32_t partition, std::span<const Neighbor> neighbors) {
  truths.clear();
  auto entry = std::lower_bound(
      by_partition.begin(), by_partition.end(), partition,
      [&](std::uint32_t e, std::uint32_t wanted) { return place(neighbors, e).partition < wanted; });
  for (; entry != by_partition.end() && place(neighbors, *entry).partition == partition; ++entry) {
    const std::uint32_t position = place(neighbors, *entry).position;
    if (position < scores.size()) truths.push_back({*entry / kPlaces, position});
  }
}

// One query, centred. `deep`: whether it is for the limits beyond the first kShallowLimits, too.
void Replay::add(std::span<const float> vector, std::span<const Neighbor> neighbors, const Neighbor& own,
                 bool deep) {
  CHECK_FOR_INTERRUPTS();
  FedGrid* grids[kGroupCount] = {all_grids.data()};
  if (added++ % some_every == 0) grids[1] = &all_grids[1];
  if (deep) grids[2] = &all_grids[2];
  query.prepare(model, vector);
  query.rank_leaves(model);
  call_core([&] { order_by_partition(neighbors); });
  FedGrid* searching[kGroupCount];
  std::copy(std::begin(grids), std::end(grids), searching);
  for (FedGrid* fed : grids) {
    if (fed != nullptr) fed->grid.begin_query(neighbors.size());
  }
  search(neighbors, own, searching);
  call_core([&] {
    for (FedGrid* fed : grids) {
      if (fed != nullptr) fed->end_query();
    }
  });
}

// Visits leaves until no pair of any grid wants another. Takes the grids out of the list that want no more.
void Replay::search(std::span<const Neighbor> neighbors, const Neighbor& own, std::span<FedGrid*> grids) {
  std::array<NextLeaf, kLeavesAhead> leaves;
  while (query.leaves_left() > 0) {
    const std::size_t taken = std::min(leaves.size(), query.leaves_left());
    for (std::size_t i = 0; i < taken; ++i) {
      leaves[i] = query.next_leaf(model);
      buffers.touch(index, model.partitions[leaves[i].partition].head);
    }
    for (std::size_t i = 0; i < taken; ++i) {
      bool wanted = false;
      for (FedGrid*& fed : grids) {
        if (fed != nullptr && !fed->offer(leaves[i])) fed = nullptr;
        wanted |= fed != nullptr;
      }
      if (!wanted) return;
      visit(leaves[i].partition, neighbors, own, grids);
    }
  }
}

void Replay::visit(std::uint32_t partition, std::span<const Neighbor> neighbors, const Neighbor& own,
                   std::span<FedGrid*> grids) {
  score_list(partition);
  for (const EntryPlace& entry : own.places) {
    if (entry.partition == partition && entry.position < scores.size()) {
      scores[entry.position] = -std::numeric_limits<float>::infinity();
    }
  }
  call_core([&] {
    find_truths(partition, neighbors);
    for (FedGrid* fed : grids) {
      if (fed != nullptr) fed->grid.score_leaf(scores, truths);
    }
  });
}

EffortTable Replay::choose() const {
  EffortTable table{};
  for (std::size_t g = 0; g < kGroupCount; ++g) {
    for (std::size_t limit = 0; limit < kGroups[g].limits; ++limit) {
      for (std::size_t target = 0; target < kCalibratedRecalls.size(); ++target) {
        const Effort effort = all_grids[g].grid.cheapest(limit, target);
        table[kGroups[g].first + limit][target] = {.recall = static_cast<float>(effort.recall),
                                                   .margin = effort.margin,
                                                   .candidates = effort.candidates,
                                                   .codes = static_cast<float>(effort.codes)};
      }
    }
  }
  return table;
}

}  // namespace

EffortTable replay_searches(Relation index, const Model& model, const CalibrationQueries& queries,
                            const NeighborSearch& neighbors) {
  auto* query = new (palloc(sizeof(Query))) Query(model);
  const auto recent = palloc_span<Buffer>(RelationGetNumberOfBlocks(index));
  std::fill(recent.begin(), recent.end(), InvalidBuffer);
  auto* replay = make_in_context<Replay>(index, model, queries.count(), *query, RecentBuffers(recent));
  for (std::size_t q = 0; q < queries.count(); ++q) {
    replay->add({queries.row(q), queries.dims}, neighbors.neighbors_of(q), neighbors.self(q), is_deep(q));
  }
  return replay->choose();
}

}  // namespace scann::am
