// Calibration by replay.
#include "core/effort.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/kernels.hpp"

namespace scann {
namespace {

// How far above a target its recall is measured, in standard errors: about as many indexes miss it by chance
// as search more codes than they need...
constexpr double kSafety = 0.5;
// ...but those that miss it by more than this are few: one in 700 by chance.
constexpr double kGreatestMiss = 0.01;
constexpr double kSafetyFromMiss = 3;
// narrow() keeps values of K that reach a recall at not much more than the least cost, the more the fewer
// queries tell so, and the fewer of them may miss anything, ...
double largest_excess(std::size_t queries, double recall) {
  const double misses = std::clamp(1 - recall, 0.001, 0.07);
  return 1.1 + 0.4 / std::sqrt(static_cast<double>(queries) * misses);
}
// ... and margins up to where the recall is so many standard errors higher.
constexpr double kDoubt = 2;
// That queries missed nothing so far does not prove that none will: the next one may miss a quarter.
double honest_error(const Effort& effort, std::size_t queries) {
  return std::hypot(effort.standard_error, 0.25 / static_cast<double>(queries));
}
// An interpolated recall may fall short by rounding.
constexpr double kTiny = 1e-9;
// A recall of this standard error is known well enough, unless it rests on few queries.
constexpr double kPrecise = 0.001;
constexpr std::size_t kFewQueries = 256;

double surely(const Effort& effort) {
  const double error = effort.standard_error;
  return effort.recall - std::max(kSafety * error, kSafetyFromMiss * error - kGreatestMiss);
}

// The position behind the last of `size` descending scores that is not below `score`. Where that is cannot be
// foretold: no branch depends on it.
std::ptrdiff_t first_below(const float* scores, std::ptrdiff_t size, float score) {
  std::ptrdiff_t first = 0;
  while (size > 0) {
    const std::ptrdiff_t half = (size + 1) / 2;
    first += scores[first + half - 1] >= score ? half : 0;
    size -= half;
  }
  return first;
}

}  // namespace

EffortGrid::EffortGrid(std::span<const std::uint32_t> limits, std::span<const float> recalls,
                       std::span<const std::uint32_t> candidates, std::span<const float> margins,
                       const SearchCost& cost)
    : limits_(limits.begin(), limits.end()),
      recalls_(recalls.begin(), recalls.end()),
      candidates_(candidates.begin(), candidates.end()),
      margins_(margins.begin(), margins.end()),
      cost_(cost),
      margins_used_(candidates.size(), margins.size()),
      keep_(candidates.back()),
      cells_(limits.size() * candidates.size() * margins.size()),
      work_(candidates.size() * margins.size()),
      decided_(limits.size() * recalls.size()),
      found_(limits.back()),
      next_margin_(candidates.size()) {}

void EffortGrid::begin_query(std::size_t truths) {
  ++queries_;
  truths_ = truths;
  scored_ = 0;
  visited_ = 0;
  best_.clear();
  std::fill(found_.begin(), found_.end(), std::numeric_limits<float>::quiet_NaN());
  std::fill(next_margin_.begin(), next_margin_.end(), 0);
}

float EffortGrid::threshold(std::size_t candidate_index) const {
  const std::size_t k = candidates_[candidate_index];
  return best_.size() < k ? -std::numeric_limits<float>::infinity() : best_[k - 1];
}

bool EffortGrid::offer_leaf(std::span<const float> stop_values) {
  bool wanted = false;
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    while (next_margin_[k] < margins_used_[k] && stop_values[k] > margins_[next_margin_[k]])
      stop(k, next_margin_[k]++);
    wanted |= next_margin_[k] < margins_used_[k];
  }
  return wanted;
}

void EffortGrid::score_leaf(std::span<const float> scores, std::span<const TrueNeighbor> neighbors) {
  scored_ += scores.size();
  ++visited_;
  for (const TrueNeighbor& neighbor : neighbors) {
    if (neighbor.rank >= found_.size()) continue;
    float& best = found_[neighbor.rank];
    if (!(best >= scores[neighbor.entry])) best = scores[neighbor.entry];
  }
  const float floor = best_.size() < keep_ ? -std::numeric_limits<float>::infinity() : best_.back();
  incoming_.resize(scores.size());
  incoming_.resize(copy_above(scores.data(), scores.size(), floor, incoming_.data()));
  std::sort(incoming_.begin(), incoming_.end(), std::greater<>());
  // Merged from the back: few come in among many, and what lies between two of them moves in one piece.
  const auto kept = static_cast<std::ptrdiff_t>(best_.size());
  best_.resize(best_.size() + incoming_.size());
  auto end = best_.begin() + kept;
  auto to = best_.end();
  for (auto score = incoming_.rbegin(); score != incoming_.rend(); ++score) {
    const auto from = best_.begin() + first_below(best_.data(), end - best_.begin(), *score);
    to = std::move_backward(from, end, to);
    *--to = *score;
    end = from;
  }
  if (best_.size() > keep_) best_.resize(keep_);
}

void EffortGrid::end_query() {
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    while (next_margin_[k] < margins_used_[k]) stop(k, next_margin_[k]++);
  }
}

// Books what the search would have found, had it stopped here with this pair.
void EffortGrid::stop(std::size_t candidate_index, std::size_t margin_index) {
  const float floor = threshold(candidate_index);
  Work& work = work_[pair(candidate_index, margin_index)];
  work.codes += static_cast<double>(scored_);
  work.leaves += static_cast<double>(visited_);
  std::size_t hits = 0;
  std::size_t rank = 0;
  for (std::size_t l = 0; l < limits_.size(); ++l) {
    const std::size_t wanted = std::min<std::size_t>(limits_[l], truths_);
    for (; rank < limits_[l]; ++rank) hits += found_[rank] >= floor ? 1 : 0;
    const double recall = wanted == 0 ? 1 : static_cast<double>(hits) / static_cast<double>(wanted);
    Cell& cell = cells_[l * work_.size() + pair(candidate_index, margin_index)];
    cell.hits += recall;
    cell.hits_squared += recall * recall;
  }
}

Effort EffortGrid::effort(std::size_t limit, std::size_t candidate_index, std::size_t margin_index) const {
  const Cell& cell = cells_[limit * work_.size() + pair(candidate_index, margin_index)];
  const auto n = static_cast<double>(std::max<std::size_t>(queries_, 1));
  const double recall = cell.hits / n;
  const double variance = std::max(0.0, cell.hits_squared / n - recall * recall);
  const Work& work = work_[pair(candidate_index, margin_index)];
  return {.candidates = candidates_[candidate_index],
          .margin = margins_[margin_index],
          .recall = recall,
          .standard_error = std::sqrt(variance / n),
          .codes = work.codes / n,
          .leaves = work.leaves / n};
}

void EffortGrid::narrow() {
  std::vector<std::size_t> needed(candidates_.size());
  for (std::size_t limit = 0; limit < limits_.size(); ++limit) {
    for (std::size_t target = 0; target < recalls_.size(); ++target) {
      Effort& decided = decided_[limit * recalls_.size() + target];
      if (decided.candidates > 0) continue;
      const Effort best = choose(limit, recalls_[target]);
      if (best.standard_error <= kPrecise && queries_ >= kFewQueries) {
        decided = best;
      } else {
        keep_rivals(limit, best, std::min<double>(recalls_[target], surely(best)), needed);
      }
    }
  }
  margins_used_ = needed;
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    if (margins_used_[k] > 0) keep_ = candidates_[k];
  }
}

// Notes how many margins of each K may turn out to be needed for a recall that `best` seems best for.
void EffortGrid::keep_rivals(std::size_t limit, const Effort& best, double recall,
                             std::vector<std::size_t>& needed) const {
  const double excess = largest_excess(queries_, recall);
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    const Effort rival = reach(limit, k, recall);
    if (surely(rival) < recall - kTiny || cost_.of(rival) > excess * cost_.of(best)) continue;
    std::size_t m = 0;
    while (m + 1 < margins_used_[k]) {
      const Effort e = effort(limit, k, m);
      if (surely(e) >= recall + kDoubt * honest_error(e, queries_) ||
          (e.margin >= rival.margin && cost_.of(e) > excess * cost_.of(rival))) {
        break;
      }
      ++m;
    }
    needed[k] = std::max(needed[k], m + 1);
  }
}

// The effort between two neighbouring margins where their recall crosses the one wanted.
Effort EffortGrid::between(const Effort& below, const Effort& above, double recall) const {
  const double rise = surely(above) - surely(below);
  const double share = rise > 0 ? (recall - surely(below)) / rise : 1;
  const auto blend = [share](double a, double b) { return a + share * (b - a); };
  return {.candidates = above.candidates,
          .margin = static_cast<float>(blend(below.margin, above.margin)),
          .recall = blend(below.recall, above.recall),
          .standard_error = blend(below.standard_error, above.standard_error),
          .codes = blend(below.codes, above.codes),
          .leaves = blend(below.leaves, above.leaves)};
}

Effort EffortGrid::cheapest(std::size_t limit, std::size_t target) const {
  Effort best = {};
  for (std::size_t t = target; t < recalls_.size(); ++t) {
    const Effort& decided = decided_[limit * recalls_.size() + t];
    const Effort effort = decided.candidates > 0 ? decided : choose(limit, recalls_[t]);
    // Decided by fewer queries, one for a lower recall may seem to cost more.
    if (t == target || (effort.recall >= best.recall && cost_.of(effort) < cost_.of(best))) best = effort;
  }
  return best;
}

Effort EffortGrid::choose(std::size_t limit, double recall) const {
  Effort best = {};
  bool reached = false;
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    if (margins_used_[k] == 0) continue;
    const Effort e = reach(limit, k, recall);
    const bool reaches = surely(e) >= recall - kTiny;
    const bool better =
        reaches ? !reached || cost_.of(e) < cost_.of(best) : !reached && e.recall > best.recall;
    if (better || best.candidates == 0) best = e;
    reached |= reaches;
  }
  return best;
}

// The least margin with which K reaches a recall; the one of highest recall where none does.
Effort EffortGrid::reach(std::size_t limit, std::size_t candidate_index, double recall) const {
  Effort highest = {};
  for (std::size_t m = 0; m < margins_used_[candidate_index]; ++m) {
    const Effort e = effort(limit, candidate_index, m);
    if (surely(e) >= recall) return m > 0 ? between(effort(limit, candidate_index, m - 1), e, recall) : e;
    if (m == 0 || e.recall > highest.recall) highest = e;
  }
  return highest;
}

}  // namespace scann
