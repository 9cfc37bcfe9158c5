// Calibration by replay.
#include "core/effort.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace scann {

EffortGrid::EffortGrid(std::span<const std::uint32_t> limits, std::span<const std::uint32_t> candidates,
                       std::span<const float> margins)
    : limits_(limits.begin(), limits.end()),
      candidates_(candidates.begin(), candidates.end()),
      margins_(margins.begin(), margins.end()),
      cells_(limits.size() * candidates.size() * margins.size()),
      codes_(candidates.size() * margins.size()),
      found_(limits.size()),
      next_margin_(candidates.size()) {}

void EffortGrid::begin_query(std::size_t truths) {
  ++queries_;
  truths_ = truths;
  scored_ = 0;
  best_.clear();
  for (auto& scores : found_) scores.clear();
  std::fill(next_margin_.begin(), next_margin_.end(), 0);
}

float EffortGrid::threshold(std::size_t candidate_index) const {
  const std::size_t k = candidates_[candidate_index];
  return best_.size() < k ? -std::numeric_limits<float>::infinity() : best_[k - 1];
}

bool EffortGrid::offer_leaf(std::span<const float> stop_values) {
  bool wanted = false;
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    while (next_margin_[k] < margins_.size() && stop_values[k] > margins_[next_margin_[k]])
      stop(k, next_margin_[k]++);
    wanted |= next_margin_[k] < margins_.size();
  }
  return wanted;
}

void EffortGrid::score_leaf(std::span<const float> scores, std::span<const TrueNeighbor> neighbors) {
  scored_ += scores.size();
  for (const TrueNeighbor& neighbor : neighbors) {
    const auto limit = static_cast<std::size_t>(
        std::upper_bound(limits_.begin(), limits_.end(), neighbor.rank) - limits_.begin());
    if (limit < limits_.size()) found_[limit].push_back(scores[neighbor.entry]);
  }
  const std::size_t keep = candidates_.back();
  const float floor = best_.size() < keep ? -std::numeric_limits<float>::infinity() : best_.back();
  incoming_.clear();
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(incoming_),
               [floor](float s) { return s > floor; });
  std::sort(incoming_.begin(), incoming_.end(), std::greater<>());
  // Merged from the back: few come in among many, and what lies between two of them moves in one piece.
  const auto kept = static_cast<std::ptrdiff_t>(best_.size());
  best_.resize(best_.size() + incoming_.size());
  auto end = best_.begin() + kept;
  auto to = best_.end();
  for (auto score = incoming_.rbegin(); score != incoming_.rend(); ++score) {
    const auto from = std::upper_bound(best_.begin(), end, *score, std::greater<>());
    to = std::move_backward(from, end, to);
    *--to = *score;
    end = from;
  }
  if (best_.size() > keep) best_.resize(keep);
}

void EffortGrid::end_query() {
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    while (next_margin_[k] < margins_.size()) stop(k, next_margin_[k]++);
  }
}

// Books what the search would have found, had it stopped here with this pair.
void EffortGrid::stop(std::size_t candidate_index, std::size_t margin_index) {
  const float floor = threshold(candidate_index);
  codes_[pair(candidate_index, margin_index)] += static_cast<double>(scored_);
  std::ptrdiff_t hits = 0;
  for (std::size_t l = 0; l < limits_.size(); ++l) {
    const std::size_t wanted = std::min<std::size_t>(limits_[l], truths_);
    hits += std::count_if(found_[l].begin(), found_[l].end(), [floor](float s) { return s >= floor; });
    const double recall = wanted == 0 ? 1 : static_cast<double>(hits) / static_cast<double>(wanted);
    Cell& cell = cells_[l * codes_.size() + pair(candidate_index, margin_index)];
    cell.hits += recall;
    cell.hits_squared += recall * recall;
  }
}

Effort EffortGrid::effort(std::size_t limit, std::size_t candidate_index, std::size_t margin_index) const {
  const Cell& cell = cells_[limit * codes_.size() + pair(candidate_index, margin_index)];
  const auto n = static_cast<double>(std::max<std::size_t>(queries_, 1));
  const double recall = cell.hits / n;
  const double variance = std::max(0.0, cell.hits_squared / n - recall * recall);
  return {.candidates = candidates_[candidate_index],
          .margin = margins_[margin_index],
          .recall = recall,
          .standard_error = std::sqrt(variance / n),
          .codes = codes_[pair(candidate_index, margin_index)] / n};
}

Effort EffortGrid::cheapest(std::size_t limit, double recall, double candidate_cost) const {
  const auto cost = [candidate_cost](const Effort& e) { return e.codes + candidate_cost * e.candidates; };
  const auto reaches = [recall](const Effort& e) { return e.recall - e.standard_error >= recall; };
  Effort best = effort(limit, 0, 0);
  for (std::size_t k = 0; k < candidates_.size(); ++k) {
    for (std::size_t m = 0; m < margins_.size(); ++m) {
      const Effort e = effort(limit, k, m);
      const bool better =
          reaches(e) ? !reaches(best) || cost(e) < cost(best) : !reaches(best) && e.recall > best.recall;
      if (better) best = e;
    }
  }
  return best;
}

}  // namespace scann
