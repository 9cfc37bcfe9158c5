// Calibration.
#include <vector>

#include "core/effort.hpp"
#include "core/kernels.hpp"

#include "am/calibrate.hpp"
#include "am/row_encoder.hpp"
#include "am/search.hpp"

namespace scann::am {
namespace {

// Re-ordering a candidate costs about as much as scoring this many codes (page pin, int8 product, heap
// fetches).
constexpr double kCandidateCost = 150;

constexpr std::uint32_t kCandidateChoices[] = {10,  13,  16,  20,  25,   32,   40,   50,
                                               64,  80,  100, 125, 160,  200,  250,  320,
                                               400, 500, 640, 800, 1000, 1600, 2500, 4000};
constexpr std::uint32_t kDeepCandidateChoices[] = {300,  360,  430,   520,   640,  800,  1000,
                                                   1250, 1600, 2000,  2500,  3200, 4000, 5000,
                                                   6400, 8000, 10000, 12500, 16000};

constexpr float kMargins[] = {-4.0F, -3.0F,   -2.5F,  -2.0F,   -1.75F, -1.5F,   -1.25F, -1.125F,
                              -1.0F, -0.875F, -0.75F, -0.625F, -0.5F,  -0.375F, -0.25F, -0.125F,
                              0.0F,  0.125F,  0.25F,  0.375F,  0.5F,   0.75F,   1.0F,   1.5F};
constexpr float kLeafCounts[] = {0,  1,  2,  3,  4,  5,   7,   9,   11,  13,  16,  19,  22,  26,   30,  35,
                                 40, 48, 57, 68, 80, 100, 130, 170, 220, 290, 380, 500, 750, 1000, 2000};

// The rank in a Place that stands for a query's own row.
constexpr std::uint32_t kSelf = UINT32_MAX;

}  // namespace

// Scratch of run().
struct ReplayState {
  ReplayState(Query& prepared, std::span<const float> margins)
      : shallow(std::span(kCalibratedLimits).first(kShallowLimits), kCandidateChoices, margins),
        deep(std::span(kCalibratedLimits).subspan(kShallowLimits), kDeepCandidateChoices, margins),
        query(prepared) {}
  // Whether any pair of the grid would visit the leaf.
  bool offer(EffortGrid& grid, const RankedLeaf& leaf) {
    stop_values.resize(grid.candidate_choices());
    for (std::size_t k = 0; k < stop_values.size(); ++k) {
      stop_values[k] = query.stop_value(leaf, grid.threshold(k));
    }
    return grid.offer_leaf(stop_values);
  }
  EffortGrid shallow;
  EffortGrid deep;
  Query& query;
  std::vector<float> stop_values;
  std::vector<float> scores;
  std::vector<TrueNeighbor> truths;
};

std::size_t Calibrator::bytes_per_query(std::size_t dims) {
  return dims * sizeof(float) +
         (NeighborSearch::bytes(kDeepEvery) + neighbors_kept(0) * sizeof(Place)) / kDeepEvery +
         neighbors_kept(1) * sizeof(Place);
}

Calibrator::Calibrator(const CalibrationQueries& queries, const NeighborSearch& neighbors)
    : queries_(queries), neighbors_(neighbors) {
  std::size_t size = queries.count();
  for (std::size_t q = 0; q < queries.count(); ++q) size += neighbors.neighbors_of(q).size();
  places_ = palloc_span<Place>(size);
  size = 0;
  for (std::uint32_t q = 0; q < queries.count(); ++q) {
    const std::size_t count = neighbors.neighbors_of(q).size();
    for (std::uint32_t r = 0; r < count; ++r) places_[size++] = {q, r};
    if (neighbors.self(q).partition != kUnknown) places_[size++] = {q, kSelf};
  }
  places_ = places_.first(size);
  std::sort(places_.begin(), places_.end(), [this](const Place& a, const Place& b) {
    Neighbor left = at(a);
    Neighbor right = at(b);
    if (left.partition != right.partition) return left.partition < right.partition;
    return ItemPointerCompare(&left.tid, &right.tid) < 0;
  });
}

Neighbor& Calibrator::at(const Place& place) const {
  return place.rank == kSelf ? neighbors_.self(place.query)
                             : neighbors_.neighbors_of(place.query)[place.rank];
}

void Calibrator::placed(std::uint32_t partition, const ItemPointerData& tid, std::uint32_t position) {
  ItemPointerData here = tid;
  while (next_place_ < places_.size()) {
    Neighbor& neighbor = at(places_[next_place_]);
    if (neighbor.partition > partition) return;
    if (neighbor.partition == partition) {
      const int order = ItemPointerCompare(&neighbor.tid, &here);
      if (order > 0) return;
      if (order == 0) neighbor.position = position;
    }
    ++next_place_;
  }
}

namespace {

// The scores of all codes of a leaf, behind one another.
void score_list(Relation index, const Model& model, const Query& query, std::size_t partition,
                std::vector<float>& scores) {
  scores.clear();
  const float base = query.base(model, partition);
  for (BlockNumber block = model.partitions[partition].head; BlockNumberIsValid(block);) {
    const LockedBuffer buffer(index, block, LockMode::kShare);
    const CodePage page(index, buffer.get(), model.leaf);
    const CodeRun run = code_run(model, page, base, 0);
    call_core([&] { scores.resize(scores.size() + run.count); });
    adc_scores(query.table(), run, scores.data() + scores.size() - run.count);
    block = page.next();
  }
}

}  // namespace

void Calibrator::replay(Relation index, const Model& model, std::size_t q, ReplayState& state) {
  state.query.prepare(model, queries_.rows.subspan(q * queries_.dims, queries_.dims));
  state.query.rank_leaves(model);
  const auto neighbors = neighbors_.neighbors_of(q);
  state.shallow.begin_query(neighbors.size());
  if (is_deep(q)) state.deep.begin_query(neighbors.size());
  bool shallow = true;
  bool deep = is_deep(q);
  while (state.query.leaves_left() > 0) {
    const RankedLeaf leaf = state.query.next_leaf(model);
    call_core([&] {
      shallow = shallow && state.offer(state.shallow, leaf);
      deep = deep && state.offer(state.deep, leaf);
    });
    if (!shallow && !deep) break;
    score_list(index, model, state.query, leaf.partition, state.scores);
    const Neighbor& self = neighbors_.self(q);
    if (self.partition == leaf.partition && self.position < state.scores.size()) {
      state.scores[self.position] = -std::numeric_limits<float>::infinity();
    }
    call_core([&] {
      state.truths.clear();
      for (std::uint32_t r = 0; r < neighbors.size(); ++r) {
        if (neighbors[r].partition != leaf.partition || neighbors[r].position >= state.scores.size())
          continue;
        state.truths.push_back({r, neighbors[r].position});
      }
      if (shallow) state.shallow.score_leaf(state.scores, state.truths);
      if (deep) state.deep.score_leaf(state.scores, state.truths);
    });
  }
  state.shallow.end_query();
  if (is_deep(q)) state.deep.end_query();
}

EffortTable Calibrator::run(Relation index, const Model& model) {
  const std::span<const float> margins = queries_.metric == Metric::kEuclidean
                                             ? std::span<const float>(kLeafCounts)
                                             : std::span<const float>(kMargins);
  Query query(model);
  auto* state = make_in_context<ReplayState>(query, margins);
  for (std::size_t q = 0; q < queries_.count(); ++q) {
    CHECK_FOR_INTERRUPTS();
    replay(index, model, q, *state);
  }
  EffortTable table{};
  for (std::size_t limit = 0; limit < kCalibratedLimits.size(); ++limit) {
    const bool deep = limit >= kShallowLimits;
    const EffortGrid& grid = deep ? state->deep : state->shallow;
    const std::size_t grid_limit = deep ? limit - kShallowLimits : limit;
    for (std::size_t target = 0; target < kCalibratedRecalls.size(); ++target) {
      const Effort effort = grid.cheapest(grid_limit, kCalibratedRecalls[target], kCandidateCost);
      table[limit][target] = {.recall = static_cast<float>(effort.recall),
                              .margin = effort.margin,
                              .candidates = effort.candidates,
                              .codes = static_cast<float>(effort.codes)};
    }
  }
  return table;
}

}  // namespace scann::am
